"""Alembic's own command line: generating a revision, and the offline script."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from stage1_schema.alembic_plugin import history
from stage1_schema.connect import connect, engine
from stage1_schema.ops import migrate
from tests.migrations.commands import ALEMBIC, ROOT, alembic, offline, psql
from tests.plugins.databases import ROLES, environment


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


@pytest.mark.parametrize(
    "message",
    ['say "x"', '"""quoted"""', "a \\n back\\slash", 'ends in "', "it's `$(exit 1)`"],
)
def test_message_may_hold_anything(checkout, both, message):
    """In Alembic's own words and in make's."""
    made = alembic(checkout, both, "revision", "-m", message)
    assert "Generating" in made
    assert "[*]" not in made  # no findings of ruff
    script = ScriptDirectory(checkout / "migrations")
    (text,) = [each.doc for each in script.walk_revisions() if each.revision == "0014"]
    assert text == message.replace('"""', "'''")


def test_make_passes_the_message_on_as_it_is(checkout, tmp_path):
    shutil.copy(ROOT / "Makefile", checkout)
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "revision", 'm=say "x" `false`'],  # noqa: S607
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.rstrip().endswith('alembic revision --autogenerate -m "$m"')


def test_revision_of_nothing_is_not_written(checkout, both):
    migrate.upgrade(both)
    said = alembic(checkout, both, "revision", "--autogenerate", "-m", "nothing")
    assert "Nothing differs" in said
    assert not list((checkout / "migrations" / "versions").glob("*_nothing.py"))


def test_revision_by_hand_is_empty_and_numbered(checkout, both):
    migrate.upgrade(both)
    alembic(checkout, both, "revision", "-m", "by hand")
    (path,) = (checkout / "migrations" / "versions").glob("*_by_hand.py")
    assert path.name.startswith(f"{int(migrate.head()) + 1:04d}_")
    assert path.read_text().count("    pass") == 2


def test_offline_script_brings_an_empty_database_to_head(checkout, both, questdb):
    script = alembic(checkout, both, "upgrade", "head", "--sql")
    assert '-- QuestDB: CREATE TABLE IF NOT EXISTS "indicator_bars"' in script
    done = psql(both, offline(checkout))
    assert done.returncode == 0, done.stderr
    for statement in (checkout / "questdb.sql").read_text().split(";\n")[:-1]:
        questdb.execute(statement)
    assert "No new upgrade operations" in alembic(checkout, both, "check")
    down = alembic(checkout, both, "downgrade", f"{migrate.head()}:base", "--sql")
    done = psql(both, down)
    assert done.returncode == 0, done.stderr


def test_offline_script_records_its_steps(empty, checkout):
    """As a run does: `stage1 history` lists them, and no file counts as changed."""
    for script in (
        alembic(checkout, empty, "upgrade", "0005", "--sql"),
        alembic(checkout, empty, "upgrade", "0005:head", "--sql"),
        alembic(checkout, empty, "downgrade", "0013:0012", "--sql"),
    ):
        done = psql(empty, script)
        assert done.returncode == 0, done.stderr
    numbers = [f"{number:04d}" for number in range(1, int(migrate.head()) + 1)]
    with engine(empty.postgres).connect() as connection:
        steps = history.read(connection)
        assert [(step.revision, step.direction) for step in steps] == [
            *((number, "upgrade") for number in numbers),
            ("0013", "downgrade"),
        ]
        assert {step.db_user for step in steps} == {ROLES.owner}
        assert migrate.changed(connection) == ()
    done = subprocess.run(
        [ALEMBIC.with_name("stage1"), "history"],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", **environment(empty)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("a script") == len(steps)
    migrate.upgrade(empty, arguments=["questdb=skip"])
    with engine(empty.postgres).connect() as connection:
        assert [step.host is None for step in history.read(connection)[-2:]] == [True, False]


def test_file_for_questdb_that_cannot_be_written_is_one_line(checkout, both):
    file = checkout / "nowhere" / "questdb.sql"
    said = alembic(
        checkout, both, "-x", f"questdb_sql={file}", "upgrade", "head", "--sql", code=255
    )
    assert "cannot be written: No such file or directory. Next: name a file" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments",
    [["upgrade", "head"], ["upgrade", "head", "--sql"], ["downgrade", "base"], ["check"]],
    ids=" ".join,
)
def test_revision_that_is_no_python_is_one_line(checkout, both, arguments):
    (checkout / "migrations" / "versions" / "9998_new.py").write_text("def upgrade(:\n")
    told = alembic(checkout, both, *arguments, code=255)
    assert "Traceback" not in told
    (line,) = [each for each in told.splitlines() if "FAILED" in each]
    assert "9998_new.py, line 1: " in line
    assert line.endswith("Next: correct it, or restore it from git.")


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


NO_OP = """import json, sys
from alembic.config import main
try:
    main(["upgrade", "head"])
finally:
    print(json.dumps(sorted(sys.modules)))
"""
NOT_NEEDED = (
    "questdb_ddl",
    "postgast",
    "urllib3",
    "rich",
    "click",
    "stage1_schema.models",
    "stage1_schema.ops",
    "stage1_schema.alembic_plugin.compare",
    "stage1_schema.alembic_plugin.questdb_compare",
    "stage1_schema.alembic_plugin.legacy_import",
    "stage1_schema.alembic_plugin.legacy_merge",
    "stage1_schema.alembic_plugin.legacy_plan",
)


def test_nothing_to_do_imports_nothing_that_is_not_needed(migrated):
    done = subprocess.run(
        [sys.executable, "-c", NO_OP],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment(migrated)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "stage1_schema.alembic_plugin.environment" in loaded
    assert [
        name for name in loaded if f"{name}.".startswith(tuple(f"{n}." for n in NOT_NEEDED))
    ] == []
