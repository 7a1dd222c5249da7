"""Whatever ends an upgrade in the middle, a second run reaches head: nothing lost, nothing half.

The boundaries are counted as they are reached, so a new revision is covered unnamed.
"""

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
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
AFTER = 4
"""Statements of PostgreSQL after one of QuestDB, or a stamp: the history and the commit."""
PARTS = 6
"""All boundaries are tried; in parts, so that they can run beside each other."""
ROWS = (
    clients.c_dataset(rows.C_DATASET),
    clients.c_run(rows.RUN_ROW),
    clients.c_fold(rows.FOLD_ROW),
    clients.simulation(rows.SIMULATION_ROW),
    clients.trade(rows.TRADE_ROW),
)
TABLES = (
    "datasets",
    "walkforward_runs",
    "walkforward_folds",
    "simulation_runs",
    "simulation_trades",
)


class Upgrades:
    """Processes that upgrade, one at a time, and may be told to stop in the middle."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, FAULTS],
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self.process.communicate()

    def begin(self, settings, *fault, arguments=SKIP):
        """Start an upgrade; `fault` is the store, the number of the boundary, kill or pause."""
        self.say({"environment": environment(settings), "arguments": arguments, "fault": fault})

    def say(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def run(self, *fault, **named):
        self.begin(*fault, **named)
        return self.answer()

    def whole(self, settings, arguments=SKIP):
        """Upgrade undisturbed and return how many boundaries there were in each store."""
        return self.finished(settings, arguments)["counts"]

    def finished(self, settings, arguments=SKIP):
        """Upgrade undisturbed and return the answer."""
        done = self.run(settings, arguments=arguments)
        assert done["code"] == 0, done["told"]
        return done


@pytest.fixture(scope="module")
def upgrades():
    with Upgrades() as upgrades:
        yield upgrades


@pytest.fixture(scope="module")
def standing(server_with_roles):
    """The names of a database at each revision, with a row in each table: fills have work."""
    with ExitStack() as databases:
        names = []
        for number in range(1, int(migrate.head()) + 1):
            settings = databases.enter_context(created(server_with_roles, *names[-1:]))
            command.upgrade(migrate.config(settings, SKIP), f"{number:04d}")
            if not names:
                with client(settings, ROLES.owner) as connection:
                    for statement in ROWS:
                        connection.execute(statement)
            names.append(settings.postgres.database)
        yield names


@pytest.fixture(scope="module")
def filled(standing):
    return standing[0]


@pytest.fixture(scope="module")
def boundaries(server_with_roles, standing, upgrades):
    """Every boundary behind 0001: the database it is reached from soonest, and its number there."""
    found = []
    for name in standing[:-1]:
        with created(server_with_roles, name) as settings:
            done = upgrades.finished(settings)
        first = done["begun"][0] if found else 0  # until then it is the same from each
        found += [(name, number + 1) for number in range(first, done["stamps"][0] + AFTER)]
    assert len(done["stamps"]) == len(done["begun"]) == 1
    assert len(found) > 100
    return found


@pytest.fixture(scope="module")
def at_head(server_with_roles, template):
    return catalogue(settings_for(server_with_roles, template))


def check(settings, at_head):
    assert catalogue(settings) == at_head
    with client(settings, ROLES.owner) as connection:
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
@pytest.mark.parametrize("part", range(PARTS), ids=lambda n: f"part {n + 1} of {PARTS}")
def test_killed_at_any_statement_of_postgres(
    server_with_roles, boundaries, at_head, upgrades, part
):
    for point in boundaries[part::PARTS]:
        name, number = point
        with created(server_with_roles, name) as settings:
            done = upgrades.run(settings, "postgres", number, "kill")
            assert done["code"] == -signal.SIGKILL, (point, done["told"])
            upgrades.whole(settings)
            assert check(settings, at_head) == [1] * len(TABLES), point


@pytest.mark.slow
def test_killed_at_any_statement_of_the_first_revision(server_with_roles, at_head, upgrades):
    with created(server_with_roles) as settings:
        stamped = upgrades.finished(settings)["stamps"][0]
    assert stamped > 20
    for point in range(1, stamped + AFTER):
        with created(server_with_roles) as settings:
            done = upgrades.run(settings, "postgres", point, "kill")
            assert done["code"] == -signal.SIGKILL, (point, done["told"])
            upgrades.whole(settings)
            assert catalogue(settings) == at_head, point


def around_questdb(order):
    """Return every boundary of QuestDB, and those of PostgreSQL that follow one."""
    counts, since = {"postgres": 0, "questdb": 0}, AFTER
    for store in order:
        counts[store] += 1
        since = 0 if store == "questdb" else since + 1
        if since <= AFTER:
            yield store, counts[store]


@pytest.mark.slow
def test_killed_at_any_statement_of_questdb(both, questdb, at_head, upgrades):
    points = list(around_questdb(upgrades.finished(both, ())["order"]))
    assert len(points) >= len(SHARED_TABLES) + AFTER
    for store, point in points:
        command.downgrade(migrate.config(both), "base")
        assert live_tables(questdb) == {}
        done = upgrades.run(both, store, point, "kill", arguments=())
        assert done["code"] == -signal.SIGKILL, done["told"]
        upgrades.whole(both, ())
        live = live_tables(questdb)
        assert set(live) == {table.name for table in SHARED_TABLES}
        assert drift.questdb(live, ()) == ()
    assert catalogue(both) == at_head


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_connection_lost(server_with_roles, filled, at_head, upgrades, share):
    with created(server_with_roles, filled) as settings:
        total = upgrades.whole(settings)["postgres"]
    with created(server_with_roles, filled) as settings:
        upgrades.begin(settings, "postgres", round(total * share), "pause")
        assert upgrades.answer() == {"paused": True}
        with client(settings, ROLES.owner) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        upgrades.say("go on")
        done = upgrades.answer()
        assert done["code"] == 1, done["told"]
        assert "was lost" in done["told"] or "lock is gone" in done["told"]
        upgrades.whole(settings)
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
def test_server_restarted_in_the_middle(own_stores, upgrades, store, share):
    postgres, questdb, settings = own_stores
    totals = upgrades.whole(settings, ())
    command.downgrade(migrate.config(settings), "0001")
    with client_of(settings) as connection:
        for statement in ROWS:
            connection.execute(statement)
    upgrades.begin(settings, store, max(1, round(totals[store] * share)), "pause", arguments=())
    assert upgrades.answer() == {"paused": True}
    server = {"postgres": postgres, "questdb": questdb}[store]
    server.stop()
    server.start()
    upgrades.say("go on")
    done = upgrades.answer()
    assert done["code"] in (0, 1), done["told"]
    assert "Traceback" not in done["told"]
    upgrades.whole(settings, ())
    with client_of(settings) as connection:
        at = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        counts = [connection.execute(f"SELECT count(*) FROM {t}").fetchone() for t in TABLES]
    assert at == (migrate.head(),)
    assert counts == [(1,)] * len(TABLES)
    from questdb_ddl import Client

    with Client(questdb.url) as connected:
        assert drift.questdb(live_tables(connected), ()) == ()


def client_of(settings):
    from stage1_schema.connect import connect

    return connect(settings.postgres)
