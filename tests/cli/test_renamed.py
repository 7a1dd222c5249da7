"""A client that says an old name fails on a server, and the plan names that as a hazard."""

import psycopg
import pytest

from stage1_schema.connect import reading
from stage1_schema.ops import plan
from tests.plugins.databases import ROLES, client, created

NAMES = "changes names"
TABLES = """
CREATE TABLE t (a int CONSTRAINT given CHECK (a > 0));
CREATE INDEX i ON t (a);
CREATE VIEW v AS SELECT a FROM t;
CREATE TABLE k (b int UNIQUE);
CREATE TABLE of_t (b int CONSTRAINT key REFERENCES k (b));
"""


@pytest.fixture(scope="module")
def database(server_with_roles):
    with created(server_with_roles) as settings, client(settings, ROLES.owner) as connection:
        connection.execute(TABLES)
        yield settings, connection


@pytest.mark.parametrize(
    ("statement", "breaks"),
    [
        ("ALTER TABLE t RENAME TO x", True),
        ("ALTER TABLE t RENAME COLUMN a TO x", True),
        ("ALTER VIEW v RENAME TO x", True),
        ("DO $$ BEGIN ALTER TABLE t RENAME a TO x; END $$", True),
        ("ALTER TABLE t RENAME CONSTRAINT given TO x", False),
        ("ALTER INDEX i RENAME TO x", False),
        ("CREATE TABLE y (b int); ALTER TABLE y RENAME b TO x", False),
    ],
)
def test_old_name_is_unknown_afterwards(database, statement, breaks):
    settings, connection = database
    with reading(settings.postgres) as looking:
        *_, planned = plan._statements(statement, plan.look(looking))
    with connection.transaction(force_rollback=True):
        connection.execute(statement)
        try:
            connection.execute("SELECT t.a, v.a FROM t, v")
            failed = False
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            failed = True
    assert failed == breaks
    assert planned.hazards == (NAMES,) * breaks


RENAMES = "ALTER TABLE t RENAME TO u; ALTER TABLE k RENAME TO l"
LOCKS = {
    "rows": ("ALTER TABLE u ALTER a TYPE bigint", {"u"}),
    "an index's table": ("DROP INDEX i", {"u"}),
    "the other end of a key": ("ALTER TABLE of_t DROP CONSTRAINT key", {"of_t", "l"}),
    "a table that takes the old name": ("CREATE TABLE t (); DROP TABLE t", set()),
}


@pytest.mark.parametrize(("statement", "tables"), LOCKS.values(), ids=LOCKS)
def test_what_follows_says_the_new_name(database, statement, tables):
    """Rows, indexes and foreign keys of a table are found under the name that it has by then."""
    settings, _ = database
    with reading(settings.postgres) as looking:
        stands = plan.look(looking)
        stands.rows["t"] = 1_000_000
        *_, planned = plan._statements(f"{RENAMES}; {statement}", stands)
    assert {each.table for each in planned.locks} == tables
    assert [each.rows for each in planned.locks if each.table == "u"] == [1_000_000] * (
        "u" in tables
    )
    rewrites = " TYPE " in statement
    assert ("rewrites table" in planned.hazards) == rewrites
