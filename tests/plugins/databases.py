"""Migrated databases: a template is migrated once, every test gets a clone of its own."""

import itertools
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import dict_row
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy import text

from stage1_schema import sql
from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.connect import engine
from stage1_schema.models import Base
from stage1_schema.ops import migrate
from stage1_schema.settings import PostgresSettings, QuestDBSettings, Settings

NUMBERS = itertools.count()
ALEMBIC_VERSION = (
    "CREATE TABLE alembic_version ("
    "version_num varchar(32) CONSTRAINT alembic_version_pkc PRIMARY KEY)"
)


class Database:
    """One database: `settings` for the library, `connect()` for SQL as a client sends it."""

    def __init__(self, server, name):
        self.name = name
        self.parameters = {
            "host": server.host,
            "port": str(server.port),
            "user": server.user,
            "password": server.password,
            "dbname": name,
        }
        self.settings = Settings(
            PostgresSettings(self.parameters), QuestDBSettings("http://127.0.0.1:9")
        )

    def connect(self, **parameters):
        return psycopg.connect(
            **self.parameters | parameters, autocommit=True, row_factory=dict_row
        )


@contextmanager
def created(server, template=None):
    """A database that goes when the block ends."""
    name = f"test_{next(NUMBERS)}"
    janitor = DatabaseJanitor(
        user=server.user,
        host=server.host,
        port=server.port,
        password=server.password,
        dbname=name,
        template_dbname=template,
    )
    janitor.init()
    try:
        yield Database(server, name)
    finally:
        janitor.drop()


@pytest.fixture(scope="session")
def new_database(postgres_server):
    """Make databases as context managers: empty ones, or clones of a template."""
    return lambda template=None: created(postgres_server, template)


@pytest.fixture(scope="session")
def roles(new_database):
    """The application's and the read-only role, as a deploy has them before it migrates."""
    with new_database() as database, database.connect() as connection:
        for role in ("stage1_app", "stage1_readonly"):
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'test'")


@pytest.fixture(scope="session")
def migrated(new_database, roles):
    """The template: all revisions, QuestDB left out."""
    with new_database() as template:
        migrate.upgrade(template.settings, arguments=["questdb=skip"])
        yield template


@pytest.fixture(scope="session")
def declared(new_database, roles):
    """A database made from the models and the .sql files, without a revision."""
    with new_database() as database:
        with engine(database.settings.postgres).begin() as connection:
            connection.execute(text(ALEMBIC_VERSION))
            Base.metadata.create_all(connection)
            connection.execute(text("SET check_function_bodies = off"))
            for each in sql.objects():
                connection.execute(Verbatim(each.text))
        yield database


@pytest.fixture
def database(new_database, migrated):
    """A migrated database of the test's own."""
    with new_database(migrated.name) as clone:
        yield clone


@pytest.fixture
def connection(database):
    """A superuser's connection, every statement committed, rows as dicts."""
    with database.connect() as connection:
        yield connection


@pytest.fixture
def app(database):
    """The application's connection: what the clients of the field have."""
    with database.connect(user="stage1_app", password="test") as connection:
        yield connection
