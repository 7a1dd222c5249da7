"""Upgrades take turns, give up in time, and say who is in the way."""

import re
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.alembic_plugin.upgrade_lock import UpgradeLock
from stage1_schema.connect import connect, engine
from stage1_schema.errors import PostgresError
from stage1_schema.locks import UPGRADE_LOCK
from stage1_schema.ops import migrate
from tests.plugins.databases import ROLES, client, environment

ROOT = Path(__file__).resolve().parents[2]
ALEMBIC = Path(sys.executable).with_name("alembic")
SKIP = ("questdb=skip",)


def start(settings, *arguments, skip=True, **variables):
    return subprocess.Popen(
        [ALEMBIC, *(("-x", *SKIP) if skip else ()), *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment(settings), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


HELD = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'stage1 upgrade %'"


def one(settings, query):
    with client(settings, ROLES.owner) as connection:
        return next(iter(connection.execute(query).fetchone().values()))


@contextmanager
def holding(settings, *statements, autocommit=False):
    """Another session, in the midst of its transaction."""
    with connect(settings.postgres, autocommit=autocommit) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection
        if not autocommit:
            connection.rollback()


def hold_lock(settings, function="pg_advisory_lock"):
    return holding(settings, f"SELECT {function}({UPGRADE_LOCK})", autocommit=True)


def test_ten_upgrades_at_once_do_the_work_once(both):
    runs = [start(both, "upgrade", "head", skip=False) for _ in range(10)]
    told = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 10, "\n".join(told)
    assert sum("Running upgrade  -> 0001" in each for each in told) == 1
    query = "SELECT count(*) FROM stage1_migration_history"
    assert one(both, query) == int(migrate.head())
    query = "SELECT sum(jsonb_array_length(questdb)) FROM stage1_migration_history"
    assert one(both, query) == len(SHARED_TABLES)


@pytest.mark.parametrize(
    "function",
    ["pg_advisory_lock", "pg_advisory_lock_shared"],
    ids=["another upgrade", "a replay"],
)
def test_holder_is_named_when_the_time_is_over(empty, function):
    with hold_lock(empty, function) as holder:
        pid = holder.info.backend_pid
        with pytest.raises(PostgresError, match=rf"pid {pid} \(stage1_owner@.* stage1\), since"):
            migrate.upgrade(empty, arguments=(*SKIP, "lock_timeout=0.3"))
    assert one(empty, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_holder_is_named_with_the_time_it_took_the_lock(empty):
    """Its connection is older: it may have polled for long."""
    with hold_lock(empty) as first:
        second = start(empty, "-x", "lock_timeout=60", "upgrade", "head")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_lock%'"
        while one(empty, f"{waiting} AND pid <> pg_backend_pid()") == 0:
            assert second.poll() is None, second.communicate()[0]
        time.sleep(2.1)
        with connect(empty.postgres) as blocker:
            blocker.execute(
                "CREATE TABLE stage1_migration_history ()"
            )  # it waits in its first step
            began = one(empty, "SELECT clock_timestamp() AT TIME ZONE 'UTC'")
            first.close()
            while one(empty, HELD) == 0:
                assert second.poll() is None, second.communicate()[0]
            with pytest.raises(PostgresError, match=r"stage1 upgrade .*, since") as told:
                migrate.upgrade(empty, arguments=(*SKIP, "lock_timeout=0"))
        second.communicate()
    (since,) = re.findall(r"since (\S+ \S+) UTC", str(told.value))
    assert datetime.fromisoformat(since) >= began.replace(microsecond=0)
    assert str(told.value).count("since") == 1


@pytest.mark.parametrize("what", ["upgrade", "current", "check", "script"])
def test_nothing_to_do_asks_for_no_lock(migrated, what):
    with hold_lock(migrated):
        config = migrate.config(migrated, (*SKIP, "lock_timeout=0"))
        if what == "upgrade":
            command.upgrade(config, "head")
        elif what == "script":
            command.upgrade(config, "head", sql=True)
        else:
            getattr(command, what)(config)


@pytest.mark.parametrize("what", ["downgrade", "stamp"])
def test_every_change_asks_for_the_lock(migrated, what):
    with hold_lock(migrated), pytest.raises(Exception, match="holds the lock"):
        getattr(command, what)(migrate.config(migrated, (*SKIP, "lock_timeout=0")), "0011")


@pytest.mark.parametrize("value", ["soon", "-1", "nan"])
def test_lock_timeout_must_be_seconds(empty, value):
    with pytest.raises(Exception, match="not a number of seconds"):
        migrate.upgrade(empty, arguments=(*SKIP, f"lock_timeout={value}"))


def test_index_is_built_while_another_upgrade_waits(empty):
    command.upgrade(migrate.config(empty, SKIP), "0002")
    first, second = (start(empty, "upgrade", "head") for _ in range(2))
    told = [each.communicate(timeout=120)[0] for each in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), told


def test_pooler_in_transaction_mode_is_refused(migrated):
    """Behind it two clients can share one server process: so the pids tell."""

    def open_one():
        return connect(migrated.postgres, autocommit=True)

    with open_one() as probe:
        mine = probe.info.backend_pid
    shared = connect(migrated.postgres, autocommit=True)
    with pytest.raises(PostgresError, match="pooler in transaction mode"):
        UpgradeLock.acquire(lambda: shared, migrating=shared.info.backend_pid, wait_s=0)
    assert shared.closed
    UpgradeLock.acquire(open_one, migrating=mine, wait_s=0).release()


def test_lost_lock_stops_before_the_next_step(empty):
    def lose(_connection):
        with client(empty, ROLES.owner) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            )

    with pytest.raises(PostgresError, match="upgrade lock is gone"):
        migrate.upgrade(empty, arguments=SKIP, under_lock=lose)
    migrate.upgrade(empty, arguments=SKIP)


def test_blocked_step_gives_up_and_leaves_a_whole_revision(empty, monkeypatch):
    monkeypatch.setenv("STAGE1_DDL_LOCK_TIMEOUT_MS", "400")
    monkeypatch.setenv("STAGE1_LOCK_RETRIES", "1")
    monkeypatch.setenv("STAGE1_LOCK_RETRY_S", "0.1")
    command.upgrade(migrate.config(empty, SKIP), "0001")
    query = "SELECT count(*) FROM simulation_runs"
    with holding(empty, query) as reader:
        pid = reader.info.backend_pid
        expected = rf"gave up after 2 tries, blocked by pid {pid} .*idle in transaction: SELECT"
        with pytest.raises(PostgresError, match=expected) as error:
            migrate.upgrade(empty, arguments=SKIP)
        assert f"pg_terminate_backend({pid})" in str(error.value)
    assert one(empty, "SELECT version_num FROM alembic_version") == "0001"
    columns = "SELECT count(*) FROM pg_attribute WHERE attname = 'serialized_config'"
    assert one(empty, columns) == 0
    migrate.upgrade(empty, arguments=SKIP)


def test_blocked_step_goes_on_once_the_blocker_has_gone(empty, monkeypatch):
    monkeypatch.setenv("STAGE1_DDL_LOCK_TIMEOUT_MS", "300")
    monkeypatch.setenv("STAGE1_LOCK_RETRY_S", "0.1")
    command.upgrade(migrate.config(empty, SKIP), "0001")
    told = []
    with holding(empty, "SELECT count(*) FROM simulation_runs") as reader:

        def listen(line):
            told.append(line)
            if "try 2 of" in line:
                reader.rollback()

        migrate.upgrade(empty, arguments=SKIP, progress=listen)
    assert any("try 2 of" in line for line in told)
    assert one(empty, "SELECT version_num FROM alembic_version") == migrate.head()


def test_statement_that_runs_too_long_names_its_variable(empty, monkeypatch):
    monkeypatch.setenv("STAGE1_DDL_STATEMENT_TIMEOUT_MS", "1")
    with pytest.raises(PostgresError, match="STAGE1_DDL_STATEMENT_TIMEOUT_MS"):
        migrate.upgrade(empty, arguments=SKIP)


def test_relative_target_is_not_passed_by_a_second_try(empty, monkeypatch):
    monkeypatch.setenv("STAGE1_DDL_LOCK_TIMEOUT_MS", "300")
    monkeypatch.setenv("STAGE1_LOCK_RETRY_S", "0.1")
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0001")
    with (
        holding(empty, "SELECT 1 FROM simulation_runs") as reader,
        migrate._told(lambda line: reader.rollback() if "try 2 of" in line else None),
    ):
        command.upgrade(config, "+2")
    assert one(empty, "SELECT version_num FROM alembic_version") == "0003"


def test_connection_of_the_caller_keeps_its_limits(empty):
    config = migrate.config(empty, SKIP)
    with engine(empty.postgres).connect() as connection:
        connection.execute(text("SET statement_timeout = '77s'"))
        connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "77s"
    assert one(empty, "SELECT version_num FROM alembic_version") == migrate.head()


def test_transaction_of_the_caller_is_left_to_the_caller(empty):
    config = migrate.config(empty, SKIP)
    with engine(empty.postgres).connect() as connection, connection.begin() as transaction:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        transaction.rollback()
    assert one(empty, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
