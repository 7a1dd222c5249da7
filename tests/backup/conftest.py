"""Both stores at head with rows in them, and the tools to look at what a backup of them holds."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from questdb_ddl import ensure_table
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.ops import backup, databases
from stage1_schema.settings import QuestDBSettings
from tests.backup.rows import BARS, RUNS, insert_runs, send
from tests.cli.conftest import shell  # noqa: F401 - a fixture here too
from tests.plugins.databases import environment

# Says each stage, and does to itself what was asked for when the stage comes.
PROGRAM = """
import os, resource, signal, sys, time
from pathlib import Path
from stage1_schema import settings
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import backup
directory, stage, deed = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in a shell's background ignores it
if deed.isdigit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(deed), int(deed)))
def told(text):
    if text.startswith(stage):
        if deed.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, deed))
        elif deed == "wait":
            print("waiting", flush=True)
            sys.stdin.readline()
try:
    backup.run(settings.load(), backup.Options(Path(directory)), told)
except Stage1Error as error:
    sys.exit(f"stage1: {error}")
"""


@pytest.fixture
def stores(migrated, questdb, questdb_server):
    """Settings of both stores at head, with rows."""
    for table in SHARED_TABLES:
        ensure_table(questdb, table)
    send(questdb_server.url, range(BARS))
    questdb.wait_for("indicator_bars")
    insert_runs(migrated, RUNS)
    yield replace(migrated, questdb=QuestDBSettings(questdb_server.url))
    questdb.execute("CHECKPOINT RELEASE")


@pytest.fixture
def superuser(stores, administrator):
    """The same for a role that may make databases; what it keeps aside goes with the test."""
    yield replace(stores, postgres=administrator.postgres)
    with databases.maintenance(administrator.postgres) as server:
        like = f"{administrator.postgres.database}\\_%"
        for (name,) in server.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", [like]
        ):
            databases.drop(server, name)


@pytest.fixture
def take(stores, tmp_path):
    """Make a backup into `tmp_path`/backups."""

    def take(settings=stores, progress=lambda _: None, **options):
        return backup.run(settings, backup.Options(tmp_path / "backups", **options), progress)

    return take


@pytest.fixture
def program(stores, tmp_path):
    """Start a backup in a process of its own, which does `deed` when `stage` comes."""

    def program(stage, deed, settings=stores):
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "backups"), stage, deed],
            env=os.environ | environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return program
