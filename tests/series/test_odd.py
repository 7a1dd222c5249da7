"""Commands on a server with odd tables: each is one finding, and everything else is done."""

import pytest

from questdb_ddl import live_tables
from stage1_schema.ops import (
    drift,
    dropping,
    registration,
    registration_drop,
    retention,
    series,
    status,
    validation,
)
from tests.questdb.odd import BROKEN, LARGE, STEERING, UNREAD, odd_tables
from tests.series.conftest import OLD_RUN, OLD_SERVERS
from tests.series.test_retention import NOW, bar, ns

pytestmark = pytest.mark.core


@pytest.fixture
def odd(stores, questdb, questdb_server, lines):
    registration.create(stores, "btc", registration.Attributes())
    lines(f"ohlcv_btc Date=1i,open=1.5 {ns(NOW)}", bar(NOW))
    with odd_tables(questdb, questdb_server.directory):
        yield


def test_status_and_check(stores, odd):
    read = status.read(stores)
    found = {table.name: table for table in read.questdb.tables}
    assert read.questdb.error is None
    assert found["ohlcv_btc"].rows == 1
    assert {name for name, table in found.items() if table.unread} == set(UNREAD)
    assert not read.healthy
    checked = drift.check(stores)
    assert not [each for each in checked.questdb if each.difference]


def test_validate(stores, odd):
    names = list(validation.series_checks.CHECKS)
    result = validation.validate(stores, names)
    found = {each.check.name: each for each in result.outcomes}
    assert result.not_run == ()
    assert {e.id for e in found.pop("questdb_unread").examples} == set(UNREAD)
    assert [name for name, outcome in found.items() if outcome.count] == []


@pytest.mark.parametrize("what", ["plan_dataset", "plan_table"])
def test_others_are_dropped(stores, questdb, odd, what):
    named = "btc" if what == "plan_dataset" else "ohlcv_btc"
    intent = getattr(dropping, what)(stores, named)
    dropping.carry_out(stores, intent, keep=False, watch_seconds=0)
    assert "ohlcv_btc" not in live_tables(questdb)


def test_a_dataset_with_a_broken_table_is_shown(stores, questdb, odd, execute, tmp_path):
    execute("UPDATE datasets SET indicator_measurement = %s", BROKEN)
    (found,) = registration.read_all(stores, "btc")
    (table,) = [t for t in found.tables if t["name"] == BROKEN]
    assert (table["rows"], UNREAD[BROKEN] in table["unread"]) == (None, True)
    registration_drop.drop(
        stores, registration_drop.plan_drop(stores, "btc"), keep=True, directory=tmp_path
    )
    assert BROKEN in live_tables(questdb)  # its columns are not those of indicators


def test_the_broken_one_is_dropped_by_name_and_says_what_is_not_counted(stores, questdb, odd):
    intent = dropping.plan_table(stores, BROKEN)
    assert f"and what cannot be counted: {UNREAD[BROKEN]}" in intent.summary
    dropping.carry_out(stores, intent, keep=False, watch_seconds=0)
    assert BROKEN not in live_tables(questdb)


def test_everything_but_a_name_that_no_statement_can_hold(stores, questdb, odd):
    intent = dropping.plan_everything(stores)
    assert "cannot be written in QuestDB's SQL" in intent.left[0]
    dropping.carry_out(stores, intent, keep=False, watch_seconds=0)
    assert set(live_tables(questdb)) == {STEERING}


def test_doctor_reads_the_others(stores, odd, execute):
    execute("UPDATE datasets SET indicator_measurement = %s", BROKEN)
    found = {each.table: each for each in series.diagnose(stores)}
    assert "Partition '2025-02' does not exist" in found[BROKEN].unread
    assert (found["ohlcv_btc"].rows, found["ohlcv_btc"].unread) == (1, "")


def test_retention_names_it_and_plans_the_rest(stores, questdb, odd, execute):
    dataset = execute("SELECT dataset_id FROM datasets")[0][0]
    execute(
        "INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement, created_at)"
        " VALUES (%s, %s, %s, now() - interval '400 days')",
        OLD_RUN, dataset, BROKEN,
    )  # fmt: skip
    for column in ("bar_index LONG", "fold_number LONG", "prediction DOUBLE"):
        questdb.execute(f"ALTER TABLE {BROKEN} ADD COLUMN {column}")
    questdb.wait_for(BROKEN)
    intent = retention.plan(stores, **OLD_SERVERS)
    assert intent.going == ()
    assert intent.refusals[0].startswith(f"{BROKEN} cannot be read: {UNREAD[BROKEN]}")


def test_a_large_symbol_stops_nothing(stores, odd):
    intent = dropping.plan_table(stores, LARGE)
    dropping.carry_out(stores, intent, keep=True, watch_seconds=0)
