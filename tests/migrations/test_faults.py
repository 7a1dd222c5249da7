"""Whatever ends an upgrade in the middle, a second run reaches head: nothing lost, nothing half.

The boundaries are counted in a run that is left alone, so a new revision is covered unnamed.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command

from questdb_ddl import live_tables
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.ops import drift, migrate
from stage1_schema.servers.binaries import postgres_binaries
from stage1_schema.servers.postgres import LocalPostgres
from stage1_schema.servers.questdb import LocalQuestDB
from stage1_schema.settings import PostgresSettings, QuestDBSettings, Settings
from tests.migrations.catalogue import catalogue
from tests.plugins.databases import ROLES, client, created, environment, settings_for
from tests.postgres import clients, rows

FAULTS = Path(__file__).with_name("faults.py")
SKIP = ("questdb=skip",)
SAMPLES = 12
"""So many of PostgreSQL's boundaries are tried, evenly spread; of QuestDB's, all."""
WORKERS = 2
TABLES = (
    "datasets",
    "walkforward_runs",
    "walkforward_folds",
    "simulation_runs",
    "simulation_trades",
)


def start(settings, store="postgres", fatal=0, action="kill", arguments=SKIP):
    return subprocess.Popen(
        [sys.executable, FAULTS, store, str(fatal), action, *arguments],
        env={"PATH": "/usr/bin:/bin", **environment(settings)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(settings, *fault, arguments=SKIP):
    """Upgrade in a process of its own and return its exit code and text."""
    process = start(settings, *fault, arguments=arguments)
    told = process.communicate()[0]
    return process.returncode, told


def whole(settings, arguments=SKIP):
    """Upgrade undisturbed and return how many boundaries there were in each store."""
    code, told = run(settings, arguments=arguments)
    assert code == 0, told
    return [int(number) for number in told.splitlines()[-1].split()]


@pytest.fixture(scope="module")
def filled(server_with_roles):
    """The name of a database at 0001 with a row in each table, so that fills have work."""
    with created(server_with_roles) as settings:
        command.upgrade(migrate.config(settings, SKIP), "0001")
        with client(settings, ROLES.owner) as connection:
            for statement in (
                clients.c_dataset(rows.C_DATASET),
                clients.c_run(rows.RUN_ROW),
                clients.c_fold(rows.FOLD_ROW),
                clients.simulation(rows.SIMULATION_ROW),
                clients.trade(rows.TRADE_ROW),
            ):
                connection.execute(statement)
        yield settings.postgres.database


@pytest.fixture(scope="module")
def at_head(server_with_roles, template):
    with client(settings_for(server_with_roles, template), ROLES.owner) as connection:
        return catalogue(connection)


def check(settings, at_head):
    with client(settings, ROLES.owner) as connection:
        assert catalogue(connection) == at_head
        applied = connection.execute("SELECT revision FROM stage1_migration_history ORDER BY id")
        expected = [f"{number:04d}" for number in range(1, int(migrate.head()) + 1)]
        assert [row["revision"] for row in applied] == expected
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()["count"]
            for table in TABLES
        ]
        texts = connection.execute("SELECT serialized_config FROM walkforward_runs").fetchall()
        assert all(row["serialized_config"] for row in texts)
    return counts


@pytest.mark.slow
def test_killed_at_any_statement_of_postgres(server_with_roles, filled, at_head):
    with created(server_with_roles, filled) as settings:
        total, _ = whole(settings)
    points = range(1, total + 1, max(1, total // SAMPLES))

    def one(point):
        with created(server_with_roles, filled) as settings:
            code, told = run(settings, "postgres", point)
            assert code == -9, f"{point}: {told}"
            whole(settings)
            assert check(settings, at_head) == [1] * len(TABLES), point

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, points))


@pytest.mark.slow
def test_killed_at_any_statement_of_questdb(both, questdb, server_with_roles, at_head):
    _, total = whole(both, ())
    assert total >= len(SHARED_TABLES)
    for point in range(1, total + 1):
        command.downgrade(migrate.config(both), "base")
        assert live_tables(questdb) == {}
        code, told = run(both, "questdb", point, arguments=())
        assert code == -9, told
        whole(both, ())
        live = live_tables(questdb)
        assert set(live) == {table.name for table in SHARED_TABLES}
        assert drift.questdb(live, ()) == ()
    with client(both, ROLES.owner) as connection:
        assert catalogue(connection) == at_head


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_connection_lost(server_with_roles, filled, at_head, share):
    with created(server_with_roles, filled) as settings:
        total, _ = whole(settings)
    with created(server_with_roles, filled) as settings:
        process = start(settings, "postgres", round(total * share), "pause")
        assert process.stdout.readline() == "paused\n"
        with client(settings, ROLES.owner) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        told = process.communicate("go on\n")[0]
        assert process.returncode == 1, told
        assert "was lost" in told or "lock is gone" in told
        whole(settings)
        assert check(settings, at_head) == [1] * len(TABLES)


@pytest.fixture
def own_stores(tmp_path_factory):
    """Two servers that a test may restart, and settings for them."""
    with (
        LocalPostgres(
            tmp_path_factory.mktemp("postgres"), binaries=postgres_binaries(), fsync=False
        ) as postgres,
        LocalQuestDB(tmp_path_factory.mktemp("questdb")) as questdb,
    ):
        parameters = {
            "host": postgres.host,
            "port": str(postgres.port),
            "dbname": "postgres",
            "user": postgres.user,
            "password": postgres.password,
        }
        settings = Settings(PostgresSettings(parameters), QuestDBSettings(questdb.url))
        yield postgres, questdb, settings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("store", "share"),
    [("postgres", 0.3), ("postgres", 0.7), ("questdb", 0.5), ("questdb", 1.0)],
)
def test_server_restarted_in_the_middle(own_stores, store, share):
    postgres, questdb, settings = own_stores
    totals = dict(zip(("postgres", "questdb"), whole(settings, ()), strict=True))
    command.downgrade(migrate.config(settings), "base")
    process = start(settings, store, round(totals[store] * share), "pause", arguments=())
    assert process.stdout.readline() == "paused\n"
    server = {"postgres": postgres, "questdb": questdb}[store]
    server.stop()
    server.start()
    process.communicate("go on\n")
    whole(settings, ())
    with client_of(settings) as connection:
        at = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert at == (migrate.head(),)
    from questdb_ddl import Client

    with Client(questdb.url) as connected:
        assert drift.questdb(live_tables(connected), ()) == ()


def client_of(settings):
    from stage1_schema.connect import connect

    return connect(settings.postgres)
