"""Each failure is one clear line with the next step, an exit code, and no traceback."""

import re
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stage1_schema.alembic_plugin.environment import ARGUMENTS
from stage1_schema.settings import QuestDBSettings
from tests.plugins.databases import PASSWORDS

SECRET = "a wrong secret"


@pytest.fixture
def broken_questdb():
    """Something that answers like a QuestDB which refuses everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'{"query":"x","error":"table is busy [reason=test]","position":0}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


CASES = [
    pytest.param({"STAGE1_POSTGRES_PASSWORD": SECRET}, "refused the password", id="wrong password"),
    pytest.param({"STAGE1_POSTGRES_HOST": "no-such.invalid"}, "cannot be reached", id="no host"),
    pytest.param({"STAGE1_POSTGRES_PORT": "closed"}, "cannot be reached", id="closed port"),
    pytest.param({"STAGE1_POSTGRES_DB": "nowhere"}, "has no database nowhere", id="no database"),
    pytest.param({"STAGE1_QUESTDB_REST": "broken"}, "table is busy", id="QuestDB error"),
    pytest.param({"STAGE1_QUESTDB_REST": "http://127.0.0.1:1"}, "127.0.0.1:1", id="no QuestDB"),
]


@pytest.mark.parametrize(("variables", "told"), CASES)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("alembic", "upgrade", "head"), id="upgrade"),
        pytest.param(("stage1", "reset", "--dry-run"), id="reset"),
    ],
)
def test_store_that_cannot_be_used(shell, both, broken_questdb, command, variables, told):
    words = {"closed": str(closed_port()), "broken": broken_questdb}
    variables = {name: words.get(value, value) for name, value in variables.items()}
    ran = shell(*command, settings=both, **variables)
    assert ran.code != 0
    assert "Traceback" not in ran.err + ran.out
    assert len(ran.error_lines) == 1, ran
    assert told in ran.error_lines[0]
    for secret in (SECRET, *PASSWORDS.values()):
        assert secret not in ran.err + ran.out


@pytest.mark.parametrize(("variables", "told"), CASES)
def test_status_reports_the_store_and_reads_the_other(shell, both, broken_questdb, variables, told):
    words = {"closed": str(closed_port()), "broken": broken_questdb}
    variables = {name: words.get(value, value) for name, value in variables.items()}
    ran = shell("stage1", "status", settings=both, **variables)
    assert ran.code == 1
    assert told in ran.out
    assert "Traceback" not in ran.err + ran.out
    assert ("QuestDB 9" in ran.out) == any("POSTGRES" in name for name in variables)


def test_no_role_of_that_name(shell, both):
    ran = shell("alembic", "upgrade", "head", settings=both, STAGE1_POSTGRES_USER="nobody_here")
    assert ran.code != 0
    assert "nobody_here" in ran.error_lines[0]
    assert "Traceback" not in ran.err


def test_nothing_set_and_nothing_local(shell):
    for command in (("alembic", "upgrade", "head"), ("stage1", "status")):
        ran = shell(*command)
        assert ran.code != 0
        assert "make up" in ran.error_lines[0]
        assert "STAGE1_POSTGRES_HOST" in ran.error_lines[0]
        assert "Traceback" not in ran.err


def test_unknown_argument(shell, both):
    ran = shell("alembic", "-x", "questdb=never", "upgrade", "head", settings=both)
    assert ran.code != 0
    (line,) = ran.error_lines
    assert line.startswith("FAILED: Unknown argument -x questdb=never. Next: use one of: ")
    for name, values in ARGUMENTS.items():
        assert f"{name}={'|'.join(values)}" in line


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("stage1", "status"), id="status"),
        pytest.param(("stage1", "plan", "-x", "questdb=skip"), id="plan"),
        pytest.param(("stage1", "history"), id="history"),
        pytest.param(("alembic", "-x", "questdb=skip", "check"), id="alembic check"),
    ],
)
def test_table_that_another_session_keeps_locked(shell, migrated, connection, command):
    """Who only looks does not wait for ever; the session ends by itself, lest the test does."""
    connection.execute("SET idle_in_transaction_session_timeout = '60s'")
    connection.execute("BEGIN")
    connection.execute("LOCK TABLE datasets, stage1_migration_history")
    ran = shell(*command, settings=migrated)
    pid = connection.info.backend_pid
    assert ran.code != 0
    said = rf"another session keeps locked: pid {pid} \(stage1_owner\) locks datasets; .*Next: wait"
    assert re.search(said, ran.out + ran.err)
    assert "Traceback" not in ran.err
    connection.execute("ROLLBACK")


def test_database_ahead_of_the_checkout(shell, migrated, connection):
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in (("alembic", "upgrade", "head"), ("alembic", "check"), ("stage1", "plan")):
        ran = shell(*command, settings=migrated)
        assert ran.code != 0
        (line,) = ran.error_lines
        assert "Can't locate revision identified by '9999'. Next: if the database is ahead" in line
    ran = shell("stage1", "status", settings=migrated)
    assert "revision  9999, not in this checkout, whose head is" in ran.out


def test_database_at_two_revisions(shell, migrated, connection):
    connection.execute("INSERT INTO alembic_version VALUES ('0010')")
    for command in (
        ("alembic", "upgrade", "head"),
        ("alembic", "downgrade", "-1"),
        ("alembic", "check"),
        ("stage1", "plan"),
        ("stage1", "upgrade"),
        ("stage1", "status"),
    ):
        ran = shell(*command, settings=migrated)
        assert ran.code != 0
        (line,) = ran.error_lines or [each for each in ran.out.splitlines() if "names 2" in each]
        assert "alembic_version names 2 revisions: 0010, 00" in line
        assert "find out with stage1 history" in line


def test_unreachable_questdb_names_the_way_without_it(shell, empty):
    ran = shell("alembic", "upgrade", "head", settings=empty)
    assert ran.code != 0
    assert "alembic -x questdb=skip upgrade head" in ran.error_lines[0]
    assert "Nothing was changed" in ran.error_lines[0]
    ran = shell("alembic", "-x", "questdb=skip", "upgrade", "head", settings=empty)
    assert ran.code == 0, ran.err


def test_statement_refused_midway_is_one_line(shell, both):
    """A role that may not create: the first revision fails and says so."""
    reader = {"STAGE1_POSTGRES_USER": "stage1_readonly"}
    reader["STAGE1_POSTGRES_PASSWORD"] = PASSWORDS["stage1_readonly"]
    ran = shell("alembic", "upgrade", "head", settings=both, **reader)
    assert ran.code != 0
    assert "permission denied" in ran.error_lines[0]
    assert "Traceback" not in ran.err
    assert len(ran.error_lines) == 1


@pytest.mark.parametrize("server", ["postgres", "questdb"])
def test_up_on_a_port_that_is_taken(shell, server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = shell("stage1", "up", f"--{server}-port", str(port))
        shell("stage1", "down", "--clean")
    assert ran.code != 0
    assert str(port) in ran.err
    assert "Traceback" not in ran.err
    assert "Next:" in ran.err


def test_wrong_questdb_login(shell, empty, tmp_path):
    from stage1_schema.servers.questdb import LocalQuestDB

    guarded = {"http.user": "admin", "http.password": "quest secret"}
    with LocalQuestDB(tmp_path / "guarded", settings=guarded) as server:
        settings = replace(empty, questdb=QuestDBSettings(server.url))
        wrong = {"STAGE1_QUESTDB_USER": "admin", "STAGE1_QUESTDB_PASSWORD": SECRET}
        ran = shell("alembic", "upgrade", "head", settings=settings, **wrong)
        assert ran.code != 0
        assert "STAGE1_QUESTDB_USER" in ran.error_lines[0]
        assert SECRET not in ran.err + ran.out
        assert "Traceback" not in ran.err
        right = wrong | {"STAGE1_QUESTDB_PASSWORD": "quest secret"}
        assert shell("alembic", "upgrade", "head", settings=settings, **right).code == 0
