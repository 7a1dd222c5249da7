"""Retention: bars by month, run output by its run, archived and checked before anything goes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from questdb_ddl import Client, drop, ensure_table, live_tables
from questdb_ddl.export import Held, read_parquet
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.errors import ConfirmationError, QuestDBError, VerificationError
from stage1_schema.ops import retention, retention_apply
from stage1_schema.servers.binaries import questdb_jar
from stage1_schema.servers.questdb import LocalQuestDB
from stage1_schema.settings import QuestDBSettings
from tests.series.conftest import NEW_RUN, OLD_RUN

NOW = datetime.now(UTC).replace(hour=12)
LIMIT = NOW - timedelta(days=730)


def ns(moment):
    return int(moment.timestamp() * 10**9)


def bar(moment, dataset="a"):
    tags = f"dataset={dataset},source=s,granularity=4h"
    return f"indicator_bars,{tags} timestamp_unix={int(moment.timestamp())}i,open=1.5 {ns(moment)}"


def prediction(run, index, moment):
    tags = f"run_id={run},fold=0,dataset=a,target=t"
    return f"walkforward_predictions,{tags} bar_index={index}i,prediction=0.5 {ns(moment)}"


def rows(questdb, table):
    return questdb.query(f"select count() n from {table}")[0]["n"]


def test_nothing_goes(stores, lines):
    lines(bar(NOW - timedelta(days=10)))
    assert retention.plan(stores).going == ()


def test_bars_go_by_whole_months_and_the_boundary_month_stays(stores, questdb, lines, tmp_path):
    boundary = LIMIT.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    stay = [boundary, NOW - timedelta(days=1)]
    go = [boundary - timedelta(seconds=1), boundary - timedelta(days=400)]
    lines(*map(bar, stay + go))
    intent = retention.plan(stores)
    (going,) = intent.going
    assert (going.table, going.rows, len(going.partitions)) == ("indicator_bars", 2, 2)
    with pytest.raises(ConfirmationError, match=r"indicator_bars .2 rows."):
        retention.confirm(intent, None)
    (gone,) = retention_apply.apply(stores, intent, tmp_path)
    assert rows(questdb, "indicator_bars") == 2
    assert read_parquet(tmp_path / gone.archive).rows == 2
    assert retention.plan(stores).empty


def test_run_output_goes_by_the_run_and_not_by_the_bar(stores, questdb, lines, runs, tmp_path):
    ancient = datetime(2015, 1, 1, tzinfo=UTC)
    lines(
        *(prediction(OLD_RUN, i, NOW - timedelta(days=i)) for i in range(3)),
        *(prediction(NEW_RUN, i, ancient + timedelta(days=i)) for i in range(4)),
        prediction("unknown", 1, ancient),
    )
    intent = retention.plan(stores)
    (going,) = intent.going
    assert (going.rows, going.runs) == (3, (OLD_RUN,))
    assert "1 rows of runs that PostgreSQL does not know" in intent.unknown[0]
    (gone,) = retention_apply.apply(stores, intent, tmp_path)
    left = questdb.query("select run_id, count() n from walkforward_predictions order by run_id")
    assert left == [{"run_id": NEW_RUN, "n": 4}, {"run_id": "unknown", "n": 1}]
    archive = read_parquet(tmp_path / gone.archive)
    assert archive.rows == 3
    assert archive.columns["bar_index"] == Held(3, 0, 2, 3)
    assert not [name for name in live_tables(questdb) if "__" in name or "_old_" in name]
    assert retention.plan(stores).going == ()


@pytest.mark.parametrize(("days", "stays"), [(0, True), (400, False)], ids=["of today", "old"])
def test_a_simulation_over_an_old_run_goes_by_its_own_age(
    stores, execute, lines, runs, days, stays
):
    execute(
        "INSERT INTO simulation_runs (simulation_id, run_id, dataset_id, questdb_namespace,"
        " created_at) SELECT gen_random_uuid(), run_id, dataset_id, 'btc_sim1',"
        " now() - make_interval(days => %s) FROM walkforward_runs WHERE run_id = %s",
        days, OLD_RUN,
    )  # fmt: skip
    lines(
        prediction(OLD_RUN, 1, NOW),
        f"trading_sim_traces,run_id={OLD_RUN},simulation_id=s,mode=long pnl=1.5 {ns(NOW)}",
        f"trading_sim_equity,run_id={OLD_RUN},simulation_id=s,mode=long equity=1.5 {ns(NOW)}",
        f"btc_sim1,run_id={OLD_RUN},simulation_id=s,mode=long pnl=1.5 {ns(NOW)}",
    )
    going = {each.table for each in retention.plan(stores).going}
    simulated = {"trading_sim_traces", "trading_sim_equity", "btc_sim1"}
    assert going == {"walkforward_predictions"} | (set() if stays else simulated)


def test_more_than_a_query_can_hold_goes_in_passes(stores, questdb, lines, tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "PER_PASS", 2)
    lines(bar(NOW), *(bar(LIMIT - timedelta(days=40 * month)) for month in range(2, 7)))
    passes = []
    while going := (intent := retention.plan(stores)).going:
        retention_apply.apply(stores, intent, tmp_path)
        passes.append((going[0].rows, going[0].why.partition("; ")[2]))
    assert passes == [(2, "3 more by the next pass"), (2, "1 more by the next pass"), (1, "")]
    assert rows(questdb, "indicator_bars") == 1


def test_the_newest_month_goes_too_when_it_is_old(stores, questdb, lines, tmp_path):
    lines(*(bar(LIMIT - timedelta(days=days)) for days in (40, 80, 120)))
    (going,) = retention.plan(stores).going
    assert going.rows == 3
    retention_apply.apply(stores, retention.plan(stores), tmp_path)
    assert rows(questdb, "indicator_bars") == 0
    lines(bar(LIMIT - timedelta(days=80)), bar(NOW))
    assert rows(questdb, "indicator_bars") == 2


@pytest.mark.parametrize(
    ("partition_by", "goes"), [("YEAR", 1), ("WEEK", 4), ("DAY", 4), ("MONTH", 4)]
)
def test_a_partition_goes_when_all_of_it_is_old(
    stores, questdb, lines, tmp_path, partition_by, goes
):
    columns = "dataset SYMBOL, source SYMBOL, granularity SYMBOL, timestamp TIMESTAMP"
    drop(questdb, "indicator_bars")
    questdb.execute(
        f"CREATE TABLE indicator_bars ({columns}) TIMESTAMP(timestamp)"
        f" PARTITION BY {partition_by} WAL"
    )
    now = datetime(2025, 7, 15, tzinfo=UTC)
    january = datetime(2023, 1, 1, tzinfo=UTC)
    old = [january - timedelta(days=200), *(january + timedelta(days=9 * i) for i in range(3))]
    lines(*map(bar, [*old, datetime(2023, 7, 1, tzinfo=UTC), now]))
    (gone,) = retention_apply.apply(stores, retention.plan(stores, now), tmp_path, parquet=False)
    assert gone.rows == goes
    assert rows(questdb, "indicator_bars") == 6 - goes


def test_a_partition_that_late_rows_split_goes_as_one(tmp_path_factory, stores, tmp_path):
    settings = {"cairo.o3.partition.split.min.size": "1k"}
    with (
        LocalQuestDB(tmp_path_factory.mktemp("split"), settings=settings) as server,
        Client(server.url) as questdb,
    ):
        for table in SHARED_TABLES:
            ensure_table(questdb, table)
        start = (LIMIT - timedelta(days=200)).replace(day=1, hour=0)
        for offset, count in ((0, 40_000), (39_000, 10), (42_000, 40_000)):
            questdb.execute(
                "INSERT INTO indicator_bars (dataset, timestamp) SELECT 'a' || x, dateadd('s',"
                f" {offset} + x::int, '{start:%Y-%m-%d}'::timestamp) FROM long_sequence({count})"
            )
            questdb.wait_for("indicator_bars")
        split = questdb.query("select name from table_partitions('indicator_bars')")
        assert len(split) > 1
        there = replace(stores, questdb=QuestDBSettings(server.url))
        (gone,) = retention_apply.apply(there, retention.plan(there), tmp_path)
        assert gone.partitions == (f"{start:%Y-%m}",)
        assert (gone.rows, rows(questdb, "indicator_bars")) == (80_010, 0)


def test_tables_of_old_runs_go_as_a_whole(stores, questdb, lines, runs, tmp_path):
    for name in ("btc_run1", "btc_run2"):
        lines(f"{name} bar_index=1i,fold_number=0i,prediction=0.5 {ns(NOW)}")
    (going,) = retention.plan(stores).going
    assert (going.table, going.how) == ("btc_run1", "drop the table")
    retention_apply.apply(stores, retention.plan(stores), tmp_path, parquet=False)
    assert "btc_run1" not in live_tables(questdb)
    assert rows(questdb, "btc_run2") == 1
    assert list(tmp_path.glob("btc_run1_*.csv.gz"))


def test_a_row_of_the_future_stops_it(stores, lines):
    lines(bar(LIMIT - timedelta(days=100)), bar(NOW + timedelta(days=4000)))
    intent = retention.plan(stores)
    assert intent.going == ()
    assert "ahead of the clock" in intent.refusals[0]
    assert f"DROP PARTITION LIST '{NOW + timedelta(days=4000):%Y-%m}'" in intent.refusals[0]


def test_a_row_in_too_fine_a_unit_is_moved(stores, questdb, lines):
    lines(bar(LIMIT - timedelta(days=100)))
    questdb.execute("INSERT INTO indicator_bars (timestamp, open) VALUES (200000000000000000, 1)")
    questdb.wait_for("indicator_bars")
    (refusal,) = retention.plan(stores).refusals
    assert "holds a row of 8307-" in refusal
    assert refusal.endswith("rebuild indicator_bars --fix-timestamps moves it")


def test_bars_in_a_wrong_unit_are_no_old_bars(stores, questdb, lines):
    good, wrong = bar(LIMIT - timedelta(days=100)), bar(NOW)
    lines(good, wrong[:-6])  # milliseconds, read as nanoseconds: 1970
    intent = retention.plan(stores)
    assert intent.going == ()
    assert "1 rows sent in milliseconds" in intent.refusals[0]
    assert "--fix-timestamps" in intent.refusals[0]


def test_a_server_without_parquet_says_so(tmp_path_factory, stores, tmp_path):
    directory = tmp_path_factory.mktemp("old")
    with (
        LocalQuestDB(directory, jar=questdb_jar("9.0.3")) as server,
        Client(server.url) as questdb,
    ):
        for table in SHARED_TABLES:
            ensure_table(questdb, table)
        old = f"{LIMIT - timedelta(days=90):%Y-%m-%d}"
        questdb.execute(f"INSERT INTO indicator_bars (dataset, timestamp) VALUES ('a', '{old}')")
        questdb.wait_for("indicator_bars")
        there = replace(stores, questdb=QuestDBSettings(server.url))
        refused = retention.plan(there)
        assert (refused.going, refused.refusals) == (
            (),
            ("QuestDB 9.0.3 exports no Parquet; add --csv",),
        )
        intent = retention.plan(there, parquet=False)
        with pytest.raises(QuestDBError, match=r"9.0.3 exports no Parquet. Next: add --csv"):
            retention_apply.apply(there, intent, tmp_path)
        (gone,) = retention_apply.apply(there, intent, tmp_path, parquet=False)
        assert (gone.rows, rows(questdb, "indicator_bars")) == (1, 0)


@pytest.mark.parametrize("written", ["after the plan", "during the export"])
def test_an_archive_that_lacks_rows_drops_nothing(
    stores, questdb, lines, tmp_path, monkeypatch, written
):
    def late():
        lines(bar(LIMIT - timedelta(days=100), dataset="late"))

    lines(bar(LIMIT - timedelta(days=100)), bar(NOW))
    intent = retention.plan(stores)
    if written == "after the plan":
        late()
    else:
        stream = Client.stream
        monkeypatch.setattr(
            Client,
            "stream",
            lambda self, sql, form: [*stream(self, sql, form), " from " in sql and late()][:-1],
        )
    with pytest.raises(VerificationError, match="Nothing of it was dropped"):
        retention_apply.apply(stores, intent, tmp_path)
    assert rows(questdb, "indicator_bars") == 3


def test_a_table_is_not_set_aside_while_tcp_writers_may_write(stores, runs, tmp_path):
    with (
        LocalQuestDB(tmp_path / "tcp", ilp_tcp=True) as server,
        Client(server.url) as questdb,
    ):
        questdb.execute(
            "CREATE TABLE btc_run1 (bar_index LONG, fold_number LONG, prediction DOUBLE,"
            " timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY MONTH WAL"
        )
        questdb.execute("INSERT INTO btc_run1 VALUES (1, 0, 0.5, '2025-01-01')")
        questdb.wait_for("btc_run1")
        there = replace(stores, questdb=QuestDBSettings(server.url))
        refused = retention.plan(there)
        assert refused.going == ()
        assert "btc_run1: the server takes ILP over TCP" in refused.refusals[0]
        intent = retention.plan(there, writers_stopped=True)
        with pytest.raises(QuestDBError, match=r"btc_run1 is not set aside: .* ILP over TCP"):
            retention_apply.apply(there, intent, tmp_path)
        assert rows(questdb, "btc_run1") == 1
        (gone,) = retention_apply.apply(there, intent, tmp_path, writers_stopped=True)
        assert gone.rows == 1
