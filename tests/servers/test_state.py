import json
import socket
import stat
import subprocess
from dataclasses import asdict, replace

import psutil
import pytest

from stage1_schema.servers import state
from stage1_schema.servers.state import LocalState, PostgresState, QuestDBState


@pytest.fixture
def running():
    """A state whose both processes are this test's own."""
    this = psutil.Process()
    postgres = PostgresState(
        host="127.0.0.1",
        port=5432,
        database="d",
        user="owner",
        password="owner-secret",
        app_user="app",
        app_password="app-secret",
        pid=this.pid,
        started=this.create_time(),
    )
    questdb = QuestDBState("http://127.0.0.1:9000", 9000, this.pid, this.create_time())
    return LocalState(postgres, questdb)


def test_no_file(tmp_path):
    assert state.read(tmp_path) is None


def test_round_trip(tmp_path, running):
    state.write(tmp_path, running)
    assert state.read(tmp_path) == running
    assert stat.S_IMODE((tmp_path / "servers.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["servers.json"]


def test_passwords_stay_out_of_repr(running):
    assert "secret" not in repr(running)


def test_a_part_that_does_not_run_is_none(tmp_path, running):
    state.write(tmp_path, replace(running, postgres=None))
    assert state.read(tmp_path) == LocalState(None, running.questdb)


def test_a_pid_that_belongs_to_another_process_is_noticed(tmp_path, running):
    hour_ago = running.postgres.started - 3600
    stale = replace(running, postgres=replace(running.postgres, started=hour_ago))
    state.write(tmp_path, stale)
    assert state.read(tmp_path) == LocalState(None, running.questdb)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"postgres": 1, "questdb": 2}',
        '{"postgres": {"pid": 1}, "questdb": null}',
        "\x00\x00",
        '{"postgres": null, "questdb": null}',
        '{"postgres": null, "questdb": {"url": "", "port": 1, "pid": 99999999999, "started": 0.5}}',
        '{"postgres": null, "questdb": {"url": "", "port": 1, "pid": -1, "started": 0.5}}',
    ],
    ids=str,
)
def test_garbage_is_stale(tmp_path, text):
    (tmp_path / "servers.json").write_text(text)
    assert state.read(tmp_path) is None


def test_a_half_written_file_and_wrong_types_are_stale(tmp_path, running):
    text = json.dumps(asdict(running))
    for bad in (text[:-20], text.replace("9000}", '"9000"}'), text.replace('"d"', "7")):
        (tmp_path / "servers.json").write_text(bad)
        if bad != text:
            assert state.read(tmp_path) is None


def test_reading_asks_no_server_and_no_other_process(tmp_path, running, monkeypatch):
    """Every command without settings reads it."""
    state.write(tmp_path, running)
    monkeypatch.setattr(psutil, "process_iter", pytest.fail)
    monkeypatch.setattr(psutil, "pids", pytest.fail)
    monkeypatch.setattr(socket, "socket", pytest.fail)
    monkeypatch.setattr(subprocess, "Popen", pytest.fail)
    assert state.read(tmp_path) == running
