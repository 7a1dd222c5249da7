"""A plan names each table that a statement locks against everybody, foreign keys' other end too."""

from dataclasses import replace

import pytest

from stage1_schema.connect import reading
from stage1_schema.ops import plan
from tests.plugins.databases import ROLES, client, created

TABLES = """
CREATE TABLE p (id int PRIMARY KEY, code int CONSTRAINT uq_code UNIQUE, x int,
    above int CONSTRAINT fk_above REFERENCES p);
CREATE TABLE q (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE c (
    id int PRIMARY KEY,
    p_id int CONSTRAINT fk_p REFERENCES p,
    p_code int CONSTRAINT fk_code REFERENCES p (code) ON DELETE SET NULL,
    q_a int,
    q_b int,
    above int CONSTRAINT fk_self REFERENCES c,
    n int CONSTRAINT positive CHECK (n > 0),
    CONSTRAINT fk_q FOREIGN KEY (q_a, q_b) REFERENCES q
);
INSERT INTO p VALUES (1, 1, 1);
INSERT INTO q VALUES (1, 1);
INSERT INTO c VALUES (1, 1, 1, 1, 1, 1, 1);
"""
LASTS = "ACCESS EXCLUSIVE (blocks reads and writes while it runs)"
CASES = [
    ("ALTER TABLE c DROP CONSTRAINT fk_p", "cp"),
    ("ALTER TABLE c DROP CONSTRAINT IF EXISTS fk_q", "cq"),
    ("ALTER TABLE c DROP CONSTRAINT fk_self", "c"),
    ("ALTER TABLE p DROP CONSTRAINT fk_above", "p"),
    ("ALTER TABLE c DROP CONSTRAINT positive", "c"),
    ("ALTER TABLE p DROP CONSTRAINT uq_code CASCADE", "cp"),
    ("ALTER TABLE q DROP CONSTRAINT q_pkey CASCADE", "cq"),
    ("ALTER TABLE c DROP COLUMN p_code", "cp"),
    ("ALTER TABLE c DROP COLUMN q_b", "cq"),
    ("ALTER TABLE c DROP COLUMN n", "c"),
    ("ALTER TABLE q DROP COLUMN a CASCADE", "cq"),
    ("ALTER TABLE c DROP COLUMN n, DROP CONSTRAINT fk_p, DROP COLUMN q_a", "cpq"),
    ("DROP TABLE c", "cpq"),
    ("DROP TABLE IF EXISTS p CASCADE", "cp"),
    ("DO $$ BEGIN ALTER TABLE c DROP CONSTRAINT fk_p; DROP TABLE q CASCADE; END $$", "cpq"),
    ("ALTER TABLE c ALTER p_id TYPE bigint", "cp"),
    ("ALTER TABLE c ALTER q_a TYPE int USING q_a", "cq"),
    ("ALTER TABLE p ALTER id TYPE bigint", "cp"),
    ("ALTER TABLE p ALTER x TYPE bigint", "p"),
    ("ALTER TABLE c ALTER n TYPE bigint", "c"),
    ("ALTER TABLE c ALTER p_id SET DEFAULT 1", "c"),
    ("ALTER TABLE c RENAME CONSTRAINT fk_p TO fk_other", "c"),
]
HELD = """
    SELECT DISTINCT relation FROM pg_locks
     WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND relation = ANY (%s)
"""


@pytest.fixture(scope="module")
def database(server_with_roles):
    with created(server_with_roles) as settings, client(settings, ROLES.owner) as connection:
        connection.execute(TABLES)
        yield settings, connection


@pytest.fixture
def stands(database):
    with reading(database[0].postgres) as connection:
        return plan.look(connection)


@pytest.mark.parametrize(("statement", "locked"), CASES, ids=[case[0] for case in CASES])
def test_plan_names_all_that_is_locked_against_everybody(database, stands, statement, locked):
    _, connection = database
    query = "SELECT oid, relname FROM pg_class WHERE relname IN ('c', 'p', 'q')"
    names = {row["oid"]: row["relname"] for row in connection.execute(query)}
    (planned,) = plan._statements(statement, stands)
    with connection.transaction(force_rollback=True):
        connection.execute(statement)
        held = connection.execute(HELD, [list(names)]).fetchall()
    assert {names[row["relation"]] for row in held} == set(locked)
    assert {lock.table for lock in planned.locks} == set(locked)
    assert all(lock.lock.startswith("ACCESS EXCLUSIVE") for lock in planned.locks)
    lasts = " TYPE " in statement
    assert all((lock.lock == LASTS) == lasts for lock in planned.locks)


@pytest.mark.parametrize(
    ("statement", "large", "hazard"),
    [
        ("ALTER TABLE p ALTER id TYPE bigint", "c", True),
        ("ALTER TABLE p ALTER id TYPE bigint", "p", True),
        ("ALTER TABLE c ALTER p_id TYPE bigint", "c", True),
        ("ALTER TABLE c ALTER p_id TYPE bigint", "p", False),
        ("ALTER TABLE c ALTER n TYPE bigint", "p", False),
        ("ALTER TABLE c DROP CONSTRAINT fk_p", "c", False),
    ],
)
def test_key_made_anew_is_looked_for_in_each_row_of_its_table(stands, statement, large, hazard):
    (planned,) = plan._statements(statement, replace(stands, rows={large: 1_000_000}))
    assert ("blocks reads and writes" in planned.hazards) == hazard


def test_key_of_a_table_that_was_made_anew_is_gone(stands):
    script = "DROP TABLE c; CREATE TABLE c (p_id int); DROP TABLE c"
    first, _, last = plan._statements(script, stands)
    assert {lock.table for lock in first.locks} == set("cpq")
    assert last.locks == ()
