"""Archive and drop, what other software built on the tables, locks, and the offline script."""

import os
import subprocess
import threading
import time

import pytest
from alembic import command

from stage1_schema.alembic_plugin.legacy_import import LegacyError
from stage1_schema.connect import connect
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import migrate
from stage1_schema.servers.binaries import postgres_binaries
from tests.migrations.databases import (
    SHAPES,
    execute,
    fill,
    fingerprint,
    query,
    rows_of,
    schemas,
    upgrade,
)
from tests.plugins.databases import as_role


@pytest.mark.parametrize("shape", SHAPES)
def test_archive_moves_every_row_and_copies_none(empty, shape):
    fill(empty, shape)
    before = rows_of(empty)
    upgrade(empty, "archive")
    (schema,) = schemas(empty, "stage1_legacy_")
    assert rows_of(empty, schema) == before
    assert not any(rows_of(empty).values())


def test_drop_wants_the_name_of_the_database(empty):
    fill(empty, "desktop")
    before = fingerprint(empty)
    for legacy in ("drop", "drop:other"):
        with pytest.raises(
            LegacyError, match=r"would delete for good .*walkforward_folds \(48 rows\)"
        ) as caught:
            upgrade(empty, legacy)
        assert str(caught.value).endswith(f"-x legacy=drop:{empty.postgres.database}.")
        assert fingerprint(empty) == before
    told = upgrade(empty, f"drop:{empty.postgres.database}")
    assert any(
        line.startswith("Dropped") and "walkforward_folds (48 rows)" in line for line in told
    )
    assert schemas(empty) == []
    assert not any(rows_of(empty).values())


# What stands, and how it is named where it is in the way.
FOREIGN = {
    "view": (
        "CREATE SCHEMA other; CREATE VIEW other.daily AS SELECT count(*) FROM walkforward_runs",
        "view other.daily",
    ),
    "materialized view on a view of ours": (
        "CREATE MATERIALIZED VIEW weekly AS SELECT * FROM dataset_hierarchy",
        "materialized view weekly",
    ),
    "view on a view on a table": (
        "CREATE VIEW a AS SELECT run_id FROM walkforward_runs; CREATE VIEW b AS SELECT * FROM a",
        "view a, view b",
    ),
    "foreign key": (
        "CREATE TABLE note (run_id uuid CONSTRAINT note_run REFERENCES walkforward_runs)",
        "constraint note_run on table note",
    ),
    "function with a row type": (
        """CREATE FUNCTION latest() RETURNS SETOF walkforward_runs LANGUAGE sql
           AS 'SELECT * FROM walkforward_runs LIMIT 1'""",
        "function latest()",
    ),
    "column of a row type": (
        "CREATE TABLE snapshot (run walkforward_runs)",
        "column run of table snapshot",
    ),
    "view on a function of ours": (
        "CREATE VIEW listed AS SELECT * FROM fn_list_datasets(10)",
        "view listed",
    ),
    "trigger": (
        """CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
           CREATE TRIGGER audited AFTER INSERT ON walkforward_runs
               FOR EACH ROW EXECUTE FUNCTION audit()""",
        "trigger audited on table walkforward_runs",
    ),
    "policy": (
        """CREATE TABLE mine (run_id uuid); ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
           CREATE POLICY known ON mine
               USING (EXISTS (SELECT FROM walkforward_runs r WHERE r.run_id = mine.run_id))""",
        "policy known on table mine",
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_drop_refuses_what_other_software_built(empty, case):
    statement, named = FOREIGN[case]
    fill(empty, "desktop", rows=False)
    execute(empty, statement)
    before = fingerprint(empty)
    for legacy in (None, f"drop:{empty.postgres.database}"):
        with pytest.raises(LegacyError, match="Other software built on") as caught:
            upgrade(empty, legacy)
        assert f": {named}. Nothing was changed." in str(caught.value)
        assert fingerprint(empty) == before


@pytest.mark.parametrize("legacy", ["import", "archive"])
@pytest.mark.parametrize("case", FOREIGN)
def test_what_other_software_built_follows_the_moved_tables(empty, case, legacy):
    statement, named = FOREIGN[case]
    fill(empty, "desktop")
    execute(empty, statement)
    told = upgrade(empty, legacy)
    (schema,) = schemas(empty, "stage1_legacy_")
    (line,) = [line for line in told if "What other software built" in line]
    assert line.endswith(f"reads schema {schema} from now on: {named}")
    if case == "view":
        assert query(empty, "SELECT * FROM other.daily") == [(6,)]
        (definition,) = query(empty, "SELECT pg_get_viewdef('other.daily'::regclass)")[0]
        assert schema in definition
    if case == "foreign key":
        execute(empty, "INSERT INTO note SELECT run_id FROM " + f"{schema}.walkforward_runs")


def test_a_view_of_a_table_with_a_foreign_key_is_not_in_the_way(empty):
    fill(empty, "desktop", rows=False)
    execute(empty, FOREIGN["foreign key"][0], "CREATE VIEW notes AS SELECT * FROM note")
    with pytest.raises(LegacyError) as caught:
        upgrade(empty)
    assert "view notes" not in str(caught.value)


def test_functions_that_only_mention_a_table_are_a_warning(empty):
    fill(empty, "desktop", rows=False)
    execute(
        empty,
        "CREATE FUNCTION report() RETURNS bigint LANGUAGE plpgsql"
        " AS 'BEGIN RETURN (SELECT count(*) FROM walkforward_runs); END'",
    )
    told = upgrade(empty)
    assert "Other software mentions these tables: function report()" in told
    assert query(empty, "SELECT report()") == [(0,)]


def test_grants_stay_with_the_moved_tables_and_still_work(empty):
    fill(empty, "desktop")
    execute(empty, "GRANT SELECT, INSERT ON walkforward_runs TO stage1_readonly")
    upgrade(empty, "archive")
    (schema,) = schemas(empty, "stage1_legacy_")
    reader = as_role(empty, "stage1_readonly")
    assert query(reader, f"SELECT count(*) FROM {schema}.walkforward_runs") == [(6,)]
    granted = query(
        empty,
        "SELECT privilege_type FROM information_schema.role_table_grants WHERE table_schema = %s"
        " AND grantee = 'stage1_readonly' ORDER BY 1",
        schema,
    )
    assert granted == [("INSERT",), ("SELECT",)]


@pytest.mark.parametrize("legacy", ["import", "archive"])
def test_a_row_of_a_writer_that_was_first_is_taken_along(empty, legacy):
    """The upgrade waits for an open transaction and then counts and moves what it wrote."""
    fill(empty, "desktop")
    before = rows_of(empty)
    failed = []

    def run():
        try:
            upgrade(empty, legacy)
        except Stage1Error as error:
            failed.append(error)

    with connect(empty.postgres) as writer:
        writer.execute(
            "INSERT INTO indicator_datasets (dataset_id, symbol, granularity, questdb_tag)"
            " VALUES (gen_random_uuid(), 'ETHUSDT', '1h', 'late')"
        )
        thread = threading.Thread(target=run)
        thread.start()
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        deadline = time.monotonic() + 60
        seen = False
        while not seen and time.monotonic() < deadline:  # each try waits for 50 ms only
            seen = bool(query(empty, waiting))
        writer.commit()
        assert seen
    thread.join(30)
    assert failed == []
    (schema,) = schemas(empty, "stage1_legacy_")
    moved = rows_of(empty, schema)
    assert len(moved["indicator_datasets"]) == len(before["indicator_datasets"]) + 1
    datasets = rows_of(empty)["datasets"]
    assert len(datasets) == (len(moved["indicator_datasets"]) if legacy == "import" else 0)


def test_a_row_of_a_writer_that_came_later_goes_to_the_new_table_or_fails(empty):
    """A writer that waits while the tables move loses nothing in silence."""
    fill(empty, "reset")
    upgrade(empty, "import")
    execute(
        empty,
        "INSERT INTO datasets (dataset_id, dataset_slug) VALUES (gen_random_uuid(), 'after')",
    )
    assert query(empty, "SELECT count(*) FROM datasets") == [(5,)]


def psql(settings, script):
    parameters = settings.postgres.parameters
    return subprocess.run(
        [str(postgres_binaries() / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PGHOST": parameters["host"],
            "PGPORT": parameters["port"],
            "PGDATABASE": parameters["dbname"],
            "PGUSER": parameters["user"],
            "PGPASSWORD": parameters["password"],
        },
    )


def offline(capsys, *arguments):
    command.upgrade(migrate.config(None, arguments), "head", sql=True)
    return capsys.readouterr().out


@pytest.mark.parametrize("shape", [None, *SHAPES])
def test_the_offline_script_runs_on_an_empty_database_only(empty, shape, capsys):
    if shape:
        fill(empty, shape, rows=False)
    before = fingerprint(empty)
    done = psql(empty, offline(capsys))
    if shape is None:
        assert (done.returncode, done.stderr.replace("NOTICE", "")) == (0, done.stderr)
        assert query(empty, "SELECT version_num FROM alembic_version") == [(migrate.head(),)]
        return
    assert done.returncode == 3
    assert "Tables of an earlier Stage1 stand: " in done.stderr
    assert "alembic upgrade head" in done.stderr
    assert fingerprint(empty) == before


def test_a_script_cannot_take_over():
    with pytest.raises(Exception, match="A script cannot take a database over"):
        command.upgrade(migrate.config(None, ["legacy=import"]), "head", sql=True)
