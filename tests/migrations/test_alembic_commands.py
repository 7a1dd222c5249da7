"""Alembic's own command line: generating a revision, and the offline script."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stage1_schema.connect import connect
from stage1_schema.ops import migrate
from stage1_schema.servers.binaries import postgres_binaries
from tests.plugins.databases import environment

ROOT = Path(__file__).resolve().parents[2]
ALEMBIC = Path(sys.executable).with_name("alembic")


@pytest.fixture
def checkout(tmp_path):
    """A copy of what a developer edits, so that a generated revision stays out of the project."""
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    for name in ("alembic.ini", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def alembic(checkout, settings, *arguments):
    done = subprocess.run(
        [ALEMBIC, *arguments],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", **environment(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def execute(settings, statement):
    with connect(settings.postgres, autocommit=True) as connection:
        connection.execute(statement)


def test_revision_is_generated_numbered_formatted_and_complete(checkout, both):
    migrate.upgrade(both)
    execute(both, "ALTER TABLE stage1_jobs DROP COLUMN message")
    alembic(checkout, both, "revision", "--autogenerate", "-m", "add message again")
    number = f"{int(migrate.head()) + 1:04d}"
    path = checkout / "migrations" / "versions" / f"{number}_add_message_again.py"
    text = path.read_text()
    assert f'down_revision = "{migrate.head()}"' in text
    assert 'op.add_column("stage1_jobs", sa.Column("message", sa.Text(), nullable=True))' in text
    assert 'op.drop_column("stage1_jobs", "message")' in text
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "format", "--check", path], cwd=checkout, check=True)
    alembic(checkout, both, "upgrade", "head")
    assert "No new upgrade operations" in alembic(checkout, both, "check")
    alembic(checkout, both, "downgrade", "-1")
    alembic(checkout, both, "upgrade", "head")


def test_revision_of_nothing_is_empty(checkout, both):
    migrate.upgrade(both)
    alembic(checkout, both, "revision", "--autogenerate", "-m", "nothing")
    (path,) = (checkout / "migrations" / "versions").glob("*_nothing.py")
    assert path.read_text().count("    pass") == 2


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


def test_offline_script_brings_an_empty_database_to_head(checkout, both, questdb):
    script = alembic(checkout, both, "upgrade", "head", "--sql")
    assert '-- QuestDB: CREATE TABLE IF NOT EXISTS "indicator_bars"' in script
    done = psql(both, script)
    assert done.returncode == 0, done.stderr
    assert "No new upgrade operations" in alembic(checkout, both, "check")
    down = alembic(checkout, both, "downgrade", f"{migrate.head()}:base", "--sql")
    done = psql(both, down)
    assert done.returncode == 0, done.stderr


def test_offline_script_needs_no_server_and_no_settings(checkout, both):
    done = subprocess.run(
        [ALEMBIC, "upgrade", "head", "--sql"],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "%%" not in done.stdout


def test_offline_script_stops_where_an_earlier_stage1_stands(checkout, both):
    execute(both, "CREATE TABLE walkforward_runs (run_id uuid)")
    done = psql(both, alembic(checkout, both, "upgrade", "head", "--sql"))
    assert done.returncode != 0
    assert "Tables of an earlier Stage1 stand: walkforward_runs" in done.stderr
