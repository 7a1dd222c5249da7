"""The command lines: exit codes, one line for each failure, nothing left behind."""

import json
from dataclasses import replace

import pytest

from stage1_schema.settings import QuestDBSettings
from tests.backup.rows import BARS, RUNS
from tests.plugins.databases import PASSWORDS


def test_backup_and_restore(shell, stores, superuser, tmp_path):
    directory = str(tmp_path / "backups")
    ran = shell("stage1", "backup", "--directory", directory, "--json", settings=stores)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["questdb"]["tables"]["indicator_bars"] == BARS
    name, path = stores.postgres.database, found["path"]
    dry = shell("stage1", "restore", path, "--postgres-only", "--dry-run", settings=stores)
    assert (dry.code, len(dry.error_lines)) == (1, 1)
    assert " would become " in dry.out
    assert "in the way: stage1_owner may not create databases" in dry.out
    (line,) = [each for each in dry.out.splitlines() if "walkforward_runs" in each]
    assert line.split() == ["public.walkforward_runs", str(RUNS), str(RUNS)]
    wrong = shell(
        "stage1", "restore", path, "--postgres-only", "--confirm", "x", settings=superuser
    )
    assert (wrong.code, len(wrong.error_lines)) == (1, 1)
    done = shell(
        "stage1", "restore", path, "--postgres-only", "--confirm", name, settings=superuser
    )
    assert done.code == 0, done.err
    assert f"kept as {name}_before_" in done.out
    tables = found["postgres"]["tables"]
    assert f"is restored: {len(tables)} tables, {sum(tables.values())} rows." in done.out
    assert "would" not in done.out


def test_restore_of_questdb(shell, stores, tmp_path):
    """A dry run says what it would do, and the real one how much it did."""
    ran = shell("stage1", "backup", "--directory", str(tmp_path / "b"), "--json", settings=stores)
    found = json.loads(ran.out)
    target = tmp_path / "root"
    command = ("stage1", "restore", found["path"], "--questdb-to", str(target))
    dry = shell(*command, "--dry-run", settings=stores)
    amount = f"{found['questdb']['files']:,} files, {found['questdb']['bytes']:,} bytes of QuestDB"
    assert (dry.code, dry.out.count("\n")) == (0, 1)
    assert dry.out.startswith(f"Would copy {amount} as of ")
    assert not target.exists()
    copied = shell(*command, settings=stores)
    assert copied.code == 0, copied.err
    assert copied.out.startswith(f"Copied {amount} as of ")
    assert "ould" not in copied.out
    assert f"-d {target}" in copied.out
    assert (target / "_restore").exists()
    again = shell(*command, "--dry-run", settings=stores)
    assert (again.code, again.out, len(again.error_lines)) == (1, "", 1)
    assert "is not an empty directory" in again.err


def test_store_has_to_be_named(shell, stores, tmp_path):
    ran = shell("stage1", "restore", str(tmp_path), settings=stores)
    assert ran.code == 2
    assert "--postgres-only" in ran.err


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_what_is_no_backup(shell, stores, tmp_path, what):
    (tmp_path / "empty").mkdir()
    ran = shell("stage1", "restore", str(tmp_path / what), "--postgres-only", settings=stores)
    assert (ran.code, len(ran.error_lines)) == (1, 1)
    assert "is no whole backup" in ran.err


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        pytest.param({"STAGE1_POSTGRES_PORT": "1"}, "cannot be reached", id="PostgreSQL"),
        pytest.param({"STAGE1_POSTGRES_PASSWORD": "wrong"}, "refused the password", id="password"),
        pytest.param({"STAGE1_QUESTDB_REST": "http://127.0.0.1:1"}, "127.0.0.1:1", id="QuestDB"),
    ],
)
def test_unreachable_store_is_one_line(shell, stores, tmp_path, variables, told):
    directory = tmp_path / "backups"
    ran = shell("stage1", "backup", "--directory", str(directory), settings=stores, **variables)
    assert (ran.code, len(ran.error_lines)) == (1, 1), ran
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert not directory.exists()
    for secret in PASSWORDS.values():
        assert secret not in ran.out + ran.err


def test_questdb_on_another_machine(shell, stores, questdb_server, tmp_path):
    elsewhere = replace(stores, questdb=QuestDBSettings(questdb_server.url))
    ran = shell(
        "stage1", "backup", "--directory", str(tmp_path / "b"), "--questdb-root", str(tmp_path),
        settings=elsewhere,
    )  # fmt: skip
    assert (ran.code, len(ran.error_lines)) == (1, 1)
    assert "--skip-questdb" in ran.err
    assert not (tmp_path / "b").exists()


def test_directory_that_cannot_be_made(shell, stores, tmp_path):
    (tmp_path / "file").touch()
    ran = shell("stage1", "backup", "--directory", str(tmp_path / "file" / "b"), settings=stores)
    assert (ran.code, len(ran.error_lines)) == (1, 1), ran
    assert "Traceback" not in ran.err
