"""`stage1 plan`, `upgrade` and `history`; and hazards refused by name."""

import json

import pytest
from alembic import command

from stage1_schema.connect import connect
from stage1_schema.ops import migrate, plan
from stage1_schema.ops.plan import PlanRefusedError
from stage1_schema.ops.statements import effect
from tests.plugins.databases import ROLES, client

SKIP = ("questdb=skip",)


@pytest.mark.parametrize(
    ("statement", "lock", "hazards"),
    [
        ("SELECT 1", None, []),
        ("CREATE TABLE t (a int)", None, []),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "SHARE UPDATE EXCLUSIVE", []),
        ("CREATE INDEX i ON t (a)", "SHARE", ["blocks writes"]),
        ("ALTER TABLE t ADD COLUMN a timestamptz DEFAULT now()", "ACCESS EXCLUSIVE", []),
        (
            "ALTER TABLE t ADD COLUMN a uuid DEFAULT gen_random_uuid()",
            "ACCESS EXCLUSIVE",
            ["rewrites table", "blocks reads and writes"],
        ),
        (
            "ALTER TABLE t ALTER a TYPE bigint",
            "ACCESS EXCLUSIVE",
            ["rewrites table", "blocks reads and writes"],
        ),
        ("ALTER TABLE t DROP COLUMN a", "ACCESS EXCLUSIVE", ["deletes data"]),
        ("ALTER TABLE t ADD UNIQUE (a)", "ACCESS EXCLUSIVE", ["blocks reads and writes"]),
        ("ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i", "ACCESS EXCLUSIVE", []),
        ("ALTER TABLE t ADD CHECK (a > 1)", "ACCESS EXCLUSIVE", ["blocks reads and writes"]),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1) NOT VALID", "ACCESS EXCLUSIVE", []),
        ("ALTER TABLE t VALIDATE CONSTRAINT c", "SHARE UPDATE EXCLUSIVE", []),
        (
            "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u",
            "SHARE ROW EXCLUSIVE",
            ["blocks writes"],
        ),
        ("DROP TABLE t", "ACCESS EXCLUSIVE", ["deletes data"]),
        ("DROP INDEX CONCURRENTLY i", "SHARE UPDATE EXCLUSIVE", []),
        ("DELETE FROM t", "ROW EXCLUSIVE", ["deletes data"]),
        ("VACUUM t", None, ["unknown statement"]),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_lock_and_hazards_of_a_statement(statement, lock, hazards):
    found = effect(statement)
    assert (found.lock and found.lock.mode) == lock
    assert [str(each) for each in found.hazards] == hazards


def test_plan_of_a_store_at_head_is_empty(migrated):
    made = plan.make(migrated, SKIP)
    assert made.empty
    assert made.hazards == ()


def test_plan_of_an_empty_database_shows_everything_and_no_hazard(both, shell):
    ran = shell("stage1", "plan", "--json", settings=both)
    assert ran.code == 0, ran.err
    data = json.loads(ran.out)
    assert [each["revision"] for each in data["revisions"]][-1] == migrate.head()
    assert sum(len(each["questdb"]) for each in data["revisions"]) == 4
    assert data["hazards"] == []
    assert any(s["kind"] == "CREATE TABLE" for r in data["revisions"] for s in r["postgres"])
    ran = shell("stage1", "upgrade", "--plan-fingerprint", data["fingerprint"], settings=both)
    assert ran.code == 0, ran.err
    assert "Running upgrade 0001 -> 0002" in ran.out
    ran = shell("stage1", "history", "--json", settings=both)
    steps = json.loads(ran.out)
    assert [each["revision"] for each in steps] == [each["revision"] for each in data["revisions"]]
    assert sum(len(each["questdb"]) for each in steps) == 4
    assert all(each["file_sha256"] and each["db_user"] == ROLES.owner for each in steps)


def test_upgrade_stops_when_a_store_changed_since_the_plan(empty):
    command.upgrade(migrate.config(empty, SKIP), "0003")
    made = plan.make(empty, SKIP)
    with connect(empty.postgres, autocommit=True) as connection:
        connection.execute("ALTER TABLE stage1_jobs ADD COLUMN x int")
    with pytest.raises(PlanRefusedError, match="not what it was"):
        plan.carry_out(empty, made)
    with client(empty, ROLES.owner) as connection:
        at = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert at == {"version_num": "0003"}
    plan.carry_out(empty, plan.make(empty, SKIP))


def test_hazard_is_refused_until_it_is_named(empty, monkeypatch):
    command.upgrade(migrate.config(empty, SKIP), "0003")
    script = "-- Running upgrade 0003 -> 0004\n\nALTER TABLE datasets DROP COLUMN symbol;\n"
    monkeypatch.setattr(plan, "_script", lambda *_: script)
    made = plan.make(empty, SKIP)
    assert made.hazards == ("deletes data",)
    with pytest.raises(PlanRefusedError, match=r"--allow 'deletes data'"):
        plan.carry_out(empty, made)
    plan.carry_out(empty, made, allow=["deletes data"])


def test_revision_edited_after_it_was_applied_is_reported(migrated, shell):
    with client(migrated, ROLES.owner) as connection:
        connection.execute(
            "UPDATE stage1_migration_history SET file_sha256 = repeat('0', 64)"
            " WHERE revision = '0005'"
        )
    ran = shell("stage1", "status", settings=migrated)
    assert "revision 0005 changed after it was applied" in ran.out
    ran = shell("alembic", "-x", "questdb=skip", "check", settings=migrated)
    assert "revision 0005 changed after it was applied" in ran.err + ran.out


def test_readers_may_read_history_and_not_write_it(migrated):
    for role in (ROLES.app, ROLES.readonly):
        with client(migrated, role) as connection:
            assert connection.execute("SELECT * FROM stage1_migration_history").fetchall()
            with pytest.raises(Exception, match="permission denied"):
                connection.execute("DELETE FROM stage1_migration_history")
