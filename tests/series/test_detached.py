"""Detached partitions in the commands: named in plans, refused, and given up by name only."""

from datetime import UTC, datetime

import pytest

from questdb_ddl import live_tables
from stage1_schema.errors import QuestDBError, Stage1Error
from stage1_schema.ops import (
    dropping,
    registration,
    registration_drop,
    reset,
    retention,
    retention_apply,
    series,
    status,
    validation,
)
from tests.series.conftest import OLD_RUN, OLD_SERVERS
from tests.series.test_retention import bar, ns, prediction

OLD, NEW = datetime(2020, 1, 5, tzinfo=UTC), datetime(2020, 2, 5, tzinfo=UTC)
NAMED = r"2020-01 \(1 row\)"


def detach(questdb, table):
    questdb.execute(f"ALTER TABLE {table} DETACH PARTITION LIST '2020-01'")
    questdb.wait_for(table)


@pytest.fixture
def btc(stores, questdb, lines):
    registration.create(stores, "btc", registration.Attributes())
    lines(*(f"ohlcv_btc Date=1i,open=1.5 {ns(each)}" for each in (OLD, NEW)))
    detach(questdb, "ohlcv_btc")


def held(questdb, table):
    live = live_tables(questdb, [table], counts=True)[table]
    return live.row_count, [str(each) for each in live.detached]


PLANS = {
    "table": lambda s, **more: dropping.plan_table(s, "ohlcv_btc", **more),
    "dataset": lambda s, **more: dropping.plan_dataset(s, "btc", **more),
    "registered": dropping.plan_registered,
    "everything": dropping.plan_everything,
}


@pytest.mark.core
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("keep", [True, False], ids=["keep", "drop"])
def test_a_drop_names_them_and_wants_them_given_up(stores, questdb, btc, plan, keep):
    before = set(live_tables(questdb))
    intent = plan(stores)
    assert "ohlcv_btc (1 rows, and detached partitions 2020-01 (1 row))" in intent.summary
    with pytest.raises(QuestDBError, match=f"Nothing was dropped: ohlcv_btc .*{NAMED}"):
        dropping.confirm(intent, intent.confirmation, "")
    with pytest.raises(QuestDBError, match="--give-up-detached ohlcv_btc"):
        dropping.carry_out(stores, intent, keep=keep, watch_seconds=0)
    assert set(live_tables(questdb)) == before
    assert held(questdb, "ohlcv_btc") == (1, ["2020-01 (1 row)"])
    intent = plan(stores, give_up_detached=("OHLCV_btc",))
    dropping.confirm(intent, intent.confirmation, "")
    dropping.carry_out(stores, intent, keep=keep, watch_seconds=0)
    assert "ohlcv_btc" not in live_tables(questdb)


def test_a_dataset_is_not_dropped_from_either_store(stores, btc, execute, tmp_path):
    intent = registration_drop.plan_drop(stores, "btc")
    with pytest.raises(QuestDBError, match=NAMED):
        registration_drop.confirm(intent, "btc")
    with pytest.raises(QuestDBError, match=NAMED):
        registration_drop.drop(stores, intent, keep=False, directory=tmp_path)
    assert execute("SELECT count(*) FROM datasets") == [(1,)]
    intent = registration_drop.plan_drop(stores, "btc", give_up_detached=("ohlcv_btc",))
    registration_drop.confirm(intent, "btc")


def test_a_table_detached_after_the_plan_stops_the_drop(stores, questdb, lines):
    lines(*(f"plain n=1i {ns(each)}" for each in (OLD, NEW)))
    intent = dropping.plan_table(stores, "plain")
    assert intent.refusals == ()
    detach(questdb, "plain")
    with pytest.raises(QuestDBError, match=NAMED):
        dropping.carry_out(stores, intent, keep=False, watch_seconds=0)
    assert held(questdb, "plain") == (1, ["2020-01 (1 row)"])


def test_a_rebuild_and_what_it_kept(stores, questdb, btc):
    questdb.execute("ALTER TABLE ohlcv_btc DEDUP DISABLE")
    questdb.wait_for("ohlcv_btc")
    options = {"fix_timestamps": False, "writers_stopped": True}
    assert NAMED.replace("\\", "") in str(series.plan_rebuild(stores, "ohlcv_btc", **options))
    with pytest.raises(Stage1Error, match=NAMED):
        series.rebuild(stores, "ohlcv_btc", **options)
    assert held(questdb, "ohlcv_btc") == (1, ["2020-01 (1 row)"])
    done = series.rebuild(stores, "ohlcv_btc", **options, give_up_detached=["ohlcv_btc"])
    with pytest.raises(QuestDBError, match=NAMED):
        series.drop_old(stores, "ohlcv_btc", done.kept_as)
    given = {"give_up_detached": [done.kept_as]}
    assert series.drop_old(stores, "ohlcv_btc", done.kept_as, **given) == 1


def test_a_reset_loses_none(stores, questdb, btc):
    for keep in (True, False):
        with pytest.raises(Stage1Error, match=r"detached partitions \(2020-01 .*questdb drop"):
            reset.run(stores, reset.plan(stores), keep=keep)
    assert held(questdb, "ohlcv_btc") == (1, ["2020-01 (1 row)"])


@pytest.mark.core
@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("walkforward_predictions", lambda at: prediction(OLD_RUN, 1, at)),
        ("btc_run1", lambda at: f"btc_run1 bar_index=1i,fold_number=0i,prediction=0.5 {ns(at)}"),
        ("indicator_bars", bar),
    ],
    ids=["runs", "table of a run", "bars"],
)
def test_retention_leaves_the_table_alone(
    stores,
    questdb,
    lines,
    runs,
    tmp_path,
    table,
    line,
):
    lines(line(OLD), line(NEW))
    detach(questdb, table)
    intent = retention.plan(stores, **OLD_SERVERS)
    assert intent.going == ()
    assert f"{table} has detached partitions, 2020-01 (1 row)" in intent.refusals[0]
    retention_apply.apply(stores, intent, tmp_path, **OLD_SERVERS)
    assert held(questdb, table) == (1, ["2020-01 (1 row)"])
    intent = retention.plan(stores, **OLD_SERVERS, give_up_detached=(table,))
    assert [going.rows for going in intent.going] == [1]
    retention_apply.apply(stores, intent, tmp_path, **OLD_SERVERS)
    assert not live_tables(questdb, [table], counts=True).get(table, None) or (
        held(questdb, table)[0] == 0
    )


def test_retention_looks_again_at_a_table_that_is_set_aside(
    stores,
    questdb,
    lines,
    runs,
    tmp_path,
):
    lines(*(f"btc_run1 bar_index=1i,fold_number=0i,prediction=0.5 {ns(at)}" for at in (OLD, NEW)))
    intent = retention.plan(stores, **OLD_SERVERS)
    detach(questdb, "btc_run1")
    with pytest.raises(QuestDBError, match=NAMED):
        retention_apply.apply(stores, intent, tmp_path, **OLD_SERVERS)
    assert held(questdb, "btc_run1") == (1, ["2020-01 (1 row)"])


def test_they_are_shown_wherever_rows_are_counted(stores, btc):
    (table,) = (t for t in status.read(stores).questdb.tables if t.name == "ohlcv_btc")
    assert (table.rows, table.detached) == (1, ("2020-01 (1 row)",))
    (found,) = registration.read_all(stores, "btc")
    shown = {t["name"]: t["detached"] for t in found.tables}
    assert shown == {"ohlcv_btc": ["2020-01 (1 row)"], "indicators_btc": []}
    (outcome,) = validation.validate(stores, ["questdb_detached"]).outcomes
    assert [(e.id, e.detail) for e in outcome.examples] == [
        ("ohlcv_btc", "partitions 2020-01 (1 row)")
    ]
