"""What a plan says depends on what stands: rows that need not be read or written, tables behind."""

import pytest

from stage1_schema.connect import reading
from stage1_schema.ops import plan
from stage1_schema.ops.plan_standing import look
from stage1_schema.ops.retyping import keeps_rows
from tests.cli.test_retyping import VALUES, permutations
from tests.plugins.databases import ROLES, client, created

READS, REWRITES, DELETES = "blocks reads and writes", "rewrites table", "deletes data"
COMPUTED = (REWRITES, READS, "changes values")
VALIDATED = "ALTER TABLE t VALIDATE CONSTRAINT k;"
NOT_VALID = "ALTER TABLE t ADD CONSTRAINT k CHECK (a IS NOT NULL) NOT VALID;"
FILL = "ALTER TABLE t ALTER a SET NOT NULL"
TABLES = """
CREATE TABLE t (a int, b int, v varchar(9), n numeric(9,2), w varchar(9));
INSERT INTO t SELECT n, n, n, n, n FROM generate_series(1, 100) n;
CREATE INDEX ON t (v);
CREATE INDEX ON t (n, w);
ALTER TABLE t ADD CONSTRAINT w_given CHECK (w <> '');
"""


def case(script, scans, *hazards, name):
    return pytest.param(script, scans, list(hazards), id=name)


CASES = [
    case(FILL, True, READS, name="not null"),
    case(NOT_VALID + VALIDATED + FILL, False, name="not null behind a check"),
    case(NOT_VALID + FILL, True, READS, name="check not validated"),
    case(NOT_VALID.replace(" NOT VALID", "") + FILL, False, name="check valid at once"),
    case(
        NOT_VALID.replace("(a IS NOT NULL)", "(a > 0 OR a IS NOT NULL)") + VALIDATED + FILL,
        True,
        READS,
        name="another check",
    ),
    case(NOT_VALID.replace("(a ", "(b ") + VALIDATED + FILL, True, READS, name="another's check"),
    case(
        NOT_VALID + VALIDATED + "ALTER TABLE t DROP CONSTRAINT k;" + FILL,
        True,
        READS,
        name="check gone again",
    ),
    case(f"{FILL};{FILL}", False, name="not null already"),
    case(
        f"{FILL}; ALTER TABLE t DROP COLUMN a; ALTER TABLE t ADD COLUMN a int DEFAULT 1; {FILL}",
        True,
        READS,
        name="another column of the name",
    ),
    case(
        f"{FILL}; ALTER TABLE t RENAME COLUMN a TO o; ALTER TABLE t RENAME COLUMN b TO a; {FILL}",
        True,
        READS,
        name="another column renamed to it",
    ),
    case(
        f"{NOT_VALID}{VALIDATED} ALTER TABLE t RENAME COLUMN a TO o;"
        f" ALTER TABLE t RENAME COLUMN b TO a; {FILL}",
        True,
        READS,
        name="another column behind a check",
    ),
    case(
        "ALTER TABLE t RENAME COLUMN w TO o; ALTER TABLE t RENAME COLUMN b TO w;"
        "ALTER TABLE t ALTER w TYPE text",
        True,
        REWRITES,
        READS,
        "changes values",
        name="another column's type",
    ),
    case(f"{FILL}; ALTER TABLE t ALTER a DROP NOT NULL; {FILL}", True, READS, name="no more"),
    case(
        NOT_VALID + VALIDATED + "ALTER TABLE t RENAME TO x; ALTER TABLE x ALTER a SET NOT NULL",
        False,
        name="table renamed",
    ),
    case(
        NOT_VALID + VALIDATED + "ALTER TABLE t ALTER a SET NOT NULL, ALTER b SET NOT NULL",
        True,
        READS,
        name="one of two",
    ),
    case(
        NOT_VALID + VALIDATED + "ALTER TABLE t ALTER a SET NOT NULL, ADD CHECK (b > 0)",
        True,
        READS,
        name="with a check",
    ),
    case("ALTER TABLE t ALTER v TYPE varchar(20)", False, name="longer"),
    case("ALTER TABLE t ALTER v TYPE text, ALTER n TYPE numeric(12,2)", False, name="two types"),
    case("ALTER TABLE t ALTER w TYPE text", True, READS, name="longer, with a check"),
    case(
        "ALTER TABLE t ADD CHECK (v <> ''); ALTER TABLE t ALTER v TYPE text",
        True,
        READS,
        name="longer, with a check without a name",
    ),
    case(
        "ALTER TABLE t ADD o int CHECK (o > 0 OR v <> ''); ALTER TABLE t ALTER v TYPE text",
        True,
        READS,
        name="longer, with the check of another column",
    ),
    case("ALTER TABLE t ALTER v TYPE text USING v || ''", True, *COMPUTED, name="computed"),
    case("ALTER TABLE t ALTER n TYPE numeric(12,3)", True, REWRITES, READS, name="more places"),
    case("ALTER TABLE t ALTER v TYPE text, ALTER a TYPE bigint", True, REWRITES, READS, name="one"),
]


@pytest.fixture(scope="module")
def database(server_with_roles):
    with created(server_with_roles) as settings, client(settings, ROLES.owner) as connection:
        connection.execute(TABLES)
        yield settings, connection


def seen(connection, oid):
    query = """SELECT pg_relation_filenode(%(t)s) AS file, coalesce(sum(seq_tup_read), 0) AS read,
                      ARRAY(SELECT pg_relation_filenode(indexrelid) FROM pg_index
                             WHERE indrelid = %(t)s ORDER BY 1) AS indexes
                 FROM pg_stat_xact_user_tables WHERE relid = %(t)s"""
    return connection.execute(query, {"t": oid}).fetchone()


@pytest.mark.parametrize(("script", "scans", "hazards"), CASES)
def test_rows_are_read_where_it_is_said(database, script, scans, hazards):
    settings, connection = database
    with reading(settings.postgres) as reader:
        stands = look(reader)
    stands.rows["t"] = 1_000_000
    *before, last = plan.split(script)
    *_, said = plan._statements(script, stands)
    oid = connection.execute("SELECT 't'::regclass::oid AS oid").fetchone()["oid"]
    with connection.transaction(force_rollback=True):
        for each in before:
            connection.execute(each)
        first = seen(connection, oid)
        connection.execute(last)
        after = seen(connection, oid)
    assert list(said.hazards) == hazards
    assert [lock.lock.endswith("while it runs)") for lock in said.locks] == [scans]
    assert (after["read"] > first["read"]) == scans
    rewritten = (after["file"] != first["file"], after["indexes"] != first["indexes"])
    assert rewritten == (REWRITES in hazards,) * 2


KEPT = [pair for pair in permutations(VALUES, 2) if keeps_rows(*pair)]


@pytest.mark.parametrize(("old", "new"), KEPT, ids=map(" to ".join, KEPT))
def test_rows_stay_as_they_are(database, old, new):
    _, connection = database
    with connection.transaction(force_rollback=True):
        connection.execute(f"CREATE TABLE x (a {old})")
        connection.execute("INSERT INTO x VALUES (%s)", [VALUES[old][0]])
        oid = connection.execute("SELECT 'x'::regclass::oid AS oid").fetchone()["oid"]
        before = seen(connection, oid)
        connection.execute(f"ALTER TABLE x ALTER a TYPE {new}")
        assert seen(connection, oid) == before


def test_usual_lengthenings_are_among_them():
    usual = {
        ("character varying(3)", "character varying(9)"),
        ("character varying(9)", "text"),
        ("text", "character varying"),
        ("numeric(9,3)", "numeric(12,3)"),
        ("numeric(9,3)", "numeric"),
        ("timestamp(3) without time zone", "timestamp without time zone"),
        ("bit varying(3)", "bit varying(5)"),
    }
    assert usual <= set(KEPT)


def test_truncate_cascade_names_the_tables_behind(database):
    settings, connection = database
    connection.execute(
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY REFERENCES p);"
        "CREATE TABLE g (id int REFERENCES c); CREATE TABLE self (id int PRIMARY KEY REFERENCES p,"
        " of int REFERENCES self); CREATE TABLE other (id int)"
    )
    with reading(settings.postgres) as reader:
        stands = look(reader)
    (said,) = plan._statements("TRUNCATE p CASCADE", stands)
    assert said.hazards == (DELETES,)
    assert {lock.table for lock in said.locks} == {"p", "c", "g", "self"}
    with connection.transaction(force_rollback=True):
        connection.execute("TRUNCATE p CASCADE")
        query = """SELECT relation::regclass::text AS name FROM pg_locks JOIN pg_class c
                       ON c.oid = relation AND c.relkind = 'r'
                    WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock'"""
        held = {row["name"] for row in connection.execute(query)}
    assert {lock.table for lock in said.locks} == {name for name in held if "." not in name}
    (said,) = plan._statements("TRUNCATE p", stands)
    assert {lock.table for lock in said.locks} == {"p"}
