"""A record names a table that is somebody else's: it is reported and never dropped."""

import pytest

from questdb_ddl import live_tables
from stage1_schema.ops import (
    dropping,
    registration,
    registration_drop,
    retention,
    retention_apply,
)
from tests.series.conftest import OLD_RUN, OLD_SERVERS
from tests.series.test_retention import NOW, ns

AT = ns(NOW)
SIMULATED = f"simulation_id=s,run_id={OLD_RUN},mode=long"
LINES = {
    "trades of somebody": "x,symbol=BTC,side=buy price=1.5,amount=2.5",
    "prices as text": 'x bar_index="1",fold_number=0i,prediction=0.5',
    "predictions": "x bar_index=1i,fold_number=0i,prediction=0.5,long_threshold=0.1",
    "predictions of an old exporter": "x bar_index=1,fold_number=0,prediction=1i,more=1i",
    "simulation": f"x,{SIMULATED} pnl=1.5",
    "bars": "x Date=1i,Time=2i,open=1.5,high=1.5,low=1.5,close=1.5,volume=1.5",
    "tagged indicators": "x,dataset_id=d rsi=1.5,atr=1i",
    "timed indicators": "x timestamp_ms=1i,rsi=1.5",
    "dated indicators": "x Date=1i,Time=2i,rsi=1.5",
    "tagged notes": 'x,dataset_id=d note="mine"',
}


def held(questdb):
    return questdb.query("select count() n from x")[0]["n"] if "x" in live_tables(questdb) else 0


@pytest.mark.core
@pytest.mark.parametrize("kind", LINES)
def test_retention_drops_what_a_run_made_and_nothing_else(
    stores, questdb, lines, runs, execute, tmp_path, kind
):
    execute("UPDATE walkforward_runs SET prediction_measurement = 'X' WHERE run_id = %s", OLD_RUN)
    lines(f"{LINES[kind]} {AT}")
    intent = retention.plan(stores, **OLD_SERVERS)
    retention_apply.apply(stores, intent, tmp_path, **OLD_SERVERS)
    ours = kind.startswith("predictions")
    assert held(questdb) == (0 if ours else 1)
    assert [each.table for each in intent.going] == ["x"] * ours
    assert bool(intent.foreign) is not ours
    if not ours:
        assert intent.foreign[0].startswith("x: it is recorded as predictions, and it")


@pytest.mark.parametrize("kind", LINES)
def test_retention_of_a_simulation(stores, questdb, lines, runs, execute, kind):
    execute(
        "INSERT INTO simulation_runs (simulation_id, run_id, dataset_id, questdb_namespace,"
        " created_at) SELECT gen_random_uuid(), run_id, dataset_id, 'x',"
        " now() - make_interval(days => 400) FROM walkforward_runs WHERE run_id = %s",
        OLD_RUN,
    )
    lines(f"{LINES[kind]} {AT}")
    intent = retention.plan(stores, **OLD_SERVERS)
    assert [each.table for each in intent.going] == ["x"] * (kind == "simulation")


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize(
    ("field", "holds"), [("ohlcv_name", "bars"), ("indicator_name", "indicators")]
)
def test_a_dataset_is_dropped_with_its_own_tables_only(
    stores, questdb, lines, execute, tmp_path, kind, field, holds
):
    registration.create(stores, "btc", registration.Attributes())
    column = "ohlcv_measurement" if field == "ohlcv_name" else "indicator_measurement"
    execute(f"UPDATE datasets SET {column} = 'x'")
    lines(f"{LINES[kind]} {AT}")
    ours = holds in kind or (kind == "bars" and holds == "indicators")  # they are dated numbers
    intent = registration_drop.plan_drop(stores, "btc")
    assert ("x" in [target.table for target in intent.series.targets]) is ours
    assert any(left.startswith("x (it is recorded as ") for left in intent.series.left) is not ours
    registration_drop.drop(stores, intent, keep=False, directory=tmp_path)
    assert held(questdb) == (0 if ours else 1)
    assert execute("SELECT count(*) FROM datasets") == [(0,)]


def test_all_registered_tables_are_ours_and_a_named_one_is_dropped(
    stores, questdb, lines, runs, execute
):
    execute("UPDATE walkforward_runs SET prediction_measurement = 'x' WHERE run_id = %s", OLD_RUN)
    lines(f"{LINES['trades of somebody']} {AT}")
    intent = dropping.plan_registered(stores)
    assert "x" not in [target.table for target in intent.targets]
    assert "left: x (it is recorded as predictions, and it lacks bar_index)" in intent.summary
    assert [target.table for target in dropping.plan_table(stores, "x").targets] == ["x"]
