"""A plan of a revision on standing rows, and what `stage1 upgrade` does with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from stage1_schema.connect import connect
from stage1_schema.ops import migrate, plan
from stage1_schema.ops.plan import PlanRefusedError
from tests.migrations.commands import alembic
from tests.plugins.databases import ROLES, client, environment

SKIP = ("questdb=skip",)
STAGE1 = Path(sys.executable).with_name("stage1")
REVISION = '''"""Change datasets

Revision ID: {number}
Revises: {before}
"""

from alembic import op

revision = "{number}"
down_revision = "{before}"


def upgrade() -> None:
    {body}


def downgrade() -> None:
    {back}
'''
BODY = """op.run_sql_file("{number}/x.sql")"""
SQL = """
ALTER TABLE datasets ADD COLUMN code bigint UNIQUE;
DROP INDEX ix_walkforward_runs_completed_at;
CREATE TABLE notes (dataset_id uuid REFERENCES datasets);
CREATE INDEX ix_notes ON notes (dataset_id);
DO $$ BEGIN DELETE FROM stage1_jobs WHERE status = 'COMPLETED'; END $$;
"""


@pytest.fixture
def revise(checkout, monkeypatch):
    """Write a revision that runs SQL; its number is the next."""
    monkeypatch.chdir(checkout)
    head = int(migrate.head())
    numbers = iter(range(head + 1, head + 9))

    def write(sql="COMMENT ON TABLE datasets IS 'x'", back="pass"):
        number = next(numbers)
        names = {"number": f"{number:04d}", "before": f"{number - 1:04d}"}
        directory = checkout / "migrations" / "sql" / names["number"]
        directory.mkdir()
        (directory / "x.sql").write_text(sql)
        path = checkout / "migrations" / "versions" / f"{names['number']}_change.py"
        path.write_text(REVISION.format(**names, body=BODY.format(**names), back=back))
        return directory / "x.sql"

    return write


def stage1(directory, settings, *arguments):
    done = subprocess.run(
        [STAGE1, *arguments],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", **environment(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def at(settings):
    with client(settings, ROLES.owner) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()


def test_plan_tells_locks_rows_hazards_and_findings(migrated, connection, revise, checkout):
    connection.execute(
        "INSERT INTO datasets (dataset_id, dataset_slug)"
        " SELECT gen_random_uuid(), 'd' || n FROM generate_series(1, 12000) n; ANALYZE datasets"
    )
    revise(SQL)
    (found,) = plan.make(migrated, SKIP).revisions
    held = {(lock.table, lock.lock, lock.rows) for each in found.postgres for lock in each.locks}
    scan, instant = "(blocks reads and writes while it runs)", "for an instant)"
    assert held == {
        ("datasets", f"ACCESS EXCLUSIVE {scan}", 12000),
        ("walkforward_runs", f"ACCESS EXCLUSIVE (blocks reads and writes {instant}", 0),
        ("datasets", f"SHARE ROW EXCLUSIVE (blocks writes {instant}", 12000),
        ("stage1_jobs", "ROW EXCLUSIVE (blocks writes of the same rows while it runs)", 0),
    }
    assert found.hazards == ("blocks reads and writes", "deletes data", "not reversible")
    assert any(each.startswith("disallowed-unique-constraint") for each in found.lint)
    assert any(each.startswith("require-concurrent-index-deletion") for each in found.lint)
    code, said = stage1(checkout, migrated, "plan", "-x", *SKIP)
    assert code == 0
    assert f"lock     ACCESS EXCLUSIVE {scan} on datasets, about 12,000 rows" in said
    assert "squawk   disallowed-unique-constraint" in said


COMMENTED = """-- Running upgrade 0014 -> 0015, said before
CREATE FUNCTION noted() RETURNS integer LANGUAGE sql AS $$
-- Running upgrade 0014 -> 0016, said inside
-- QuestDB: DROP TABLE indicator_bars
SELECT 1
$$;
-- QuestDB: DROP TABLE indicator_bars
"""


def test_comments_of_a_body_are_part_of_it(both, revise, checkout):
    """Though they look like what Alembic and this project write into a script."""
    migrate.upgrade(both)
    path = revise(COMMENTED, back="raise NotImplementedError")
    (revision,) = (checkout / "migrations" / "versions").glob("*_change.py")
    column = '    op.add_questdb_column("indicator_bars", "noted", "DOUBLE")'
    upgrade = f'op.run_sql_file("{path.parent.name}/x.sql")'
    revision.write_text(revision.read_text().replace(upgrade, f"{upgrade}\n{column}"))
    (found,) = plan.make(both).revisions
    (statement,) = found.postgres
    assert statement.kind == "CREATE FUNCTION"
    assert "-- Running upgrade 0014 -> 0016, said inside\n-- QuestDB: DROP" in statement.sql
    assert found.questdb == (
        'ALTER TABLE "indicator_bars" ADD COLUMN IF NOT EXISTS "noted" DOUBLE',
    )
    assert found.hazards == ("not reversible",)


def test_body_that_is_no_sql_is_one_line(migrated, revise, checkout):
    revise("SELEC 1;")
    code, said = stage1(checkout, migrated, "plan", "-x", *SKIP)
    stores, error = said.splitlines()
    assert code == 1
    assert stores.startswith("PostgreSQL ")
    assert "The SQL of revision 0014 cannot be read: syntax error at or near" in error


def test_hazard_is_refused_until_it_is_named(migrated, revise, checkout):
    before = at(migrated)
    revise("ALTER TABLE stage1_jobs DROP COLUMN message", back="raise NotImplementedError")
    code, said = stage1(checkout, migrated, "upgrade", "-x", *SKIP, "--allow", "deletes data")
    assert code == 1
    assert "stage1 upgrade --allow 'not reversible'" in said
    assert at(migrated) == before
    allowed = ("--allow", "deletes data", "--allow", "not reversible")
    code, said = stage1(checkout, migrated, "upgrade", "-x", *SKIP, *allowed)
    assert code == 0, said
    assert at(migrated) != before


def added(_path, revise):
    revise()


def edited(path, _revise):
    path.write_text("COMMENT ON TABLE datasets IS 'another'")


@pytest.mark.parametrize("change", [added, edited])
def test_fingerprint_is_of_the_pending_files_too(migrated, revise, checkout, change):
    path = revise(back='op.execute("SELECT 1")')
    made = plan.make(migrated, SKIP)
    assert plan.make(migrated, SKIP).fingerprint == made.fingerprint
    assert plan.make(migrated, (*SKIP, "lock_timeout=1")).fingerprint != made.fingerprint
    before = at(migrated)
    change(path, revise)
    with pytest.raises(PlanRefusedError, match="not what it was"):
        plan.carry_out(migrated, made)
    approved = ("--plan-fingerprint", made.fingerprint, "--allow", "not reversible")
    code, said = stage1(checkout, migrated, "upgrade", "-x", *SKIP, *approved)
    assert (code, at(migrated)) == (1, before), said


CHANGES = {
    "column": "ALTER TABLE stage1_jobs ADD COLUMN x int",
    "grant": "GRANT DELETE ON datasets TO stage1_app",
    "grant on a column": "GRANT UPDATE (symbol) ON datasets TO stage1_readonly",
    "grant on a function": "REVOKE EXECUTE ON FUNCTION stage1_slug(text) FROM PUBLIC",
    "grant on the history": "GRANT INSERT ON stage1_migration_history TO stage1_app",
    "default privileges": "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "row security": "ALTER TABLE datasets ENABLE ROW LEVEL SECURITY",
    "policy": "CREATE POLICY nobody ON datasets USING (false)",
    "rule": "CREATE RULE never AS ON DELETE TO datasets DO INSTEAD NOTHING",
    "type": "CREATE TYPE mood AS ENUM ('good')",
    "sequence": "ALTER SEQUENCE spool_replays_replay_id_seq INCREMENT 7",
    "comment": "COMMENT ON COLUMN datasets.symbol IS 'x'",
    "owner": "ALTER TABLE datasets OWNER TO stage1_app",
    "disabled trigger": "ALTER TABLE datasets DISABLE TRIGGER tg_90_touch",
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=list(CHANGES))
def test_fingerprint_is_of_all_that_stands(migrated, administrator, root, statement):
    """Whichever role looks: the one that upgrades may be another than the one that planned."""
    made = plan.make(migrated, SKIP).fingerprint
    root.execute("INSERT INTO stage1_jobs (job_type) VALUES ('x')")
    assert plan.make(migrated, SKIP).fingerprint == made
    assert plan.make(administrator, SKIP).fingerprint == made
    root.execute(statement)
    assert plan.make(migrated, SKIP).fingerprint != made


def change_postgres(settings, _questdb):
    with connect(settings.postgres, autocommit=True) as connection:
        connection.execute(CHANGES["policy"])


def change_questdb(table):
    def change(_settings, questdb):
        questdb.execute(f"ALTER TABLE {table} ADD COLUMN x LONG")
        questdb.wait_for(table)

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change_postgres, id="PostgreSQL"),
        pytest.param(change_questdb("walkforward_predictions"), id="a shared table"),
        pytest.param(change_questdb("ticks"), id="a table that a revision names"),
    ],
)
def test_upgrade_stops_when_a_store_changed_since_the_plan(both, questdb, revise, checkout, change):
    migrate.upgrade(both)
    questdb.execute("CREATE TABLE ticks (t TIMESTAMP) TIMESTAMP(t) PARTITION BY DAY WAL")
    before = at(both)
    revise(back='op.execute("SELECT 1")')
    (path,) = (checkout / "migrations" / "versions").glob("*_change.py")
    rename = '    op.rename_questdb_table("ticks", "renamed")\n\n\ndef downgrade'
    path.write_text(path.read_text().replace("\n\ndef downgrade", rename))
    made = plan.make(both)
    change(both, questdb)
    with pytest.raises(PlanRefusedError, match="not what it was"):
        plan.carry_out(both, made)
    assert at(both) == before
    plan.carry_out(both, plan.make(both))
    assert at(both) != before


@pytest.mark.parametrize("name", ["versions/0005_*.py", "sql/0005/drop.sql"])
@pytest.mark.parametrize("stamps", [(), ("0005", "0013")], ids=["", "stamped"])
def test_revision_edited_after_it_was_applied_is_reported(migrated, checkout, name, stamps):
    (path,) = (checkout / "migrations").glob(name)
    path.write_text(path.read_text() + "\n")
    for revision in stamps:
        alembic(checkout, migrated, "-x", *SKIP, "stamp", revision)
    said = alembic(checkout, migrated, "-x", *SKIP, "check", code=255)
    (line,) = [line for line in said.splitlines() if "0005" in line]
    assert "revision 0005 changed after it was applied" in line
    assert "difference" not in said
    code, said = stage1(checkout, migrated, "status")
    assert code == 1
    assert "revision 0005 changed after it was applied" in said
