"""A dataset in both stores: created whatever failed before, shown, listed, taken away."""

import json

import pytest

from questdb_ddl import Double, live_tables
from stage1_schema.errors import QuestDBError, Stage1Error
from stage1_schema.ops import registration, registration_drop, series
from stage1_schema.ops.registration import Attributes, Outcome

BTC = Attributes(symbol="BTCUSDT", granularity="4h")


class Failed(Exception):  # noqa: N818 - stands for a kill
    pass


def fail_at(wanted):
    steps = iter(range(100))

    def on_step(_):
        if next(steps) == wanted:
            raise Failed

    return on_step


def names(questdb):
    return {name for name in live_tables(questdb) if "btc" in name}


def test_create_registers_and_creates_both_tables(stores, questdb, execute):
    intent, done = registration.create(stores, "BTC 25/4h", BTC, ["rsi"])
    assert [table.name for table in intent.tables] == [
        "ohlcv_btc_25_4h", "indicators_btc_25_4h", "indicator_bars",
    ]  # fmt: skip
    assert (intent.slug, done) == (
        "btc_25_4h", (Outcome.CREATED, Outcome.CREATED, Outcome.EXTENDED),
    )  # fmt: skip
    assert names(questdb) == {"ohlcv_btc_25_4h", "indicators_btc_25_4h"}
    row = execute(
        "SELECT dataset_id, symbol, granularity, ohlcv_measurement, indicator_measurement,"
        " metadata FROM datasets"
    )
    assert row[0][:5] == (
        intent.dataset_id, "BTCUSDT", "4h", "ohlcv_btc_25_4h", "indicators_btc_25_4h",
    )  # fmt: skip
    assert row[0][5]["dataset_slug"] == "btc_25_4h"
    again, done = registration.create(stores, "btc_25_4h", Attributes(source="csv"), ["rsi"])
    assert (again.dataset_id, again.known) == (intent.dataset_id, True)
    assert done == (Outcome.UNCHANGED,) * 3
    assert execute("SELECT symbol, source FROM datasets") == [("BTCUSDT", "csv")]


@pytest.mark.parametrize("step", range(4))
def test_create_failed_at_any_step_is_finished_by_a_second_one(stores, questdb, execute, step):
    with pytest.raises(Failed):
        registration.create(stores, "btc", BTC, on_step=fail_at(step))
    registered = execute("SELECT count(*) FROM datasets")[0][0]
    assert not registered or names(questdb) == {"ohlcv_btc", "indicators_btc"}
    registration.create(stores, "btc", BTC)
    assert names(questdb) == {"ohlcv_btc", "indicators_btc"}
    assert execute("SELECT count(*) FROM datasets") == [(1,)]
    assert series.plan(questdb, series.catalogue(stores)).empty


def test_dry_run_changes_nothing(stores, questdb, execute):
    text = str(registration.plan_create(stores, "btc", BTC))
    assert "symbol BTCUSDT" in text
    assert 'CREATE TABLE IF NOT EXISTS "ohlcv_btc"' in text
    assert names(questdb) == set()
    assert execute("SELECT count(*) FROM datasets") == [(0,)]


@pytest.mark.parametrize(
    ("columns", "manifest"),
    [
        (("btc_ohlcv", "btc_ind"), {}),
        ((None, ""), {"ohlcv_measurement": "btc_ohlcv", "indicator_measurement": "btc_ind"}),
    ],
    ids=["columns", "manifest"],
)
def test_recorded_names_win(stores, questdb, execute, columns, manifest):
    execute(
        "INSERT INTO datasets (dataset_id, dataset_slug, ohlcv_measurement, indicator_measurement,"
        " metadata) VALUES (gen_random_uuid(), 'btc', %s, %s, %s::jsonb)",
        *columns, json.dumps(manifest),
    )  # fmt: skip
    registration.create(stores, "btc", BTC)
    assert names(questdb) == {"btc_ohlcv", "btc_ind"}


def test_an_exporter_was_there_first(stores, questdb, execute, lines):
    lines("ohlcv_btc Date=1i,open=1.5 1735689600000000000")
    for _ in range(2):
        with pytest.raises(QuestDBError, match=r"registered.*questdb rebuild ohlcv_btc"):
            registration.create(stores, "btc", BTC)
        assert execute("SELECT count(*) FROM datasets") == [(1,)]
        assert names(questdb) == {"ohlcv_btc", "indicators_btc"}
    series.rebuild(stores, "ohlcv_btc")
    registration.create(stores, "btc", BTC)
    assert questdb.query("select open from ohlcv_btc") == [{"open": 1.5}]


def declare(execute, slug, bars, indicators):
    execute(
        "INSERT INTO datasets (dataset_id, dataset_slug, ohlcv_measurement, indicator_measurement)"
        " VALUES (gen_random_uuid(), %s, %s, %s)",
        slug, bars, indicators,
    )  # fmt: skip


@pytest.mark.parametrize("table", ["indicators_btc", "indicator_bars"])
def test_an_indicator_that_became_long_is_declared_and_rebuilt(
    stores, questdb, execute, lines, table
):
    registration.create(stores, "btc", BTC)
    lines(f"{table} rsi=55i 1735689600000000000")
    for _ in range(2):
        with pytest.raises(QuestDBError, match=f"rsi.*stage1 questdb rebuild {table}"):
            registration.create(stores, "btc", BTC, ["rsi"])
    intent = series.plan(questdb, series.catalogue(stores))
    assert [refusal.table for refusal in intent.plan.refusals] == [table]
    series.rebuild(stores, table)
    assert registration.create(stores, "btc", BTC)[1] == (Outcome.UNCHANGED,) * 3
    lines(f"{table} rsi=55.5 1735693200000000000")
    rows = questdb.query(f"select rsi from {table} order by timestamp")
    assert rows == [{"rsi": 55.0}, {"rsi": 55.5}]


def test_an_integer_that_no_double_holds_is_not_widened(stores, questdb, lines):
    registration.create(stores, "btc", BTC)
    lines(f"indicators_btc rsi={2**53 + 1}i 1735689600000000000")
    with pytest.raises(QuestDBError, match="questdb rebuild"):
        registration.create(stores, "btc", BTC, ["rsi"])
    with pytest.raises(QuestDBError, match="1 values of rsi do not survive"):
        series.rebuild(stores, "indicators_btc")
    assert questdb.query("select rsi from indicators_btc") == [{"rsi": 2**53 + 1}]


def test_indicators_that_are_declared_later_are_added(stores, questdb, execute, lines):
    registration.create(stores, "btc", BTC, ["rsi"])
    lines("indicators_btc rsi=55i 1735689600000000000")
    _, done = registration.create(stores, "btc", BTC, ["ema", "RSI"])
    assert done == (Outcome.UNCHANGED, Outcome.EXTENDED, Outcome.EXTENDED)
    # A client writes its manifest, as an object and as a string, and erases nothing.
    for manifest in ({"version": 1}, json.dumps({"version": 2})):
        execute("UPDATE datasets SET metadata = %s::jsonb", json.dumps(manifest))
    found = execute(
        "SELECT metadata ->> 'version', metadata -> 'declared_indicators' FROM datasets"
    )
    assert found == [("2", ["ema", "rsi"])]
    questdb.execute("ALTER TABLE indicators_btc DROP COLUMN ema")
    questdb.wait_for("indicators_btc")
    intent = series.plan(questdb, series.catalogue(stores))
    assert "ema" in intent.plan.steps[0].sql
    series.carry_out(questdb, intent)
    live = live_tables(questdb)
    for table in ("indicators_btc", "indicator_bars"):
        assert {live[table].column(name).type for name in ("rsi", "ema")} == {Double()}


def test_a_bad_indicator_changes_nothing(stores, questdb, execute):
    for bad in ("a/b", "Date"):
        with pytest.raises(Stage1Error, match="choose another slug or indicator"):
            registration.create(stores, "btc", BTC, [bad])
    assert execute("SELECT count(*) FROM datasets") == [(0,)]
    assert names(questdb) == set()


def test_a_table_made_before_dataset_id_was_a_key(stores, questdb, lines):
    questdb.execute(
        "CREATE TABLE indicators_btc (timestamp TIMESTAMP, Date LONG, Time LONG) "
        "TIMESTAMP(timestamp) PARTITION BY MONTH WAL DEDUP UPSERT KEYS(timestamp)"
    )
    lines("indicators_btc rsi=1.5 1735689600000000000")
    with pytest.raises(QuestDBError, match="questdb apply --allow"):
        registration.create(stores, "btc", BTC)
    intent = series.plan(questdb, series.catalogue(stores))
    assert "dataset_id" in str(intent)
    assert "keeps duplicates" in str(intent)
    series.carry_out(questdb, intent, allow=intent.plan.hazards)
    registration.create(stores, "btc", BTC)
    sent = [f"indicators_btc,dataset_id={d} rsi=2.5 1735689600000000000" for d in "ab"]
    for _ in range(2):
        lines(*sent)
        assert questdb.query("select count() n from indicators_btc") == [{"n": 3}]


def test_a_rebuild_that_would_merge_two_series_is_refused(stores, questdb, lines):
    questdb.execute("CREATE TABLE ohlcv_btc (source SYMBOL, open DOUBLE, timestamp TIMESTAMP)"
                    " TIMESTAMP(timestamp) PARTITION BY DAY WAL")  # fmt: skip
    sent = [f"ohlcv_btc,source={source} open=1.5 1735689600000000000" for source in "ab"]
    lines(*sent)
    given = {"fix_timestamps": False, "writers_stopped": False}
    plan = series.plan_rebuild(stores, "ohlcv_btc", **given)
    assert "told apart by the tag source" in plan.refusals[0]
    with pytest.raises(QuestDBError, match="1 rows have the keys of another row"):
        series.rebuild(stores, "ohlcv_btc")
    assert questdb.query("select count() n from ohlcv_btc") == [{"n": 2}]
    questdb.execute("ALTER TABLE ohlcv_btc DROP COLUMN source")
    questdb.wait_for("ohlcv_btc")
    assert series.rebuild(stores, "ohlcv_btc").rows == 1


def test_an_auto_created_table_of_two_datasets_keeps_both(stores, questdb, lines):
    questdb.execute("CREATE TABLE indicators_btc (dataset_id SYMBOL, rsi DOUBLE, timestamp"
                    " TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY WAL")  # fmt: skip
    for _ in range(2):
        lines(*(f"indicators_btc{t} rsi=1.5 1735689600000000000"
                for t in ("", ",dataset_id=a", ",dataset_id=b")))  # fmt: skip
    assert series.rebuild(stores, "indicators_btc").rows == 3
    registration.create(stores, "btc", BTC)


def test_two_datasets_in_one_table_are_told_and_neither_is_dropped_with_the_other(
    stores, questdb, execute, lines, tmp_path
):
    declare(execute, "a", "ohlcv_a", "Shared_ind")
    declare(execute, "b", "ohlcv_b", "shared_IND")
    told = "Shared_ind is claimed as indicators of a and indicators of b"
    for slug in "ab":
        assert any(
            "is claimed as indicators of" in line
            for line in registration.plan_create(stores, slug, BTC).collisions
        )
        registration.create(stores, slug, BTC)
    assert told in str(series.plan(questdb, series.catalogue(stores)))
    sent = [f"Shared_ind,dataset_id={d} rsi={n}.5 1735689600000000000" for n, d in enumerate("ab")]
    for _ in range(2):
        lines(*sent)
    intent = registration_drop.plan_drop(stores, "a")
    assert "left: Shared_ind (claimed by b too)" in intent.summary
    assert [target.table for target in intent.series.targets] == ["ohlcv_a"]
    registration_drop.drop(stores, intent, keep=False, directory=tmp_path)
    assert questdb.query("select dataset_id, rsi from Shared_ind order by rsi") == [
        {"dataset_id": "a", "rsi": 0.5},
        {"dataset_id": "b", "rsi": 1.5},
    ]
    assert series.catalogue(stores).collisions == ()


def test_a_run_in_the_table_of_another_dataset_is_told(stores, questdb, execute, dataset):
    execute(RUN, "22222222-1111-4111-8111-111111111111", dataset.dataset_id, "ohlcv_eth")
    intent, _ = registration.create(stores, "eth", BTC)
    assert "bars of eth and predictions of btc" in intent.collisions[0]
    assert not any(
        t.table == "ohlcv_eth" for t in registration_drop.plan_drop(stores, "btc").series.targets
    )


def test_one_name_for_bars_and_indicators(stores, questdb, execute, lines):
    declare(execute, "a", "a", "A")
    for _ in range(2):
        intent, done = registration.create(stores, "a", BTC)
        assert [table.name for table in intent.tables] == ["a"]
        assert "send indicators with the tag dataset_id" in intent.collisions[0]
        lines(
            "a Date=1i,open=1.5 1735689600000000000",
            "a,dataset_id=a Date=1i,rsi=55i 1735689600000000000",
        )
        assert questdb.query("select dataset_id, open, rsi from a order by open") == [
            {"dataset_id": None, "open": 1.5, "rsi": None},
            {"dataset_id": "a", "open": None, "rsi": 55},
        ]
    assert done == (Outcome.UNCHANGED,)
    assert series.plan(questdb, series.catalogue(stores)).empty
    assert [t["name"] for t in registration.read_all(stores, "a")[0].tables] == ["a"]


def test_a_slug_of_nothing(stores):
    with pytest.raises(Stage1Error, match="no ASCII letter"):
        registration.plan_create(stores, "--", BTC)


RUN = (
    "INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement) VALUES (%s, %s, %s)"
)
SIMULATION = (
    "INSERT INTO simulation_runs (simulation_id, run_id, dataset_id, questdb_namespace)"
    " VALUES (gen_random_uuid(), %s, %s, %s)"
)
RUN_ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def dataset(stores, execute):
    intent, _ = registration.create(stores, "btc", BTC, ["rsi"])
    execute(RUN, RUN_ID, intent.dataset_id, "btc_run1")
    execute(SIMULATION, RUN_ID, intent.dataset_id, "btc_sim1")
    return intent


def test_tables_of_runs_and_simulations_are_created_ahead(stores, questdb, dataset):
    intent = series.plan(questdb, series.catalogue(stores))
    assert {step.table for step in intent.plan.steps} == {"btc_run1", "btc_sim1"}
    series.carry_out(questdb, intent)
    live = live_tables(questdb)
    assert set(live["btc_run1"].dedup_keys) == {"timestamp", "fold_number"}
    assert str(live["btc_sim1"].partition_by) == "MONTH"
    assert series.plan(questdb, series.catalogue(stores)).empty


def test_tables_that_an_exporter_created_are_adopted(stores, questdb, dataset, lines):
    questdb.execute(
        "CREATE TABLE btc_run1 (bar_index LONG, fold_number LONG, prediction DOUBLE, extra DOUBLE,"
        " timestamp TIMESTAMP_NS) TIMESTAMP(timestamp) PARTITION BY DAY WAL"
    )
    lines(*["btc_run1 bar_index=1i,fold_number=0i,prediction=0.5 1735689600000000000"] * 2)
    intent = series.plan(questdb, series.catalogue(stores))
    (table,) = {refusal.table for refusal in intent.plan.refusals}
    assert table == "btc_run1"
    assert "rebuild the table" in str(intent)
    series.carry_out(questdb, intent, skip_refused=True)
    done = series.rebuild(stores, "btc_run1")
    assert done.rows == 1
    assert series.plan(questdb, series.catalogue(stores)).empty


def test_a_simulations_table_that_an_exporter_created_is_adopted(stores, questdb, dataset, lines):
    questdb.execute(
        "CREATE TABLE btc_sim1 (dataset_id SYMBOL, side_label SYMBOL, trade_index LONG, fold_index"
        " LONG, pnl DOUBLE, fee DOUBLE, is_long BOOLEAN, timestamp TIMESTAMP_NS)"
        " TIMESTAMP(timestamp) PARTITION BY DAY WAL"
    )
    sent = [
        f"btc_sim1{tags} trade_index={trade}i,fold_index=0i,pnl={trade}.5,fee=0.5,is_long=false"
        " 1735689600000000000"
        for tags in ("", ",side_label=short", ",dataset_id=d,side_label=short")
        for trade in (0, 1)
    ]
    lines(*sent)
    lines(*sent)
    assert series.plan(questdb, series.catalogue(stores)).plan.refusals
    assert series.rebuild(stores, "btc_sim1").rows == len(sent)
    lines(*sent)
    rows = questdb.query("select dataset_id, side_label, trade_index, pnl, fee, mode from btc_sim1")
    assert sorted(rows, key=str) == sorted(
        (
            {
                "dataset_id": dataset_id,
                "side_label": side,
                "trade_index": trade,
                "pnl": trade + 0.5,
                "fee": 0.5,
                "mode": None,
            }
            for dataset_id, side in ((None, None), (None, "short"), ("d", "short"))
            for trade in (0, 1)
        ),
        key=str,
    )
    assert series.plan(questdb, series.catalogue(stores)).plan.refusals == ()


def test_extra_tables_and_unusable_names_are_told(stores, questdb, execute, dataset):
    questdb.execute("CREATE TABLE btc_whose (a INT)")
    execute(RUN, "22222222-1111-4111-8111-111111111111", dataset.dataset_id, "a/b")
    intent = series.plan(questdb, series.catalogue(stores))
    assert intent.extra == ("btc_whose",)
    assert "'/'" in intent.unusable[0]
    assert intent.to_data()["extra"] == ["btc_whose"]


def test_a_plan_of_another_fingerprint_is_refused(stores, questdb, dataset):
    intent = series.plan(questdb, series.catalogue(stores))
    with pytest.raises(QuestDBError, match="changed since the plan was reviewed"):
        series.carry_out(questdb, intent, fingerprint="0" * 64)
    series.carry_out(questdb, intent, fingerprint=intent.to_data()["fingerprint"])


def test_show_and_list(stores, dataset, lines):
    lines("ohlcv_btc Date=1i,open=1.5 1735689600000000000")
    (found,) = registration.read_all(stores)
    assert registration.read_all(stores, "btc") == (found,)
    assert (found.symbol, found.runs, found.simulations) == ("BTCUSDT", 1, 1)
    assert [(t["name"], t["stands"], t["rows"]) for t in found.tables] == [
        ("ohlcv_btc", True, 1),
        ("indicators_btc", True, 0),
        ("btc_run1", False, None),
        ("btc_sim1", False, None),
    ]
    with pytest.raises(Stage1Error, match="no dataset eth"):
        registration.read_all(stores, "eth")
