"""`stage1 plan`, `upgrade` and `history`; and hazards refused by name."""

import json

import pytest

from stage1_schema.ops import migrate, plan
from tests.plugins.databases import ROLES, client

SKIP = ("questdb=skip",)


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


def test_readers_may_read_history_and_not_write_it(migrated):
    for role in (ROLES.app, ROLES.readonly):
        with client(migrated, role) as connection:
            assert connection.execute("SELECT * FROM stage1_migration_history").fetchall()
            with pytest.raises(Exception, match="permission denied"):
                connection.execute("DELETE FROM stage1_migration_history")
