"""A new column that a standing row has no value for is a hazard by name, and fails on a server."""

import psycopg
import pytest

from stage1_schema.connect import reading
from stage1_schema.ops import plan
from tests.plugins.databases import ROLES, client, created

FAILS = "fails on rows"
TABLES = """
CREATE TABLE few (a int);
CREATE TABLE counted (a int);
CREATE TABLE late (a int);
CREATE TABLE none (a int);
ANALYZE late, none;
INSERT INTO few VALUES (1);
INSERT INTO late VALUES (1);
INSERT INTO counted VALUES (1), (2);
ANALYZE counted;
"""


@pytest.fixture(scope="module")
def database(server_with_roles):
    with created(server_with_roles) as settings, client(settings, ROLES.owner) as connection:
        connection.execute(TABLES)
        yield settings, connection


@pytest.mark.parametrize("table", ["few", "counted", "late", "none"])
@pytest.mark.parametrize(
    ("column", "filled"),
    [
        ("c int NOT NULL", False),
        ("c int NOT NULL UNIQUE", False),
        ("c int DEFAULT NULL NOT NULL", False),
        ("c int PRIMARY KEY", False),
        ("c int", True),
        ("c int NULL UNIQUE", True),
        ("c int DEFAULT 1 NOT NULL", True),
        ("c bigserial NOT NULL", True),
        ("c int GENERATED ALWAYS AS IDENTITY NOT NULL", True),
        ("c int NOT NULL GENERATED ALWAYS AS (1) STORED", True),
        ("c uuid NOT NULL DEFAULT gen_random_uuid()", True),
    ],
)
def test_column_without_a_value_for_standing_rows(database, table, column, filled):
    settings, connection = database
    statement = f"ALTER TABLE {table} ADD COLUMN {column}"
    with reading(settings.postgres) as looking:
        (planned,) = plan._statements(statement, plan.look(looking))
    with connection.transaction(force_rollback=True):
        try:
            connection.execute(statement)
            failed = False
        except psycopg.errors.NotNullViolation:
            failed = True
    assert failed == (FAILS in planned.hazards) == (not filled and table != "none")


def test_table_that_the_script_makes_has_no_rows(database):
    with reading(database[0].postgres) as looking:
        stands = plan.look(looking)
    script = "DROP TABLE few; CREATE TABLE few (a int); ALTER TABLE few ADD COLUMN c int NOT NULL"
    *_, last = plan._statements(script, stands)
    assert last.hazards == ()
