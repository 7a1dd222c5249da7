"""Names that are taken twice stop the revision that makes them unique; a command lists them."""

import json

import pytest
from click.testing import CliRunner

from stage1_schema.alembic_plugin.unique_names import DuplicateNamesError
from stage1_schema.cli import group
from stage1_schema.ops import duplicates
from tests.migrations.databases import execute, fill, query, rows_of, upgrade
from tests.plugins.databases import environment

TAKEN = {
    "runs": (
        """UPDATE walkforward_runs SET prediction_measurement = 'same',
                  dataset_id = md5('dataset1')::uuid WHERE run_id <> md5('run1')::uuid""",
        r"and 1 names are not: .*prediction_measurement same \(5 rows\)\. Nothing was deleted",
        [("walkforward_runs", 5)],
    ),
    "simulations": (
        """ALTER TABLE simulation_runs DROP CONSTRAINT simulation_runs_questdb_namespace_key;
        UPDATE simulation_runs SET questdb_namespace = 'same', run_id = md5('run1')::uuid""",
        r"simulation_runs \(run_id, questdb_namespace\) must be unique .* same \(4 rows\)",
        [("simulation_runs", 4)],
    ),
}


def run(settings, monkeypatch, *arguments):
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return CliRunner().invoke(group, ["duplicates", *arguments])


def test_nothing_is_taken_twice(migrated, monkeypatch):
    assert duplicates.find(migrated).groups == ()
    done = run(migrated, monkeypatch)
    assert (done.exit_code, done.stdout) == (
        0,
        f"PostgreSQL {migrated.postgres.where}: every name is unique.\n",
    )


@pytest.mark.parametrize("case", TAKEN)
def test_names_taken_twice_stop_the_revision_and_are_listed(empty, case, monkeypatch):
    statement, message, counts = TAKEN[case]
    fill(empty, "desktop")
    execute(empty, statement)
    with pytest.raises(DuplicateNamesError, match=message) as caught:
        upgrade(empty, "import")
    assert "stage1 duplicates" in str(caught.value)
    assert query(empty, "SELECT version_num FROM alembic_version") == [("0003",)]
    assert len(rows_of(empty)["walkforward_runs"]) == 6

    found = duplicates.find(empty).groups
    assert [(each.table, len(each.rows)) for each in found] == counts
    shown = run(empty, monkeypatch)
    assert shown.exit_code == 1
    assert all(row.id in shown.stdout for each in found for row in each.rows)
    data = json.loads(run(empty, monkeypatch, "--json").stdout)
    assert data["groups"][0]["rows"][0].keys() == {"id", "created_at"}

    ((table, key),) = {
        ("walkforward_runs", "run_id")
        if each.table == "walkforward_runs"
        else (each.table, "simulation_id")
        for each in found
    }
    column = "prediction_measurement" if table == "walkforward_runs" else "questdb_namespace"
    execute(empty, f"UPDATE {table} SET {column} = {column} || '_' || {key}")
    upgrade(empty)
    assert duplicates.find(empty).groups == ()


def test_only_the_largest_groups_are_in_the_message(empty):
    fill(empty, "desktop")
    execute(
        empty,
        "INSERT INTO walkforward_runs SELECT gen_random_uuid(), md5('dataset1')::uuid, 'm' || n % 5"
        " FROM generate_series(1, 23) n",
    )
    with pytest.raises(DuplicateNamesError, match=r"5 names are not: .*; and 2 more\.") as caught:
        upgrade(empty, "import")
    assert str(caught.value).count("rows)") == 3


def test_old_shapes_can_be_looked_at_before_the_takeover(empty):
    execute(empty, "CREATE TABLE datasets (dataset_id text, dataset_slug text)")
    execute(empty, "INSERT INTO datasets VALUES ('a', 's'), ('b', 's'), ('c', NULL), ('d', NULL)")
    (only,) = duplicates.find(empty).groups
    assert str(only) == "dataset_slug s (2 rows)"
    assert [(row.id, row.created_at) for row in only.rows] == [("a", None), ("b", None)]
