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
    assert dry.code == 0
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
    target = tmp_path / "root"
    copied = shell("stage1", "restore", path, "--questdb-to", str(target), settings=stores)
    assert copied.code == 0, copied.err
    assert f"-d {target}" in copied.out
    assert (target / "_restore").exists()


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
