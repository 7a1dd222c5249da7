import json
import stat
import subprocess
import sys
import time

import psutil
import psycopg
import pytest
import urllib3

from stage1_schema.errors import ServerStartError
from stage1_schema.servers import local, state
from stage1_schema.servers.postgres import LocalPostgres
from stage1_schema.servers.server import is_alive
from stage1_schema.settings import Roles

ROLES = Roles()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The servers of `make up`, shared: every test begins with `up`, so their order is free."""
    path = tmp_path_factory.mktemp("project") / ".stage1"
    yield path
    local.clean(path)
    assert not path.exists()
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(path) in str(p.info["cmdline"])]


@pytest.fixture
def running(directory):
    return local.up(directory, ROLES)


def connect(postgres):
    return psycopg.connect(
        host=postgres.host,
        port=postgres.port,
        user=postgres.user,
        password=postgres.password,
        dbname=postgres.database,
    )


def query(questdb, sql):
    answer = urllib3.request("GET", f"{questdb.url}/exec", fields={"query": sql})
    return answer.json().get("dataset")


def test_up_again_changes_nothing(directory, running):
    assert local.up(directory, ROLES, progress=pytest.fail) == running


def test_roles_and_database_are_there(running):
    with connect(running.postgres) as connection:
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'stage1_trading'"
        assert connection.execute(owner).fetchone() == ("stage1_owner",)
        roles = "SELECT rolname, rolcanlogin, rolsuper FROM pg_roles WHERE rolname ~ '^stage1'"
        assert sorted(connection.execute(roles).fetchall()) == [
            ("stage1_app", True, False),
            ("stage1_owner", True, False),
            ("stage1_readonly", True, False),
        ]
    postgres = running.postgres
    psycopg.connect(
        host=postgres.host,
        port=postgres.port,
        user=postgres.app_user,
        password=postgres.app_password,
        dbname=postgres.database,
    ).close()


def test_down_and_up_keeps_data_passwords_and_ports(directory, running):
    with connect(running.postgres) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    query(running.questdb, "CREATE TABLE kept AS (SELECT 42 n)")
    process = psutil.Process(running.postgres.pid)
    local.down(directory)
    local.down(directory)
    assert state.read(directory) is None
    assert not is_alive(process)
    again = local.up(directory, ROLES)
    assert (again.postgres.password, again.postgres.port) == (
        running.postgres.password,
        running.postgres.port,
    )
    assert again.questdb.url == running.questdb.url
    with connect(again.postgres) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(42,)]
    assert query(again.questdb, "SELECT n FROM kept") == [[42]]


@pytest.mark.parametrize("name", ["postgres", "questdb"])
def test_up_starts_a_killed_server_and_leaves_the_other(directory, running, kill, name):
    kill(psutil.Process(getattr(running, name).pid))
    half = state.read(directory)
    assert getattr(half, name) is None
    again = local.up(directory, ROLES)
    other = {"postgres": "questdb", "questdb": "postgres"}[name]
    assert getattr(again, name).pid != getattr(running, name).pid
    assert getattr(again, other) == getattr(running, other)


@pytest.mark.parametrize("damage", ["", "{", '{"postgres": {}}', None], ids=repr)
def test_a_lost_or_broken_state_file_is_made_again(directory, running, damage):
    path = directory / "servers.json"
    path.write_text(damage) if damage is not None else path.unlink()
    assert state.read(directory) is None
    assert local.up(directory, ROLES) == running
    assert state.read(directory) == running


def test_a_state_file_with_a_pid_of_somebody_else_is_noticed(directory, running):
    path = directory / "servers.json"
    while time.time() < running.questdb.started + state.START_TOLERANCE_SECONDS + 1:
        time.sleep(0.05)  # what starts with the server could be the server
    with subprocess.Popen(["/bin/sleep", "60"]) as foreign:
        text = json.loads(path.read_text())
        text["postgres"]["pid"] = text["questdb"]["pid"] = foreign.pid
        path.write_text(json.dumps(text))
        assert state.read(directory) is None
        assert local.up(directory, ROLES) == running
        assert foreign.poll() is None
        foreign.kill()


def test_an_interrupted_setup_is_finished(directory, running):
    superuser = LocalPostgres(directory / "postgres")
    with psycopg.connect(
        host="127.0.0.1",
        port=running.postgres.port,
        user="postgres",
        password=superuser.password,
        dbname="postgres",
        autocommit=True,
    ) as connection:
        connection.execute("DROP DATABASE stage1_trading")
        connection.execute("DROP ROLE stage1_readonly")
    (directory / "servers.json").unlink()
    assert local.up(directory, ROLES) == running
    connect(running.postgres).close()


def test_two_at_once_take_turns(directory, running):
    local.down(directory)
    code = (
        "import sys; from pathlib import Path; from stage1_schema.servers.local import up\n"
        "from stage1_schema.settings import Roles\n"
        "print(up(Path(sys.argv[1]), Roles()))"
    )
    command = [sys.executable, "-c", code, str(directory)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=60)[0] for process in both)
    assert first == second == f"{state.read(directory)}\n"


def test_another_port_than_the_running_one_is_an_error(directory, running):
    port = running.postgres.port
    assert local.up(directory, ROLES, postgres_port=port) == running
    with pytest.raises(ServerStartError, match=f"PostgreSQL already runs on port {port}, not 5433"):
        local.up(directory, ROLES, postgres_port=5433)
    with pytest.raises(ServerStartError, match="QuestDB already runs on port"):
        local.up(directory, ROLES, questdb_port=9001)


def test_passwords_are_in_no_log_and_no_command_line(directory, running):
    (directory / "servers.json").unlink()
    local.up(directory, ROLES)
    secrets = [running.postgres.password, running.postgres.app_password]
    secrets.append(LocalPostgres(directory / "postgres").password)
    texts = [path.read_text(errors="replace") for path in directory.glob("*/*.log*")]
    for process in psutil.process_iter(["cmdline", "environ"]):
        texts.append(f"{process.info['cmdline']} {process.info['environ']}")  # noqa: PERF401
    assert len(texts) > 3
    assert not [secret for secret in secrets for text in texts if secret in text]
    for path in (directory / "servers.json", directory / "passwords.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((directory / "postgres" / "password").stat().st_mode) == 0o600


def test_down_stops_servers_whose_state_is_lost(directory, running):
    processes = [psutil.Process(each.pid) for each in (running.postgres, running.questdb)]
    (directory / "servers.json").unlink()
    local.down(directory)
    assert not any(is_alive(process) for process in processes)


def test_down_and_clean_without_anything(tmp_path):
    local.down(tmp_path / "none")
    local.clean(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_clean_leaves_files_of_others(tmp_path):
    (tmp_path / "postgres").mkdir()
    (tmp_path / "thesis.txt").write_text("mine")
    local.clean(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerStartError, match="cannot be set up") as caught:
        local.up(tmp_path / "file" / ".stage1", ROLES)
    assert "\n" not in str(caught.value)


def login_of(directory):
    from stage1_schema.settings import load

    stores = load({"STAGE1_LOCAL_DIR": str(directory)}, directory=directory)
    return stores.questdb.user, stores.questdb.password


def test_questdb_gets_a_login_and_keeps_it(directory, running):
    without = running.questdb
    assert (without.user, login_of(directory)) == ("", (None, None))
    told = []
    after = local.up(directory, ROLES, login=True, progress=told.append)
    try:
        assert told[0] == "restarting QuestDB"
        assert after.postgres == running.postgres
        assert login_of(directory) == (after.questdb.user, after.questdb.password)
        url, headers = f"{after.questdb.url}/exec?query=select%201", urllib3.make_headers(
            basic_auth=":".join(login_of(directory))
        )  # fmt: skip
        assert urllib3.request("GET", url).status == 401
        assert urllib3.request("POST", f"{after.questdb.url}/write", body="a b=1").status == 401
        assert urllib3.request("GET", url, headers=headers).status == 200
        assert local.up(directory, ROLES, progress=pytest.fail) == after
        local.down(directory)
        again = local.up(directory, ROLES).questdb
        assert (again.user, again.password) == (after.questdb.user, after.questdb.password)
        for path in (directory / local.QUESTDB_LOGIN, directory / "questdb/conf/server.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert after.questdb.password not in repr(after)
        for process in psutil.process_iter(["cmdline", "environ"]):
            seen = f"{process.info['cmdline']} {process.info['environ']}"
            assert after.questdb.password not in seen
    finally:
        assert local.up(directory, ROLES, login=False).questdb.user == ""
    assert login_of(directory) == (None, None)
