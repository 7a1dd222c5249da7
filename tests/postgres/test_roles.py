"""Who may what, whom objects belong to, and roles that are made when asked for."""

import json
import logging
from dataclasses import replace

import psycopg
import pytest
from psycopg.rows import dict_row

from stage1_schema.errors import PostgresError
from stage1_schema.ops import migrate, role_setup, roles
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
DELETED_FROM = {
    "stage1_jobs",
    "simulation_trades",
    "spool_quarantine",
    "stage1_unused_placeholders",
}


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
        for missing in (("o_x", "a_x", "r_x"), ()):
            made = roles.create(named)
            assert (made.roles, made.granted) == (missing, True)
        rights = {each.name: each.rights for each in roles.read(named).access}
        assert rights["datasets"]["a_x"] == ("SELECT", "INSERT", "UPDATE")
        assert rights["datasets"]["r_x"] == ("SELECT",)
    finally:
        with superuser(postgres_server, named.postgres.database) as connection:
            connection.execute("DROP OWNED BY o_x, a_x, r_x")
            connection.execute("DROP ROLE o_x, a_x, r_x")


@pytest.fixture
def open_to_all(migrated, root):
    """A database in which everybody may create in schema public, as PostgreSQL 14 makes it."""
    root.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    return migrated


REVOKE = "REVOKE CREATE ON SCHEMA public FROM PUBLIC;"


def may_create(root):
    query = "SELECT has_schema_privilege('stage1_readonly', 'public', 'CREATE') AS it"
    return one(root, query)["it"]


@pytest.mark.parametrize("schema_owner", ["stage1_owner", "postgres"])
def test_that_everybody_creates_is_said_and_ended(
    open_to_all, administrator, root, shell, schema_owner
):
    """A schema of the superuser is that of PostgreSQL 14: nobody else may end it."""
    root.execute(f"ALTER SCHEMA public OWNER TO {schema_owner}")
    may = schema_owner == "stage1_owner"
    needed = [] if may else ['GRANT CREATE ON SCHEMA public TO "stage1_owner";']
    shown = shell("stage1", "roles", settings=open_to_all)
    assert shown.code == 0, shown
    lines = [f"To end that, as {schema_owner} or a superuser:", *needed, REVOKE]
    assert all(line in shown.out for line in lines)
    data = json.loads(shell("stage1", "roles", "--json", settings=open_to_all).out)["setup"]
    assert (data["everybody_creates"], data["may_end_create"]) == (True, may)
    assert data["end_create"] == [*needed, REVOKE]

    done = shell("stage1", "roles", "create", settings=open_to_all)
    assert done.code == 0, done
    assert (f"Ran {REVOKE}" in done.out) == may
    assert ("To end that, as postgres or a superuser:" in done.out) == (not may)
    assert may_create(root) == (not may)

    assert roles.create(administrator).setup.end_create == ()
    assert not may_create(root)
    with client(open_to_all, ROLES.owner) as owner:
        owner.execute("CREATE TABLE later ()")
    assert "Every role may create" not in shell("stage1", "roles", settings=open_to_all).out


def test_who_will_migrate_may_still_create_once_not_everybody_does(empty, server_with_roles):
    server = server_with_roles
    with superuser(server, empty.postgres.database) as root:
        root.execute("ALTER SCHEMA public OWNER TO postgres")
        root.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    login = {"user": server.user, "password": server.password}
    parameters = {**empty.postgres.parameters, **login}
    made = roles.create(replace(empty, postgres=PostgresSettings(parameters)))
    assert made.ended == ('GRANT CREATE ON SCHEMA public TO "stage1_owner";', REVOKE)
    migrate.upgrade(empty, arguments=["questdb=skip"])


@pytest.mark.parametrize(
    ("statement", "kind", "said"),
    [
        pytest.param("SELECT", role_setup.Kind.OWNER_APART, "neither may drop", id="owner apart"),
        pytest.param(
            "GRANT stage1_owner TO stage1_app",
            role_setup.Kind.APP_IS_MEMBER,
            'REVOKE "stage1_owner" FROM "stage1_app";',
            id="member",
        ),
        pytest.param(
            "ALTER ROLE stage1_app SUPERUSER",
            role_setup.Kind.APP_IS_SUPERUSER,
            'ALTER ROLE "stage1_app" NOSUPERUSER;',
            id="superuser",
        ),
        pytest.param(
            "ALTER SCHEMA public OWNER TO stage1_app",
            role_setup.Kind.APP_OWNS_AROUND,
            'ALTER SCHEMA public OWNER TO "stage1_owner";',
            id="owner of the schema",
        ),
        pytest.param(
            "ALTER DATABASE {database} OWNER TO stage1_app",
            role_setup.Kind.APP_OWNS_AROUND,
            'ALTER DATABASE "{database}" OWNER TO "stage1_owner";',
            id="owner of the database",
        ),
    ],
)
def test_what_a_set_up_protects_and_how_to_end_what_it_does_not(
    migrated, root, shell, statement, kind, said
):
    database = migrated.postgres.database
    try:
        root.execute(statement.format(database=database))
        assert roles.read(migrated).setup.kind is kind
        shown = shell("stage1", "roles", settings=migrated)
        assert said.format(database=database) in shown.out
        for each in roles.read(migrated).setup.statements:
            root.execute(each)
        assert roles.read(migrated).setup.kind is role_setup.Kind.OWNER_APART
    finally:
        root.execute("ALTER ROLE stage1_app NOSUPERUSER")
        root.execute("REVOKE stage1_owner FROM stage1_app")


def test_roles_made_late_get_what_later_tables_give(migrated, administrator, root):
    """Default privileges are those of the owner, whoever types the command."""
    named = replace(administrator, roles=Roles("stage1_owner", "a_x", "r_x"))
    try:
        roles.create(named)
        with client(migrated, ROLES.owner) as owner:
            owner.execute("CREATE TABLE later (n int)")
        query = "SELECT has_table_privilege('a_x', 'later', 'INSERT') AS it"
        assert one(root, query)["it"]
    finally:
        root.execute("DROP OWNED BY a_x, r_x")
        root.execute("DROP ROLE a_x, r_x")


def test_a_login_that_may_not_make_roles_is_told(migrated):
    app = replace(as_role(migrated, ROLES.app), roles=Roles("o_x", "a_x", "r_x"))
    with pytest.raises(PostgresError, match="permission denied to create role"):
        roles.create(app)
