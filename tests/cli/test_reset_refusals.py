"""A reset that cannot end well does not begin: every refusal comes before the first change."""

from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from questdb_ddl import live_tables
from stage1_schema.connect import connect
from stage1_schema.errors import Stage1Error
from stage1_schema.locks import SERIES_LOCK, UPGRADE_LOCK
from stage1_schema.ops import migrate, reset, reset_postgres
from tests.cli.test_reset import SHARED, done, failed, rows_in
from tests.cli.test_reset_series import create
from tests.plugins.databases import as_role, superuser

DATASET = """
INSERT INTO datasets (dataset_id, dataset_slug, symbol, granularity)
VALUES (gen_random_uuid(), 'eth', 'ETH', '4h')
"""


@pytest.fixture
def eth(both, questdb):
    """Two stores at head, with one dataset and its bars."""
    migrate.upgrade(both)
    with connect(both.postgres, autocommit=True) as connection:
        connection.execute(DATASET)
    create(questdb, "ohlcv_eth")
    return both


@pytest.fixture
def root(eth, postgres_server):
    """The superuser's connection to the same database."""
    with superuser(postgres_server, eth.postgres.database) as connection:
        yield connection


@contextmanager
def read_only(root, settings, _questdb):
    name = sql.Identifier(settings.postgres.database)
    root.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    yield
    root.execute("SET default_transaction_read_only = off")
    root.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))


@contextmanager
def table_of_another_role(root, _settings, _questdb):
    root.execute("ALTER TABLE stage1_jobs OWNER TO CURRENT_USER")
    yield


@contextmanager
def function_of_another_role(root, _settings, _questdb):
    root.execute("ALTER FUNCTION fn_list_runs OWNER TO CURRENT_USER")
    yield


@contextmanager
def no_right_to_create(root, settings, _questdb):
    owner = sql.Identifier(settings.roles.owner)
    root.execute("ALTER SCHEMA public OWNER TO CURRENT_USER")
    root.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    root.execute(sql.SQL("REVOKE CREATE ON SCHEMA public FROM {}").format(owner))
    root.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(owner))
    yield


@contextmanager
def event_trigger(root, _settings, _questdb):
    root.execute("""
        CREATE FUNCTION no_tables() RETURNS event_trigger LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION ''no new tables here''; END';
        CREATE EVENT TRIGGER no_tables ON ddl_command_start WHEN TAG IN ('CREATE TABLE')
            EXECUTE FUNCTION no_tables();
        DROP TABLE stage1_migration_history;
    """)
    yield
    root.execute("DROP EVENT TRIGGER no_tables")


@contextmanager
def view_of_others(root, _settings, _questdb):
    root.execute("CREATE VIEW report_of_others AS SELECT * FROM datasets")
    yield


@contextmanager
def client_in_a_transaction(_root, settings, _questdb):
    with psycopg.connect(**as_role(settings, settings.roles.app).postgres.parameters) as client:
        client.execute("SELECT * FROM datasets")
        yield


@contextmanager
def another_upgrade(root, _settings, _questdb):
    root.execute("SELECT pg_advisory_lock(%s)", [UPGRADE_LOCK])
    yield


@contextmanager
def another_rebuild(root, _settings, _questdb):
    root.execute("SELECT pg_advisory_lock(%s)", [SERIES_LOCK])
    yield


@contextmanager
def materialized_view_of_others(_root, _settings, questdb):
    questdb.execute(
        "CREATE MATERIALIZED VIEW daily AS"
        " SELECT t, max(timestamp_ms) m FROM ohlcv_eth SAMPLE BY 1d"
    )
    yield
    questdb.execute("DROP MATERIALIZED VIEW daily")


@contextmanager
def detached_partition(_root, _settings, questdb):
    questdb.execute("INSERT INTO ohlcv_eth VALUES (2, '2025-06-05')")
    questdb.wait_for("ohlcv_eth")
    questdb.execute("ALTER TABLE ohlcv_eth DETACH PARTITION LIST '2025-01-01'")
    questdb.wait_for("ohlcv_eth")
    yield


@pytest.mark.parametrize(
    ("hindrance", "message"),
    [
        pytest.param(
            read_only, "is read-only.*RESET default_transaction_read_only", id="read_only"
        ),
        pytest.param(table_of_another_role, "belong to .*stage1_jobs", id="table_owner"),
        pytest.param(
            function_of_another_role, "belong to other.*fn_list_runs", id="function_owner"
        ),
        pytest.param(no_right_to_create, "GRANT CREATE ON SCHEMA public TO", id="create"),
        pytest.param(event_trigger, "no new tables here", id="event_trigger"),
        pytest.param(view_of_others, "view report_of_others", id="dependent"),
        pytest.param(client_in_a_transaction, r"sessions use.*stage1_app", id="session"),
        pytest.param(another_upgrade, "Another upgrade or replay holds", id="upgrade_lock"),
        pytest.param(another_rebuild, "another rebuild, retention or drop", id="series_lock"),
        pytest.param(
            detached_partition, "ohlcv_eth has detached partitions .2025-01", id="detached"
        ),
        pytest.param(materialized_view_of_others, "view daily reads ohlcv_eth", id="view"),
    ],
)
def test_nothing_is_changed(eth, root, questdb, monkeypatch, hindrance, message):
    monkeypatch.setenv("STAGE1_LOCK_TIMEOUT_S", "1")
    monkeypatch.setattr(reset_postgres, "LOCK_TIMEOUT_MS", 500)
    before = set(live_tables(questdb))
    with hindrance(root, eth, questdb):
        before = set(live_tables(questdb))
        with pytest.raises(Stage1Error, match=message) as error:
            done(eth)
        assert "Next:" in str(error.value)
        assert set(live_tables(questdb)) == before
        assert rows_in(eth, "datasets") == 1
        assert rows_in(eth, "alembic_version") == 1


def test_no_right_to_create_a_schema_for_the_rows(eth, root, questdb):
    """As the application's role, which owns the tables but not the database."""
    app = as_role(eth, eth.roles.app)
    role = sql.Identifier(eth.roles.app)
    root.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(eth.roles.owner), role))
    try:
        root.execute(f"ALTER DATABASE {eth.postgres.database} OWNER TO CURRENT_USER")
        with pytest.raises(Stage1Error, match=r"GRANT CREATE ON DATABASE.*or use --drop"):
            done(app, keep=True)
        assert "ohlcv_eth" in live_tables(questdb)
    finally:
        root.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(eth.roles.owner), role))


def test_dry_run_names_what_refuses(shell, eth, root):
    root.execute("CREATE VIEW report_of_others AS SELECT * FROM datasets")
    ran = shell("stage1", "reset", "--dry-run", "--drop", settings=eth)
    assert ran.code == 0, ran
    assert "refused: other software built on the tables" in ran.out


def test_questdb_away(eth):
    away = replace(eth, questdb=replace(eth.questdb, url="http://127.0.0.1:1"))
    with pytest.raises(Stage1Error, match=r"cannot be reached.*Next: start it"):
        reset.run(away, reset.plan(eth), keep=False)
    assert rows_in(eth, "datasets") == 1


def test_upgrade_that_fails_says_that_the_same_command_continues(eth, questdb, shell):
    """A writer created a shared table in the meantime, which the upgrade refuses."""
    original = migrate.upgrade

    def upgrade(*arguments, **options):
        create(questdb, "indicator_bars")
        original(*arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(migrate, "upgrade", upgrade)
        with pytest.raises(Stage1Error) as error:
            done(eth)
    text = str(error.value)
    assert text.startswith("Both stores are empty, and the upgrade that follows did not finish:")
    assert "indicator_bars" in text
    assert text.endswith("run the same command again; it continues where it stopped.")
    assert text.count("Next:") == 1
    command = ("stage1", "reset", "--drop", "--confirm", eth.postgres.database)
    again = shell(*command, settings=eth)
    assert again.code == 0, again
    assert set(live_tables(questdb)) == SHARED


def test_other_roles_keep_their_rights(eth, root):
    root.execute('CREATE ROLE "an Analyst"')
    try:
        root.execute('GRANT SELECT, UPDATE ON datasets TO "an Analyst"')
        root.execute('GRANT SELECT ON dataset_catalog TO "an Analyst"')
        assert failed(done(eth)) == []
        asked = """
            SELECT has_table_privilege('an Analyst', 'datasets', 'SELECT'),
                   has_table_privilege('an Analyst', 'datasets', 'UPDATE'),
                   has_table_privilege('an Analyst', 'datasets', 'DELETE'),
                   has_table_privilege('an Analyst', 'dataset_catalog', 'SELECT')
        """
        assert root.execute(asked).fetchone() == (True, True, False, True)
    finally:
        root.execute('DROP OWNED BY "an Analyst"; DROP ROLE "an Analyst"')
