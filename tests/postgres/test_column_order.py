"""Nothing depends on the order of a view's columns."""

import pytest

from stage1_schema.connect import engine
from stage1_schema.ops import datasets, owned, series_checks, validation
from tests.postgres import clients, rows
from tests.postgres.test_merged_placeholders import REAL

QUERIES = (
    "SELECT * FROM fn_list_datasets()",
    "SELECT * FROM fn_list_runs()",
    "SELECT * FROM fn_list_simulations()",
    f"SELECT * FROM fn_list_folds('{rows.RUN}')",
    "SELECT * FROM dataset_hierarchy",
    "SELECT * FROM dataset_catalog",
    "SELECT * FROM indicator_datasets",
    "SELECT * FROM stage1_datasets",
)
VIEWS = "SELECT viewname AS name FROM pg_views WHERE schemaname = 'public'"
REVERSED = """
SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position DESC) AS columns
  FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s
"""
GRANTS = """
SELECT DISTINCT privilege_type AS right, grantee FROM information_schema.role_table_grants
 WHERE table_schema = 'public' AND table_name = %s AND grantee <> grantor
"""


@pytest.fixture
def turned(connection):
    """Make every view anew with its columns the other way round; it still is updatable."""

    def turn():
        for row in connection.execute(VIEWS).fetchall():
            name = row["name"]
            (columns,) = connection.execute(REVERSED, [name]).fetchone().values()
            grants = connection.execute(GRANTS, [name]).fetchall()
            connection.execute(f"ALTER VIEW {name} RENAME TO {name}_inside")
            connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {name}_inside")
            for grant in grants:
                connection.execute(f"GRANT {grant['right']} ON {name} TO {grant['grantee']}")

    return turn


def seen(app, settings):
    """Return what the list functions, the views and the tool's own queries say."""
    with engine(settings.postgres).connect() as connection:
        tool = (
            datasets.recorded_tables(connection),
            owned.read(connection),
            tuple(series_checks.recorded(connection)),
        )
    checks = [each.name for each in validation.checks() if each.store == "PostgreSQL"]
    return (
        [app.execute(query).fetchall() for query in QUERIES],
        tool,
        validation.validate(settings, checks).outcomes,
    )


@pytest.mark.parametrize("statement", REAL.values(), ids=REAL)
def test_every_caller_is_right_whatever_the_order(app, migrated, turned, statement):
    app.execute("SELECT ensure_dataset_placeholder(%s, 'btc25_4h')", [rows.NOBODY])
    app.execute(statement)
    for child in (
        clients.a_run(rows.RUN_ROW),
        clients.a_fold(rows.FOLD_ROW),
        clients.simulation(rows.SIMULATION_ROW),
        clients.bucket(rows.BUCKET_ROW),
    ):
        app.execute(child)
    before = seen(app, migrated)
    assert all(before[0])
    turned()
    assert seen(app, migrated) == before
    app.execute(statement)
    assert seen(app, migrated)[1:] == before[1:]


def test_no_function_and_no_view_says_star(connection):
    query = """
        SELECT proname AS name, prosrc AS body FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace"""
    for row in connection.execute(query):
        body = row["body"].replace("count(*)", "").replace("OLD.*", "").replace("NEW.*", "")
        assert ".*" not in body, row["name"]
        assert "SELECT *" not in body, row["name"]
