"""What is said to keep a column's values does, on a server; what does not is a hazard by name."""

from itertools import permutations

import psycopg
import pytest

from stage1_schema.ops import plan
from stage1_schema.ops.retyping import keeps_values
from tests.plugins.databases import ROLES, client, created

CHANGES = "changes values"
VALUES = {
    "smallint": ["-32768", "7"],
    "integer": ["2147483647", "16777217", "7"],
    "bigint": ["9007199254740993", "7"],
    "real": ["0.1", "7", "3.4e38"],
    "double precision": ["0.1", "16777217.5", "7"],
    "numeric": ["0.123456789012345678", "1e40", "7"],
    "numeric(9,3)": ["123456.789", "7"],
    "numeric(9,2)": ["1234567.89", "7"],
    "numeric(12,3)": ["123456789.012", "7"],
    "numeric(4)": ["9999", "7"],
    "text": ["a  ", "", "2025-01-01"],
    "character varying": ["a  ", "7"],
    "character varying(3)": ["a  ", "7"],
    "character varying(9)": ["abcdefg  ", "7"],
    "character(3)": ["a", "7"],
    "character(5)": ["abcd", "7"],
    "date": ["2025-01-01", "0044-03-15 BC"],
    "timestamp without time zone": ["2025-01-01 00:00:00.123456"],
    "timestamp(3) without time zone": ["2025-01-01 00:00:00.123"],
    "timestamp with time zone": ["2025-01-01 00:00:00.123456+05"],
    "time without time zone": ["10:00:00.123456"],
    "time(0) without time zone": ["10:00:00"],
    "interval": ["1 mon 3.123456 s"],
    "uuid": ["11111111-2222-3333-4444-555555555555"],
    "boolean": ["true"],
    "json": ['{"a": 1, "a":  2}'],
    "jsonb": ['{"a": 1}'],
    "bytea": ["\\xdeadbeef"],
    "bit(3)": ["101"],
    "bit(5)": ["10110"],
    "bit varying(3)": ["101"],
    "bit varying(5)": ["10110"],
    "integer[]": ["{1,2}"],
    "bigint[]": ["{9007199254740993}"],
}
KEPT = [pair for pair in permutations(VALUES, 2) if keeps_values(*pair)]


@pytest.fixture(scope="module")
def database(server_with_roles):
    with created(server_with_roles) as settings, client(settings, ROLES.owner) as connection:
        yield connection


@pytest.mark.parametrize(("old", "new"), KEPT, ids=map(" to ".join, KEPT))
def test_values_come_back_as_they_were(database, old, new):
    """Each that the server takes: what is out of range is an error, and nothing is changed."""
    back = f"ALTER TABLE t ALTER a TYPE {old} USING a::{old}"
    for value in VALUES[old]:
        with database.transaction(force_rollback=True):
            database.execute(f"CREATE TABLE t (a {old})")
            database.execute("INSERT INTO t VALUES (%s)", [value])
            before = database.execute("SELECT a::text FROM t").fetchone()
            try:
                with database.transaction():
                    database.execute(f"ALTER TABLE t ALTER a TYPE {new}")
            except psycopg.errors.DataError:
                continue
            database.execute(back)
            assert database.execute("SELECT a::text FROM t").fetchone() == before


def test_usual_widenings_are_among_them():
    usual = {
        ("integer", "bigint"),
        ("bigint", "numeric"),
        ("real", "double precision"),
        ("numeric(9,3)", "numeric(12,3)"),
        ("numeric(9,3)", "numeric"),
        ("character varying(3)", "character varying(9)"),
        ("character varying(9)", "text"),
        ("timestamp(3) without time zone", "timestamp without time zone"),
        ("uuid", "text"),
    }
    assert usual <= set(KEPT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("numeric(9,3)", "numeric(9,2)"),
        ("numeric", "numeric(9,2)"),
        ("numeric(9,2)", "integer"),
        ("double precision", "real"),
        ("bigint", "double precision"),
        ("integer", "real"),
        ("timestamp without time zone", "timestamp(3) without time zone"),
        ("timestamp without time zone", "date"),
        ("timestamp with time zone", "timestamp without time zone"),
        ("character varying(9)", "character varying(3)"),
        ("character(5)", "text"),
        ("json", "jsonb"),
        ("geometry(Point,4326)", "geometry(Point,3857)"),
    ],
)
def test_what_may_change_values_is_not(old, new):
    assert not keeps_values(old, new)


TYPES = {("t", "a"): "integer", ("t", "n"): "numeric(9,3)", ("t", "Q"): "integer"}


@pytest.mark.parametrize(
    ("script", "hazards"),
    [
        pytest.param("ALTER TABLE t ALTER a TYPE bigint", (), id="wider"),
        pytest.param("ALTER TABLE t ALTER n TYPE numeric(9,1)", (CHANGES,), id="narrower"),
        pytest.param("ALTER TABLE t ALTER n TYPE text, ALTER a TYPE date", (CHANGES,), id="one"),
        pytest.param("ALTER TABLE t ALTER a TYPE bigint USING a", (), id="itself"),
        pytest.param('ALTER TABLE t ALTER "Q" TYPE bigint USING "Q"::bigint', (), id="cast"),
        pytest.param("ALTER TABLE t ALTER a TYPE bigint USING a + 1", (CHANGES,), id="computed"),
        pytest.param("ALTER TABLE t ALTER a TYPE text USING n::text", (CHANGES,), id="other's"),
        pytest.param("ALTER TABLE t ALTER x TYPE text", (CHANGES,), id="unknown column"),
        pytest.param("CREATE TABLE u (a text); ALTER TABLE u ALTER a TYPE int", (), id="new"),
        pytest.param(
            "ALTER TABLE t ALTER a TYPE numeric; ALTER TABLE t ALTER a TYPE numeric(5,1)",
            (CHANGES,),
            id="in two steps",
        ),
        pytest.param(
            "DO $$ BEGIN ALTER TABLE t ALTER n TYPE int; END $$", (CHANGES,), id="in a block"
        ),
        pytest.param("DO $$ BEGIN ALTER TABLE t ALTER n TYPE text; END $$", (), id="kept, block"),
    ],
)
def test_what_a_plan_says_of_a_new_type(script, hazards):
    """However few the rows."""
    stands = plan.Standing({"t": 10}, {}, types=dict(TYPES))
    *_, last = plan._statements(script, stands)
    assert last.hazards == hazards
