"""What a plan says of a statement is what PostgreSQL does with it: lock, scan, rewrite, hazards."""

import re

import pytest

from stage1_schema.ops import plan
from stage1_schema.ops.statements import effect
from tests.plugins.databases import ROLES, client, created

TABLES = """
CREATE TYPE mood AS ENUM ('good');
CREATE FUNCTION rule() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE TABLE u (id int PRIMARY KEY);
CREATE TABLE t (a int, b int NOT NULL, m mood, m2 int, g int GENERATED ALWAYS AS (m2) STORED);
INSERT INTO u VALUES (1);
INSERT INTO t (a, b) SELECT n, n FROM generate_series(1, 1000) n;
CREATE INDEX i ON t (a);
CREATE UNIQUE INDEX ui ON t (b);
ALTER TABLE t ADD CONSTRAINT given CHECK (a > 0) NOT VALID;
CREATE VIEW v AS SELECT a FROM t;
CREATE SEQUENCE q;
CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fired();
CREATE SCHEMA s;
CREATE TABLE s.kept (a int);
"""
EXCLUSIVE, SHARE_ROW = "ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE"
READS, WRITES = "blocks reads and writes", "blocks writes"
CHANGES, CALLS, VALUES = "changes many rows", "calls function", "changes values"
NAMES = "changes names"
REWRITES, DELETES, UNKNOWN = "rewrites table", "deletes data", "unknown statement"


def case(statement, lock, *hazards, instant=True, u=None):
    """`lock` and `instant` are of table t, `u` is the lock on table u."""
    return pytest.param(statement, lock, instant, u, list(hazards), id=statement[:60])


CASES = [
    case("SELECT 1", None),
    case("CREATE TABLE x (a int)", None),
    case("CREATE TABLE x (a int REFERENCES u)", None, u=SHARE_ROW),
    case("CREATE TABLE x (a int, FOREIGN KEY (a) REFERENCES u)", None, u=SHARE_ROW),
    case("CREATE INDEX j ON t (a)", "SHARE", WRITES, instant=False),
    case("DROP INDEX i", EXCLUSIVE),
    case("ALTER INDEX i RENAME TO k", None),
    case("ALTER SEQUENCE q INCREMENT BY 7 CACHE 5", None),
    case("ALTER TABLE t ADD COLUMN c timestamptz DEFAULT now()", EXCLUSIVE),
    case("ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 1", EXCLUSIVE),
    case(
        "ALTER TABLE t ADD COLUMN c uuid DEFAULT gen_random_uuid()",
        EXCLUSIVE,
        REWRITES,
        READS,
        instant=False,
    ),
    case("ALTER TABLE t ADD COLUMN c bigserial", EXCLUSIVE, REWRITES, READS, instant=False),
    case(
        "ALTER TABLE t ADD COLUMN c int GENERATED ALWAYS AS (a) STORED",
        EXCLUSIVE,
        REWRITES,
        READS,
        instant=False,
    ),
    case("ALTER TABLE t ADD COLUMN c int UNIQUE", EXCLUSIVE, READS, instant=False),
    case("ALTER TABLE t ADD COLUMN c int DEFAULT 1 CHECK (c > 0)", EXCLUSIVE, READS, instant=False),
    case("ALTER TABLE t ADD COLUMN c int REFERENCES u", EXCLUSIVE, u=SHARE_ROW),
    case(
        "ALTER TABLE t ADD COLUMN c int DEFAULT 1 REFERENCES u",
        EXCLUSIVE,
        READS,
        instant=False,
        u=SHARE_ROW,
    ),
    case("ALTER TABLE t ALTER b TYPE bigint", EXCLUSIVE, REWRITES, READS, VALUES, instant=False),
    case("ALTER TABLE t ALTER a SET NOT NULL", EXCLUSIVE, READS, instant=False),
    case("ALTER TABLE t DROP COLUMN m", EXCLUSIVE, DELETES),
    case("ALTER TABLE t RENAME COLUMN m TO n", EXCLUSIVE, NAMES),
    case("ALTER TABLE t RENAME TO x", EXCLUSIVE, NAMES),
    case("ALTER TABLE t RENAME CONSTRAINT given TO other", EXCLUSIVE),
    case("ALTER VIEW v RENAME TO w", None, NAMES),
    case("ALTER VIEW v RENAME COLUMN a TO z", None, NAMES),
    case("ALTER TRIGGER tr ON t RENAME TO other", EXCLUSIVE),
    case("ALTER TABLE t ADD UNIQUE (a)", EXCLUSIVE, READS, instant=False),
    case("ALTER TABLE t ADD CONSTRAINT k UNIQUE USING INDEX ui", EXCLUSIVE),
    case("ALTER TABLE t ADD CHECK (a > 0)", EXCLUSIVE, READS, instant=False),
    case("ALTER TABLE t ADD CONSTRAINT k CHECK (a > 1) NOT VALID", EXCLUSIVE),
    case("ALTER TABLE t VALIDATE CONSTRAINT given", "SHARE UPDATE EXCLUSIVE", instant=False),
    case("ALTER TABLE t DROP CONSTRAINT given", EXCLUSIVE),
    case(
        "ALTER TABLE t ADD FOREIGN KEY (m2) REFERENCES u",
        SHARE_ROW,
        WRITES,
        instant=False,
        u=SHARE_ROW,
    ),
    case("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u NOT VALID", SHARE_ROW, u=SHARE_ROW),
    case("TRUNCATE t", EXCLUSIVE, DELETES),
    case("DROP VIEW v", None),
    case("DROP TABLE t CASCADE", EXCLUSIVE, DELETES),
    case("DROP SCHEMA s CASCADE", None, DELETES),
    case("DROP TYPE mood CASCADE", None, DELETES),
    case("DROP FUNCTION rule() CASCADE", None, DELETES),
    case("DROP FUNCTION rule()", None),
    case(
        "ALTER TABLE t ALTER g SET EXPRESSION AS (m2 + 1)",
        EXCLUSIVE,
        REWRITES,
        READS,
        instant=False,
    ),
    case("INSERT INTO t (a, b) VALUES (1, 0)", "ROW EXCLUSIVE"),
    case("UPDATE t SET a = 1", "ROW EXCLUSIVE", CHANGES, instant=False),
    case("DELETE FROM t", "ROW EXCLUSIVE", DELETES, CHANGES, instant=False),
    case(
        "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
        "ROW EXCLUSIVE",
        DELETES,
        CHANGES,
        instant=False,
    ),
    case("CREATE TABLE x AS SELECT a FROM t", None),
    case("CREATE MATERIALIZED VIEW x AS SELECT a FROM t", None),
    case(
        "MERGE INTO t USING u ON a = id WHEN MATCHED THEN UPDATE SET m2 = 1",
        "ROW EXCLUSIVE",
        CHANGES,
        instant=False,
    ),
    case(
        "MERGE INTO t USING u ON a = id WHEN MATCHED AND a > 5 THEN DELETE"
        " WHEN NOT MATCHED THEN INSERT (b) VALUES (0)",
        "ROW EXCLUSIVE",
        DELETES,
        CHANGES,
        instant=False,
    ),
    case(
        "MERGE INTO t USING u ON a = id WHEN NOT MATCHED THEN INSERT (b) VALUES (0)",
        "ROW EXCLUSIVE",
    ),
    case("ANALYZE t", "SHARE UPDATE EXCLUSIVE", instant=False),
    case("CLUSTER t USING i", EXCLUSIVE, REWRITES, READS, instant=False),
    case("DO $$ BEGIN DROP TABLE t CASCADE; END $$", EXCLUSIVE, DELETES),
    case("DO $$ BEGIN EXECUTE 'DROP TABLE ' || 't CASCADE'; END $$", EXCLUSIVE, UNKNOWN),
    case("DO $$ BEGIN IF false THEN PERFORM 1; END IF; END $$", None),
    case("DO $$ BEGIN EXECUTE format('GRANT SELECT ON t TO %I', current_user); END $$", None),
]


@pytest.fixture(scope="module")
def tables(server_with_roles):
    """A connection to a database with the tables; each case is rolled back."""
    with created(server_with_roles) as settings, client(settings, ROLES.owner) as connection:
        connection.execute(TABLES)
        yield connection


def held(connection, table):
    """Return the modes that are held on a table, by its oid: it may have been dropped."""
    query = "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = %s"
    modes = [row["mode"] for row in connection.execute(query, [table])]
    return {re.sub(r"(?<!^)(?=[A-Z])", " ", mode.removesuffix("Lock")).upper() for mode in modes}


def look(connection, table):
    query = """SELECT pg_relation_filenode(%(table)s) AS file,
                      coalesce(sum(seq_tup_read), 0) AS read
                 FROM pg_stat_xact_user_tables WHERE relid = %(table)s"""
    return connection.execute(query, {"table": table}).fetchone()


@pytest.mark.parametrize(("statement", "lock", "instant", "other", "hazards"), CASES)
def test_statement_does_what_is_said(tables, statement, lock, instant, other, hazards):
    found = effect(statement)
    t, u = (tables.execute(f"SELECT '{name}'::regclass::oid AS oid").fetchone() for name in "tu")
    with tables.transaction(force_rollback=True):
        before = look(tables, t["oid"])
        tables.execute(statement)
        after = look(tables, t["oid"])
        on_t, on_u = held(tables, t["oid"]), held(tables, u["oid"])
    assert [str(each) for each in found.hazards] == hazards
    if UNKNOWN in hazards:
        return
    assert lock is None or lock in on_t
    assert other is None or (other in on_u and found.references == ("u",))
    if "t" in found.tables or "i" in found.indexes:
        assert found.lock.mode == lock
    if found.lock and found.lock.blocks and after["file"]:
        assert found.lock.instant == instant == (after["read"] == before["read"])
        assert (REWRITES in hazards) == (after["file"] != before["file"] and DELETES not in hazards)
    if not found.tables and not found.indexes:
        assert EXCLUSIVE not in on_t or DELETES in hazards


@pytest.mark.parametrize(
    ("statement", "lock"),
    [
        ("CREATE INDEX CONCURRENTLY j ON t (a)", "SHARE UPDATE EXCLUSIVE"),
        ("DROP INDEX CONCURRENTLY i", "SHARE UPDATE EXCLUSIVE"),
        ("REINDEX TABLE CONCURRENTLY t", "SHARE UPDATE EXCLUSIVE"),
        ("VACUUM t", "SHARE UPDATE EXCLUSIVE"),
        ("VACUUM (FULL false) t", "SHARE UPDATE EXCLUSIVE"),
        ("ANALYZE", "SHARE UPDATE EXCLUSIVE"),
    ],
)
def test_concurrent_statement_blocks_nobody(statement, lock):
    found = effect(statement)
    assert (found.lock.mode, found.lock.blocks, found.hazards) == (lock, "", ())


@pytest.mark.parametrize(
    ("statement", "tables", "indexes"),
    [
        ("VACUUM FULL t", ("t",), ()),
        ("VACUUM (FULL true) t", ("t",), ()),
        ("REINDEX TABLE t", ("t",), ()),
        ("REINDEX INDEX i", (), ("i",)),
    ],
)
def test_maintenance_that_blocks(statement, tables, indexes):
    """What the server cannot do in a transaction that is rolled back, or does behind an index."""
    found = effect(statement)
    assert (found.tables, found.indexes, found.lock.mode) == (tables, indexes, EXCLUSIVE)
    assert READS in found.hazards


@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM FULL",
        "CLUSTER",
        "REINDEX SCHEMA public",
        "LISTEN t",
        "DO LANGUAGE plpython3u 'pass'",
        "DO $$ DECLARE s text := 'DROP TABLE t'; BEGIN EXECUTE s; END $$",
        "DO $$ BEGIN EXECUTE 'GRANT SELECT ON t TO x; DROP TABLE t'; END $$",
    ],
)
def test_what_cannot_be_read_is_a_hazard(statement):
    assert effect(statement).hazards == (UNKNOWN,)


@pytest.mark.parametrize(
    ("statement", "table", "index"),
    [
        ("ALTER TABLE t SET TABLESPACE fast", ("t",), ()),
        ("ALTER INDEX i SET TABLESPACE fast", (), ("i",)),
    ],
)
def test_tablespace_is_a_rewrite(statement, table, index):
    """No server of the tests has a second one."""
    found = effect(statement)
    assert (found.tables, found.indexes, found.lock.mode) == (table, index, EXCLUSIVE)
    assert found.hazards == (REWRITES, READS)


@pytest.mark.parametrize(
    ("statement", "hazards"),
    [
        pytest.param("SELECT 1", (), id="nothing"),
        pytest.param("SELECT set_config('a.b', 'c', false)", (), id="PostgreSQL's own"),
        pytest.param("SELECT reads(1)", (), id="one that cannot write"),
        pytest.param("SELECT purge(1)", (CALLS,), id="select"),
        pytest.param("SELECT * FROM t, public.purge(a)", (CALLS,), id="from"),
        pytest.param("INSERT INTO t (a) SELECT purge(1)", (CALLS,), id="insert"),
        pytest.param("UPDATE t SET a = purge(a)", (CHANGES, CALLS), id="update"),
        pytest.param("DO $$ BEGIN PERFORM purge(1); END $$", (CALLS,), id="perform"),
        pytest.param("DO $$ DECLARE n int; BEGIN n := purge(1); END $$", (CALLS,), id="assigned"),
        pytest.param(
            "DO $$ BEGIN IF purge(1) > 0 THEN PERFORM 1; END IF; END $$", (CALLS,), id="condition"
        ),
        pytest.param(
            "CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT made()",
            (CALLS,),
            id="made on the way",
        ),
        pytest.param(
            "CREATE FUNCTION made() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'; SELECT made()",
            (),
            id="made on the way, cannot write",
        ),
        pytest.param("UPDATE t SET a = 1 WHERE /* page */ true", (), id="a fill in batches"),
        pytest.param("UPDATE u SET a = 1", (), id="few rows"),
    ],
)
def test_what_a_plan_says_of_calls_and_changed_rows(statement, hazards):
    stands = plan.Standing({"t": 1_000_000, "u": 10}, {}, {"purge"})
    *_, last = plan._statements(statement, stands)
    assert last.hazards == hazards
    if CHANGES in hazards:
        (lock,) = last.locks
        assert (lock.table, lock.rows) == ("t", 1_000_000)
        assert lock.lock == "ROW EXCLUSIVE (blocks writes of the same rows while it runs)"


def test_small_and_new_tables_are_no_hazard():
    stands = plan.Standing({"t": 1_000_000, "u": 10}, {"i": "t"})
    script = (
        "CREATE TABLE x (a int); ALTER TABLE {} ADD COLUMN c int UNIQUE; DROP INDEX i;"
        "ALTER TABLE x ADD FOREIGN KEY (a) REFERENCES t;"
    )

    def said(table):
        _, alter, drop, refer = plan._statements(script.format(table), stands)
        assert ([each.table for each in refer.locks], refer.hazards) == (["t"], ())
        assert "for an instant" in refer.locks[0].lock
        assert [(each.table, each.rows) for each in drop.locks] == [("t", 1_000_000)]
        return [(each.table, each.rows) for each in alter.locks], alter.hazards

    assert said("t") == ([("t", 1_000_000)], (READS,))
    assert said("u") == ([("u", 10)], ())
    assert said("x") == ([], ())


@pytest.mark.parametrize(
    ("before", "hazards"),
    [
        pytest.param("CREATE TABLE t (a int)", (), id="new"),
        pytest.param("CREATE TABLE public.t (a int)", (), id="new in public"),
        pytest.param("CREATE TABLE IF NOT EXISTS t (a int)", (DELETES,), id="if not exists"),
        pytest.param("CREATE TABLE archive.t (a int)", (DELETES,), id="another schema"),
        pytest.param("CREATE TEMPORARY TABLE t (a int)", (DELETES,), id="temporary"),
    ],
)
def test_table_that_may_stand_is_not_new(before, hazards):
    *_, drop = plan._statements(f"{before}; DROP TABLE t", plan.Standing({"t": 10}, {}))
    assert drop.hazards == hazards
    *_, drop = plan._statements(f"{before}; DROP TABLE t", plan.Standing({}, {}))
    assert drop.hazards == ()
