"""Who may what, whom objects belong to, and roles that are made when asked for."""

import logging
from dataclasses import replace

import psycopg
import pytest
from psycopg.rows import dict_row

from stage1_schema.errors import PostgresError
from stage1_schema.ops import migrate, roles
from stage1_schema.settings import PostgresSettings, Roles
from tests.plugins.databases import ROLES, as_role, client, superuser
from tests.postgres import clients, rows
from tests.postgres.test_contract import one

TABLES = {
    "datasets",
    "walkforward_runs",
    "walkforward_folds",
    "simulation_runs",
    "simulation_trades",
    "simulation_trade_buckets",
    "stage1_jobs",
    "indicator_datasets",
    "stage1_datasets",
    "spool_replays",
    "spool_quarantine",
    "spool_units",
}
VIEWS = {
    "dataset_hierarchy",
    "dataset_catalog",
    "stage1_unused_placeholders",
    "alembic_version",
    "stage1_migration_history",
}
DELETED_FROM = {"stage1_jobs", "simulation_trades", "stage1_unused_placeholders"}


def test_who_may_what(migrated):
    report = roles.read(migrated)
    assert report.missing == ()
    assert {each.name for each in report.access} == TABLES | VIEWS
    for each in report.access:
        writes = ("INSERT", "UPDATE") if each.name in TABLES else ()
        assert each.rights == {
            "stage1_owner": ("SELECT", "INSERT", "UPDATE", "DELETE"),
            "stage1_app": ("SELECT", *writes, *["DELETE"] * (each.name in DELETED_FROM)),
            "stage1_readonly": ("SELECT",),
        }


def test_the_read_only_role_reads_everything_and_writes_nothing(migrated, app):
    app.execute(clients.a_dataset(rows.A_DATASET))
    with client(migrated, ROLES.readonly) as reader:
        for query in (
            "SELECT * FROM fn_list_datasets()",
            "SELECT * FROM dataset_hierarchy",
            "SELECT * FROM dataset_catalog",
            "SELECT * FROM indicator_datasets",
        ):
            assert one(reader, query)["dataset_id"]
        for function in ("runs(NULL)", "simulations(NULL)", f"folds('{rows.RUN}')"):
            assert reader.execute(f"SELECT * FROM fn_list_{function}").fetchall() == []
        for statement in (
            clients.b_call(rows.B_DATASET),
            clients.a_dataset(rows.A_DATASET),
            f"SELECT ensure_dataset_placeholder('{rows.NOBODY}')",
            "UPDATE datasets SET symbol = 'x'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)


def test_the_application_deletes_nothing_else(app):
    for table in TABLES - DELETED_FROM:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(f"DELETE FROM {table}")


def test_later_tables_inherit(migrated, connection):
    connection.execute("CREATE TABLE later (id serial, n int)")
    rights = {each.name: each.rights for each in roles.read(migrated).access}
    assert rights["later"] == {
        "stage1_owner": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "stage1_app": ("SELECT", "INSERT", "UPDATE"),
        "stage1_readonly": ("SELECT",),
    }


def test_functions_have_a_fixed_search_path_and_no_borrowed_rights(connection):
    query = """
        SELECT proname, prosecdef, proconfig FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace"""
    for row in connection.execute(query):
        assert not row["prosecdef"]
        assert row["proconfig"][0].startswith("search_path=pg_catalog, ")
        assert row["proconfig"][0].endswith("pg_temp")


@pytest.fixture
def deployer(server_with_roles, empty):
    """A database, and a login without rights of its own in a role that may create there."""
    name = empty.postgres.database
    with superuser(server_with_roles, name) as connection:
        connection.row_factory = dict_row
        connection.execute("CREATE ROLE own NOLOGIN")
        connection.execute("CREATE ROLE deploy LOGIN PASSWORD 'test' IN ROLE own")
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO own")
        connection.execute("GRANT CREATE, USAGE ON SCHEMA public TO own")
        login = {"user": "deploy", "password": "test"}
        deploy = PostgresSettings({**empty.postgres.parameters, **login})
        yield connection, replace(empty, postgres=deploy, roles=Roles(owner="own"))
        connection.execute("DROP OWNED BY own, deploy")
        connection.execute("DROP ROLE deploy, own")


OWNERS = """
SELECT DISTINCT pg_get_userbyid(o.owner) AS name FROM (
    SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace
     UNION SELECT proowner FROM pg_proc WHERE pronamespace = 'public'::regnamespace) o"""


def test_objects_belong_to_the_owner_role(deployer):
    connection, settings = deployer
    migrate.upgrade(settings, arguments=["questdb=skip"])
    assert one(connection, OWNERS)["name"] == "own"
    connection.execute("SET ROLE own")
    connection.execute("CREATE TABLE later ()")
    connection.execute("RESET ROLE")
    granted = one(connection, "SELECT has_table_privilege('stage1_app', 'later', 'INSERT') AS it")
    assert granted["it"]


def test_the_owner_role_is_left_out_where_it_would_be_locked_out(deployer, administrator, caplog):
    _, settings = deployer
    again = replace(administrator, roles=settings.roles)
    with caplog.at_level(logging.WARNING):
        migrate.upgrade(again, arguments=["questdb=skip"])
    assert "will not own what this run creates: it may not create" in caplog.text


def test_missing_roles_are_made_when_asked(administrator, postgres_server):
    named = replace(administrator, roles=Roles("o_x", "a_x", "r_x"))
    try:
        assert roles.create(named) == roles.Created(("o_x", "a_x", "r_x"), granted=True)
        assert roles.create(named) == roles.Created((), granted=True)
        rights = {each.name: each.rights for each in roles.read(named).access}
        assert rights["datasets"]["a_x"] == ("SELECT", "INSERT", "UPDATE")
        assert rights["datasets"]["r_x"] == ("SELECT",)
    finally:
        with superuser(postgres_server, named.postgres.database) as connection:
            connection.execute("DROP OWNED BY o_x, a_x, r_x")
            connection.execute("DROP ROLE o_x, a_x, r_x")


def test_a_login_that_may_not_make_roles_is_told(migrated):
    app = replace(as_role(migrated, ROLES.app), roles=Roles("o_x", "a_x", "r_x"))
    with pytest.raises(PostgresError, match="permission denied to create role"):
        roles.create(app)
