"""A dataset in both stores: created whatever failed before, shown, listed, taken away."""

import json

import pytest

from questdb_ddl import Ensured, live_tables
from stage1_schema.errors import ConfirmationError, QuestDBError, Stage1Error
from stage1_schema.ops import registration, series
from stage1_schema.ops.registration import Attributes

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
    assert (intent.slug, done) == ("btc_25_4h", (Ensured.CREATED, Ensured.CREATED))
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
    assert done == (Ensured.UNCHANGED, Ensured.UNCHANGED)
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
    with pytest.raises(QuestDBError, match="stage1 questdb rebuild ohlcv_btc"):
        registration.create(stores, "btc", BTC)
    assert execute("SELECT count(*) FROM datasets") == [(0,)]
    series.rebuild(stores, "ohlcv_btc")
    registration.create(stores, "btc", BTC)
    assert questdb.query("select open from ohlcv_btc") == [{"open": 1.5}]


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


@pytest.mark.parametrize("step", range(4))
def test_drop_keeps_rows_aside_and_goes_on_after_a_failure(
    stores, questdb, execute, dataset, lines, tmp_path, step
):
    lines("ohlcv_btc Date=1i,open=1.5 1735689600000000000")
    intent = registration.plan_drop(stores, "btc")
    assert "ohlcv_btc (1 rows)" in intent.summary
    assert "walkforward_runs 1" in intent.summary
    with pytest.raises(ConfirmationError, match="--confirm btc"):
        registration.confirm(intent, "eth")
    registration.confirm(intent, "btc")
    if step < 3:
        with pytest.raises(Failed):
            registration.drop(stores, intent, keep=True, directory=tmp_path, on_step=fail_at(step))
    if step < 2 or step == 3:
        intent = registration.plan_drop(stores, "btc")
        _, path = registration.drop(stores, intent, keep=True, directory=tmp_path)
    else:
        (path,) = tmp_path.iterdir()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["table"] for record in records] == [
        "datasets", "walkforward_runs", "simulation_runs",
    ]  # fmt: skip
    assert execute("SELECT count(*) FROM walkforward_runs") == [(0,)]
    (kept,) = names(questdb)
    assert kept.startswith("ohlcv_btc_retired_")


def test_drop_for_good(stores, questdb, execute, dataset, lines, tmp_path):
    lines("ohlcv_btc Date=1i,open=1.5 1735689600000000000")
    registration.drop(stores, registration.plan_drop(stores, "btc"), keep=False, directory=tmp_path)
    assert names(questdb) == set()
    assert execute("SELECT count(*) FROM datasets") == [(0,)]
    assert list(tmp_path.iterdir()) == []
