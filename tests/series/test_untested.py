"""A server newer than the newest tested one is named, and its private files are not read."""

import json

import pytest

from questdb_ddl import Client, versions
from stage1_schema.cli import show
from stage1_schema.errors import QuestDBError
from stage1_schema.ops import backup, checkpoint, server_check, status

NAMED = r"is newer than \d+\.\d+\.\d+, the newest tested one"


@pytest.fixture
def newer(monkeypatch, questdb):
    """Make the server one version newer than the newest tested one."""
    *rest, last = questdb.version_numbers()
    older = (*rest, last - 1) if last else (*rest[:-1], rest[-1] - 1, 9)
    monkeypatch.setattr(versions, "NEWEST_TESTED", older)


@pytest.mark.core
def test_a_tested_server_is_not_mentioned(stores, questdb, capsys):
    assert versions.untested(questdb) is None
    show.status(status.read(stores))
    assert "untested" not in capsys.readouterr().out
    assert "version" not in [f.setting for f in server_check.read(stores.questdb).findings]


@pytest.mark.core
def test_it_is_named(stores, questdb, newer, capsys):
    read = status.read(stores)
    assert read.healthy
    show.status(read)  # what `stage1 status` and `stage1 up` print
    assert f"untested  QuestDB {questdb.server_version()} is newer than" in capsys.readouterr().out
    assert "is newer than" in json.dumps(read.to_data())
    found = server_check.read(stores.questdb)
    (finding,) = [f for f in found.findings if f.setting == "version"]
    assert (finding.value, finding.must) == (questdb.server_version(), False)
    assert "version=" not in found.server_conf


def test_a_build_without_a_version_may_be_newer(monkeypatch, questdb):
    monkeypatch.setattr(Client, "server_version", lambda _: "unknown")
    assert "names no version" in versions.untested(questdb)


@pytest.mark.core
def test_a_backup_refuses_to_guess(stores, questdb, newer, tmp_path):
    with pytest.raises(QuestDBError, match=f"{NAMED}.*Next: .*--skip-questdb"):
        backup.run(stores, backup.Options(tmp_path / "backups"))
    assert not list((tmp_path).glob("backups/stage1_*"))
    assert checkpoint.standing_since(questdb) is None
    assert backup.run(stores, backup.Options(tmp_path / "backups", skip_questdb=True)).path.is_dir()


def test_the_reader_of_private_files_refuses_too(stores, questdb, newer, tmp_path):
    copy = checkpoint.Root(tmp_path, tmp_path / "db")
    with pytest.raises(QuestDBError, match=NAMED):
        checkpoint.rows_in_copy(questdb, copy, {}, {})
