"""Which stores a run is for: named in its first line, and never one that nobody named."""

import json
from urllib.parse import quote

import psutil
import pytest

from questdb_ddl import live_tables
from stage1_schema.servers import state
from tests.migrations.databases import fingerprint
from tests.plugins.databases import PASSWORDS, ROLES, environment


def only(settings, store):
    """Return the variables of one store."""
    return {k: v for k, v in environment(settings).items() if k.startswith(f"STAGE1_{store}_")}


@pytest.fixture
def local(both, questdb_server, tmp_path):
    """The test's own stores, recorded as the local servers of `make up`."""
    me = psutil.Process()
    identity = {"pid": me.pid, "started": me.create_time()}
    given = both.postgres.parameters
    login = (given["user"], given["password"], ROLES.app, PASSWORDS[ROLES.app])
    postgres = state.PostgresState(
        given["host"], int(given["port"]), given["dbname"], *login, **identity
    )
    questdb = state.QuestDBState(questdb_server.url, questdb_server.port, **identity)
    (tmp_path / "local").mkdir()
    state.write(tmp_path / "local", state.LocalState(postgres, questdb))
    return both


def test_local_servers_are_used_where_nothing_is_set(shell, local):
    ran = shell("alembic", "upgrade", "head")
    assert ran.code == 0, ran
    assert f"PostgreSQL {local.postgres.where} as {ROLES.owner}, " in ran.err


MISSING = {"POSTGRES": "QuestDB", "QUESTDB": "PostgreSQL"}


@pytest.mark.parametrize(
    ("store", "command"),
    [
        pytest.param(store, tuple(command.split()), id=f"{store.lower()} only: {command}")
        for store, commands in {
            "POSTGRES": (
                "alembic upgrade head",
                "alembic downgrade base",
                "alembic stamp head",
                "stage1 plan",
                "stage1 upgrade",
                "stage1 reset --confirm {database}",
                "stage1 questdb apply --shared",
                "stage1 questdb server-check",
            ),
            "QUESTDB": (
                "alembic upgrade head",
                "alembic -x questdb=skip upgrade head",
                "alembic current",
                "stage1 plan",
                "stage1 reset",
                "stage1 dataset list",
                "stage1 questdb apply",
                "stage1 history",
            ),
        }.items()
        for command in commands
    ],
)
def test_a_store_that_is_set_is_not_paired_with_a_local_one(shell, local, questdb, store, command):
    before = fingerprint(local), live_tables(questdb)
    command = [each.format(database=local.postgres.database) for each in command]
    ran = shell(*command, **only(local, store))
    assert ran.code != 0, ran
    (line,) = ran.error_lines
    assert f" is set and {MISSING[store]} is not set" in line
    assert f"Next: set STAGE1_{MISSING[store].upper()[:7]}" in line.replace("POSTGRESQL", "POSTGRE")
    assert ("-x questdb=skip" in line) == (store == "POSTGRES")
    assert f"{MISSING[store]} not set" in ran.err or "questdb=skip" in command
    assert "Traceback" not in ran.out + ran.err
    assert (fingerprint(local), live_tables(questdb)) == before


@pytest.mark.parametrize(
    ("store", "commands"),
    [
        pytest.param(
            "POSTGRES",
            (
                "alembic -x questdb=skip current",
                "alembic -x questdb=skip upgrade 0005",
                "alembic current",
                "stage1 plan -x questdb=skip",
                "stage1 upgrade -x questdb=skip",
                "stage1 history",
                "alembic -x questdb=skip check",
                "alembic -x questdb=skip downgrade 0012",
                "alembic -x questdb=skip stamp head",
                "alembic history",
            ),
            id="PostgreSQL",
        ),
        pytest.param(
            "QUESTDB",
            ("stage1 questdb plan --shared", "stage1 questdb apply --shared"),
            id="QuestDB",
        ),
    ],
)
def test_one_store_is_enough_for_what_uses_one(shell, local, questdb, store, commands):
    before = live_tables(questdb)
    for command in commands:
        ran = shell(*command.split(), **only(local, store))
        assert ran.code == 0, (command, ran)
    assert (live_tables(questdb) == before) == (store == "POSTGRES")


@pytest.mark.parametrize("command", ["alembic check", "stage1 check", "stage1 retention plan"])
def test_what_compares_both_stores_misses_the_other(shell, migrated, command):
    ran = shell(*command.split(), **only(migrated, "POSTGRES"))
    assert ran.code != 0
    (line,) = ran.error_lines
    assert "PostgreSQL is set and QuestDB is not set" in line


def test_status_reads_the_store_that_is_set(shell, local):
    ran = shell("stage1", "status", **only(local, "POSTGRES"))
    assert ran.code == 1
    assert "PostgreSQL is set and QuestDB is not set" in ran.out
    assert local.postgres.where in ran.out


COMMANDS = [
    "alembic upgrade head",
    "alembic upgrade 0005",
    "alembic downgrade base",
    "alembic stamp head",
    "alembic current",
    "alembic -x questdb=skip upgrade head",
    "stage1 plan",
    "stage1 plan --json",
    "stage1 upgrade",
    "stage1 upgrade -x questdb=skip",
    "stage1 reset --dry-run",
    "stage1 status --json",
    "stage1 replay nothing.sql",
    "stage1 questdb apply --shared",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_first_line_names_both_stores(shell, both, command):
    ran = shell(*command.split(), settings=both)
    given = both.postgres.parameters
    server = f"{given['host']}:{given['port']}/{given['dbname']}"
    questdb = "skipped" if "questdb=skip" in command else both.questdb.url
    first = ran.err.splitlines()[0].removeprefix("INFO ")
    assert first == f"PostgreSQL {server} as {ROLES.owner}, QuestDB {questdb}"
    assert given["password"] not in ran.out + ran.err
    if "--json" in command:
        json.loads(ran.out)


def test_the_first_line_is_there_where_the_server_is_not(shell, both):
    nowhere = {"STAGE1_POSTGRES_HOST": "127.0.0.1", "STAGE1_POSTGRES_PORT": "1"}
    for command in (("alembic", "upgrade", "head"), ("stage1", "plan")):
        ran = shell(*command, settings=both, **nowhere)
        assert ran.code != 0
        assert "PostgreSQL 127.0.0.1:1/" in ran.err.splitlines()[0]


def test_no_password_of_a_url_is_shown(shell, both):
    given = both.postgres.parameters
    login = f"{given['user']}:{quote(given['password'])}"
    url = f"postgresql://{login}@{given['host']}:{given['port']}/{given['dbname']}"
    questdb = {"STAGE1_QUESTDB_REST": both.questdb.url}
    for command in (("alembic", "upgrade", "head"), ("stage1", "plan")):
        ran = shell(*command, STAGE1_POSTGRES_URL=url, **questdb)
        assert ran.code == 0, ran
        assert both.postgres.where in ran.err.splitlines()[0]
        for secret in (given["password"], quote(given["password"])):
            assert secret not in ran.out + ran.err


@pytest.mark.parametrize("command", ["alembic upgrade head --sql", "stage1 --help"])
def test_what_uses_no_store_names_none(shell, command):
    ran = shell(*command.split())
    assert ran.code == 0, ran
    assert " as stage1" not in ran.err
