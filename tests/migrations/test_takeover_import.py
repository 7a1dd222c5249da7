"""`-x legacy=import` takes every row of every shape along."""

import itertools

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from stage1_schema.alembic_plugin.legacy_import import LegacyError
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import migrate
from tests.migrations.accounting import KEYS, TARGETS, key_of, unaccounted
from tests.migrations.databases import (
    SHAPES,
    execute,
    fill,
    fingerprint,
    query,
    rows_of,
    schemas,
    script,
    upgrade,
)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_row_and_column_is_accounted_for(empty, shape):
    fill(empty, shape)
    before = rows_of(empty)
    upgrade(empty, "import", to="0001")
    (schema,) = schemas(empty, "stage1_legacy_")
    assert rows_of(empty, schema) == before
    new = rows_of(empty)
    assert unaccounted(before, new) == []
    for target in KEYS:
        old = {
            key_of(target, row)
            for source, rows in before.items()
            if TARGETS.get(source, source) == target
            for row in rows
        }
        assert {key_of(target, row) for row in new[target]} == old

    upgrade(empty)
    head = rows_of(empty)
    for target in KEYS:
        assert {key_of(target, row) for row in head[target]} == {
            key_of(target, row) for row in new[target]
        }


def test_the_accounting_itself_notices_a_lost_row_and_a_lost_value(empty):
    fill(empty, "dashboard")
    before = rows_of(empty)
    upgrade(empty, "import", to="0001")
    execute(
        empty,
        "DELETE FROM simulation_trades WHERE side = 'long'",
        "UPDATE datasets SET metadata = metadata - 'column_schema'",
        "UPDATE walkforward_folds SET best_score = 5 WHERE fold_number = 3",
    )
    lost = unaccounted(before, rows_of(empty))
    assert sum("no row" in line for line in lost) == 30
    assert sum("column_schema" in line for line in lost) == 3
    assert sum("best_score" in line for line in lost) == 6


# By the number in the id: the oldest keeps a slug, the others get 8 hex digits of their id.
SLUGS = {
    "desktop": ["btc25_4h", "eth25_1h", "sol_2025_15m", "btcusdt_4h"],
    "dashboard": ["btc25_4h", "btc25_4h_{}", "eth"],
    "reset": ["btc25_4h", "btc25_4h_{}", "btc25_4h_{}", "eth25_1h"],
}


@pytest.mark.parametrize("shape", SLUGS)
def test_slugs_are_made_by_the_rule_and_unique(empty, shape):
    fill(empty, shape)
    upgrade(empty, "import")
    statement = "SELECT dataset_slug, left(dataset_id::text, 8) FROM datasets ORDER BY created_at"
    found = query(empty, statement)
    assert [slug for slug, _ in found] == [
        slug.format(digits) for slug, (_, digits) in zip(SLUGS[shape], found, strict=True)
    ]


def test_a_changed_slug_is_kept_in_the_metadata(empty):
    fill(empty, "reset")
    upgrade(empty, "import")
    rows = {row["dataset_id"]: row for row in rows_of(empty)["datasets"]}
    kept = {row["metadata"].get("legacy", {}).get("dataset_slug") for row in rows.values()}
    assert kept == {None, "BTC25-4h", "btc25_4H"}


def test_a_taken_slug_with_the_suffix_still_ends_unique(empty):
    execute(
        empty,
        script("reset"),
        "INSERT INTO datasets (dataset_id, dataset_slug, created_at) VALUES"
        " ('00000000-0000-0000-0000-000000000001', 'a', '2025-01-01'),"
        " ('00000000-0000-0000-0000-000000000002', 'A', '2025-01-02'),"
        " ('00000000-0000-0000-0000-000000000003', 'a_00000000', '2025-01-03'),"
        " ('00000000-0000-0000-0000-000000000004', '-', '2025-01-03'),"
        " ('00000000-0000-0000-0000-000000000005', '', '2025-01-03')",
    )
    upgrade(empty, "import")
    slugs = {r["dataset_id"][-1]: r["dataset_slug"] for r in rows_of(empty)["datasets"]}
    assert slugs == {
        "1": "a",
        "2": "a_00000000000000000000000000000002",
        "3": "a_00000000",
        "4": "dataset_00000000",
        "5": "dataset_00000000_00000000",
    }


def test_the_richer_row_wins_and_the_other_is_kept(empty):
    fill(empty, "all_with_jobs")
    upgrade(empty, "import", to="0001")
    rows = {row["dataset_slug"]: row for row in rows_of(empty)["datasets"]}
    merged = rows["merged_1"]
    assert merged["symbol"] == "BTCUSD"  # stage1_datasets has the most values
    assert merged["indicator_row_count"] == 1000  # a 0 is poorer than a count
    assert merged["lookback_rows"] == 10  # the others fill what it lacks
    assert merged["metadata"]["version"] == 9
    assert merged["metadata"]["ohlcv_measurement"] == "btc25_4h_ohlcv"
    legacy = merged["metadata"]["legacy"]
    assert legacy["datasets"]["dataset_slug"] == "btc25_4h"
    assert legacy["datasets"]["metadata"]["version"] == 2
    assert legacy["indicator_datasets"]["indicator_measurement"] == "btc25_4h"
    assert "ohlcv_row_count" not in legacy["indicator_datasets"]


ORPHANS = {
    "runs": (
        "DELETE FROM indicator_datasets WHERE questdb_tag = 'btc25_4h'",
        {"datasets": 1},
    ),
    "simulations of a lost run": (
        "DELETE FROM walkforward_runs WHERE run_id = md5('run2')::uuid",
        {"walkforward_runs": 1},
    ),
    "folds": (
        "DELETE FROM walkforward_runs WHERE run_id = md5('run6')::uuid",
        {"datasets": 1, "walkforward_runs": 1},
    ),
    "trades and buckets": (
        "DELETE FROM simulation_runs WHERE simulation_id = md5('sim1')::uuid",
        {"datasets": 1, "walkforward_runs": 1, "simulation_runs": 1},
    ),
    "everything": (
        "TRUNCATE indicator_datasets, walkforward_runs, simulation_runs",
        {"datasets": 10, "walkforward_runs": 10, "simulation_runs": 4},
    ),
}


def drop_foreign_keys(settings):
    """Lose the foreign keys, as DROP … CASCADE of a table does."""
    found = query(
        settings,
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE contype = 'f' AND connamespace = 'public'::regnamespace",
    )
    execute(settings, *(f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name in found))


@pytest.mark.parametrize("case", ORPHANS)
def test_rows_without_a_parent_get_a_placeholder(empty, case):
    statement, placeholders = ORPHANS[case]
    fill(empty, "desktop")
    drop_foreign_keys(empty)
    execute(empty, statement)
    before = rows_of(empty)
    told = upgrade(empty, "import")
    after = rows_of(empty)
    assert all(
        len(after[table]) == len(before[TARGET_OF.get(table, table)]) + placeholders.get(table, 0)
        for table in ("datasets", "walkforward_runs", "simulation_runs", "simulation_trades")
    )
    assert sum(row["is_placeholder"] for row in after["datasets"]) == placeholders.get(
        "datasets", 0
    )
    runs = sum(row["is_placeholder"] for row in after["walkforward_runs"])
    assert runs == placeholders.get("walkforward_runs", 0)
    (line,) = [line for line in told if line.startswith("Imported")]
    assert all(f"and {count:,} placeholders" in line for count in placeholders.values())


TARGET_OF = {"datasets": "indicator_datasets"}

REFUSED = {
    "a key twice": (
        """ALTER TABLE walkforward_folds DROP CONSTRAINT walkforward_folds_pkey;
        INSERT INTO walkforward_folds SELECT * FROM walkforward_folds WHERE fold_number = 3""",
        r"walkforward_folds has 6 keys more than once, such as .* 3 \(2 rows\)",
    ),
    "no key": (
        """ALTER TABLE walkforward_folds DROP CONSTRAINT walkforward_folds_pkey;
        ALTER TABLE walkforward_folds ALTER fold_number DROP NOT NULL;
        UPDATE walkforward_folds SET fold_number = NULL WHERE fold_number = 1""",
        "walkforward_folds has 6 rows without a usable run_id and fold_number",
    ),
    "a bucket's side": (
        "UPDATE simulation_trade_buckets SET side = 'net' WHERE side = 'all'",
        "simulation_trade_buckets has 4 rows without a usable simulation_id and side",
    ),
    "a value that no longer fits": (
        """ALTER TABLE walkforward_runs ALTER duration_ms TYPE numeric;
        UPDATE walkforward_runs SET duration_ms = 1e30""",
        "The rows of walkforward_runs cannot be imported: bigint out of range",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_imported_stops_it_and_changes_nothing(empty, case):
    statement, message = REFUSED[case]
    fill(empty, "desktop")
    execute(empty, statement)
    before = fingerprint(empty)
    with pytest.raises(LegacyError, match=message) as caught:
        upgrade(empty, "import")
    assert "Nothing was changed" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert fingerprint(empty) == before


class FaultError(Exception):
    """Raised in place of a statement."""


def fail_at(number):
    """Make the statement of that number fail; 0 counts only."""
    seen = []

    def before(_connection, _cursor, statement, *_):
        seen.append(statement)
        if len(seen) == number:
            raise FaultError(statement)

    event.listen(Engine, "before_cursor_execute", before)
    return seen, lambda: event.remove(Engine, "before_cursor_execute", before)


@pytest.mark.slow
def test_a_fault_at_any_statement_changes_nothing_and_the_next_run_converges(empty):
    fill(empty, "all_with_jobs")
    before = fingerprint(empty)
    seen, stop = fail_at(-1)
    try:
        with pytest.raises(Stage1Error):
            upgrade(empty)
    finally:
        stop()
    first = len(seen)
    for number in itertools.count(first):  # until there is no such statement any more
        seen, stop = fail_at(number)
        try:
            upgrade(empty, "import", to="0001")
        except FaultError:
            assert fingerprint(empty) == before, seen[-1]
        else:
            break
        finally:
            stop()
    assert number > first + 75
    assert any("INSERT INTO public.datasets" in statement for statement in seen)
    upgrade(empty, "import")
    (schema,) = schemas(empty, "stage1_legacy_")
    assert rows_of(empty, schema) == before[1]["public"]
    assert query(empty, "SELECT version_num FROM alembic_version") == [(migrate.head(),)]


def test_a_placeholder_that_an_operator_made_by_hand_is_one(empty):
    fill(empty, "desktop")
    execute(
        empty,
        "INSERT INTO indicator_datasets (dataset_id, symbol, granularity, source, questdb_tag,"
        " row_count, first_bar_ts, last_bar_ts) VALUES (md5('by hand')::uuid, 'XRP', 'unknown',"
        " 'laptop_imgui', 'xrp_ind', 0, NOW(), NOW())",
    )
    upgrade(empty, "import")
    (made,) = [row for row in rows_of(empty)["datasets"] if row["symbol"] == "XRP"]
    assert (made["dataset_slug"], made["is_placeholder"]) == ("xrp_ind", True)
    assert made["source"] == "laptop_imgui"
    for invented in ("granularity", "indicator_row_count", "indicator_measurement"):
        assert made[invented] is None
    assert (made["indicator_first_ts"], made["indicator_last_ts"]) == (None, None)
    assert not any(row["is_placeholder"] for row in rows_of(empty)["datasets"] if row != made)


def test_the_view_of_an_old_tables_name_has_its_rows(empty):
    fill(empty, "desktop_and_generation_b")
    upgrade(empty, "import")
    columns = "dataset_id::text, dataset_slug, symbol, ohlcv_row_count"
    found = query(empty, f"SELECT {columns} FROM stage1_datasets ORDER BY 1")
    assert found == query(empty, f"SELECT {columns} FROM datasets ORDER BY 1")
    assert ("merged_9", "BTCUSD", 5000) in [row[1:] for row in found]
    (schema,) = schemas(empty, "stage1_legacy_")
    assert query(empty, f"SELECT count(*) FROM {schema}.stage1_datasets") == [(2,)]
