"""Alembic's and PostgreSQL's own command lines, run as a person runs them."""

import subprocess
import sys
from pathlib import Path

from stage1_schema.servers.binaries import postgres_binaries
from tests.plugins.databases import environment

ROOT = Path(__file__).resolve().parents[2]
ALEMBIC = Path(sys.executable).with_name("alembic")


def alembic(directory, settings, *arguments, code=0):
    done = subprocess.run(
        [ALEMBIC, *arguments],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", **(environment(settings) if settings else {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def offline(directory):
    """Return the script from nothing to head; its QuestDB statements go into a file."""
    return alembic(
        ROOT, None, "-x", f"questdb_sql={directory / 'questdb.sql'}", "upgrade", "head", "--sql"
    )


def psql(settings, script):
    given = settings.postgres.parameters
    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER"}
    return subprocess.run(
        [postgres_binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        input=script,
        env={names[k]: v for k, v in given.items() if k in names}
        | {"PGPASSWORD": given["password"]},
        capture_output=True,
        text=True,
        check=False,
    )
