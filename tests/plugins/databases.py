"""Databases and settings for tests: one of its own for each, cloned from a template.

`empty` is a database with nothing in it; `migrated` stands at head, and `connection` and `app` are
connections to it; `both` are two empty stores. All belong to the owner's role and come with the
application's and the read-only role, as `make up` makes them.
"""

import itertools
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy import text

from stage1_schema import sql as declared_sql
from stage1_schema.alembic_plugin import history
from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.connect import engine
from stage1_schema.models import Base
from stage1_schema.ops import migrate
from stage1_schema.settings import PostgresSettings, QuestDBSettings, Roles, Settings

ROLES = Roles()
PASSWORDS = {ROLES.owner: "owner secret", ROLES.app: "app secret", ROLES.readonly: "reader secret"}
NO_QUESTDB = QuestDBSettings("http://127.0.0.1:1")
ALEMBIC_VERSION = (
    "CREATE TABLE alembic_version ("
    "version_num varchar(32) CONSTRAINT alembic_version_pkc PRIMARY KEY)"
)
_numbers = itertools.count(1)


@contextmanager
def created(server, template=None, owner=None):
    """Make a database and give its settings for the owner's role.

    Of another `owner` its schema public is as the server makes it.
    """
    name = f"stage1_test_{next(_numbers)}"
    janitor = DatabaseJanitor(
        user=server.user,
        password=server.password,
        host=server.host,
        port=server.port,
        dbname=name,
        template_dbname=template,
    )
    with janitor:
        role = sql.Identifier(owner or ROLES.owner)
        with superuser(server, "postgres") as connection:
            connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), role)
            )
        if template is None and owner is None:
            with superuser(server, name) as connection:
                connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(role))
        yield settings_for(server, name)


def superuser(server, name):
    """Return an autocommit connection of the server's superuser."""
    return psycopg.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        dbname=name,
        autocommit=True,
    )


def settings_for(server, name, role=ROLES.owner):
    """Return settings of one role for a database; QuestDB is nowhere."""
    parameters = {
        "host": server.host,
        "port": str(server.port),
        "dbname": name,
        "user": role,
        "password": PASSWORDS[role],
    }
    return Settings(PostgresSettings(parameters), NO_QUESTDB, ROLES)


def make_roles(server):
    """Make the three roles on a server."""
    with superuser(server, "postgres") as connection:
        if connection.info.server_version >= 160000:
            connection.execute("SET scram_iterations = 1")  # a login is quicker
        for role in PASSWORDS:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        known = PASSWORDS | {server.user: server.password}
        for role, password in known.items():
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


@pytest.fixture(scope="session")
def server_with_roles(postgres_server):
    """The PostgreSQL server, with the three roles."""
    make_roles(postgres_server)
    return postgres_server


@pytest.fixture(scope="session")
def template(server_with_roles):
    """The name of a database at head, to clone from."""
    with ExitStack() as stack:
        settings = stack.enter_context(created(server_with_roles))
        migrate.upgrade(settings, arguments=("questdb=skip",))
        yield settings.postgres.database


@pytest.fixture
def empty(server_with_roles):
    """Settings of an empty database."""
    with created(server_with_roles) as settings:
        yield settings


@pytest.fixture
def migrated(server_with_roles, template):
    """Settings of a database at head."""
    with created(server_with_roles, template) as settings:
        yield settings


@pytest.fixture(scope="session")
def declared(server_with_roles):
    """Settings of a database made from the models and the .sql files, without a revision."""
    with created(server_with_roles) as settings:
        with engine(settings.postgres).begin() as connection:
            connection.execute(text(ALEMBIC_VERSION))
            history.create(connection, ROLES)
            Base.metadata.create_all(connection)
            connection.execute(text("SET check_function_bodies = off"))
            for each in declared_sql.objects():
                connection.execute(Verbatim(each.text))
        yield settings


@pytest.fixture
def administrator(migrated, postgres_server):
    """Settings of the superuser for the migrated database: who may make roles."""
    login = {"user": postgres_server.user, "password": postgres_server.password}
    parameters = {**migrated.postgres.parameters, **login}
    return replace(migrated, postgres=replace(migrated.postgres, parameters=parameters))


def client(settings, role):
    """Return a connection as a client has it: every statement committed, rows as dicts."""
    parameters = as_role(settings, role).postgres.parameters
    return psycopg.connect(**parameters, autocommit=True, row_factory=dict_row)


@pytest.fixture
def connection(migrated):
    """A connection of the owner to a database at head."""
    with client(migrated, ROLES.owner) as connection:
        yield connection


@pytest.fixture
def root(administrator):
    """The superuser's connection to the same database."""
    with psycopg.connect(
        **administrator.postgres.parameters, autocommit=True, row_factory=dict_row
    ) as connection:
        yield connection


@pytest.fixture
def app(migrated):
    """The application's connection to the same database: what the clients of the field have."""
    with client(migrated, ROLES.app) as connection:
        yield connection


@pytest.fixture
def questdb(questdb_server):
    """A client of a QuestDB without any table."""
    from questdb_ddl import Client, render

    with Client(questdb_server.url) as client:
        for row in client.query("SELECT table_name FROM tables()"):
            if not row["table_name"].startswith(("sys.", "_", "telemetry")):
                client.execute(render.drop_table(row["table_name"]))
        yield client


@pytest.fixture
def both(empty, questdb, questdb_server):
    """Settings of two empty stores."""
    return replace(empty, questdb=QuestDBSettings(questdb_server.url))


def as_role(settings, role):
    """Return the same settings for another role."""
    login = {"user": role, "password": PASSWORDS[role]}
    parameters = {**settings.postgres.parameters, **login}
    return replace(settings, postgres=replace(settings.postgres, parameters=parameters))


def environment(settings):
    """Return the environment variables that mean `settings`."""
    names = {"host": "HOST", "port": "PORT", "dbname": "DB", "user": "USER", "password": "PASSWORD"}
    return {
        **{f"STAGE1_POSTGRES_{names[k]}": v for k, v in settings.postgres.parameters.items()},
        "STAGE1_QUESTDB_REST": settings.questdb.url,
    }
