import subprocess
import threading
import time

import psutil
import psycopg
import pytest

from stage1_schema.errors import ServerStartError
from stage1_schema.servers import server as server_module
from stage1_schema.servers.binaries import postgres_binaries
from stage1_schema.servers.postgres import LocalPostgres

ACTIVE = "SELECT FROM pg_stat_activity WHERE state = 'active'"


def connect(server, **options):
    return psycopg.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        dbname="postgres",
        autocommit=True,
        **options,
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A server whose first start found the rest of an interrupted initdb."""
    directory = tmp_path_factory.mktemp("cluster")
    (directory / "data.new" / "base").mkdir(parents=True)
    (directory / "data.new" / "PG_VERSION").write_text("18\n")
    with LocalPostgres(directory, fsync=False) as server:
        yield server


@pytest.fixture
def stopped(cluster):
    cluster.stop()
    return cluster


def test_starts_after_an_interrupted_initdb(cluster, listening):
    cluster.start()
    assert not (cluster.directory / "data.new").exists()
    assert {address.ip for address in listening(cluster.process)} == {"127.0.0.1"}
    with connect(cluster) as connection:
        assert connection.info.encoding == "utf-8"
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)


def test_a_wrong_password_is_refused(cluster):
    cluster.start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host=cluster.host,
            port=cluster.port,
            user="postgres",
            password="wrong",
            dbname="postgres",
        )


def test_stop_twice_and_start_keeps_port_and_password(stopped):
    stopped.stop()
    port, password = stopped._last_port(), stopped.password
    stopped.start()
    assert (stopped.port, stopped.password) == (port, password)
    assert LocalPostgres(stopped.directory).start().process == stopped.process


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path, taken_port):
    with pytest.raises(
        ServerStartError, match=f"PostgreSQL cannot listen on 127.0.0.1:{taken_port}"
    ):
        LocalPostgres(tmp_path / "new", port=taken_port).start()
    assert not (tmp_path / "new").exists()


def test_a_free_port_that_is_lost_to_a_race_is_replaced(stopped, taken_port, monkeypatch):
    (stopped.directory / "port").unlink()
    ports = iter([taken_port, server_module.free_port()])
    monkeypatch.setattr(server_module, "free_port", lambda: next(ports))
    assert stopped.start().port != taken_port


def test_a_broken_configuration_shows_the_end_of_the_log(stopped):
    conf = stopped.data / "postgresql.conf"
    text = conf.read_text()
    conf.write_text(text + "\nno equals sign here ;\n")
    try:
        with pytest.raises(ServerStartError, match=r"did not start. .*contains errors") as caught:
            stopped.start()
    finally:
        conf.write_text(text)
    assert "\n" not in str(caught.value)
    assert "syntax error in file" in caught.value.log_tail
    assert len(caught.value.log_tail.splitlines()) <= 15


def test_damaged_data_shows_the_end_of_the_log(stopped):
    control = stopped.data / "global" / "pg_control"
    whole = control.read_bytes()
    control.write_bytes(whole[:100])
    try:
        with pytest.raises(ServerStartError, match="pg_control") as caught:
            stopped.start()
    finally:
        control.write_bytes(whole)
    assert "PANIC" in caught.value.log_tail


@pytest.mark.parametrize("cut", [0, 3], ids=["empty", "half a line"])
def test_a_cut_pid_file_is_no_obstacle(stopped, cut):
    (stopped.data / "postmaster.pid").write_text("12345"[:cut])
    stopped.start()


def test_a_pid_file_whose_pid_is_another_process_by_now_is_no_obstacle(cluster, kill):
    cluster.start()
    lock = cluster.data / "postmaster.pid"
    text = lock.read_text()
    kill(cluster.process)
    with subprocess.Popen(["/bin/sleep", "60"], **cluster._run_options()) as foreign:
        lock.write_text(text.replace(text.split("\n")[0], str(foreign.pid), 1))
        cluster.start()
        assert foreign.poll() is None
        foreign.kill()


def test_a_server_that_ends_while_it_is_waited_for_is_started_again(cluster):
    cluster.start()
    ending = cluster.process
    with connect(cluster):  # a smart shutdown waits for it
        ending.terminate()
        while cluster._ready(ending, cluster.port):
            time.sleep(0.01)
        thread = threading.Thread(target=cluster.start)
        thread.start()
        time.sleep(0.2)
        assert server_module.is_alive(ending)
    thread.join()
    assert cluster.process != ending
    connect(cluster).close()


def test_a_session_that_outlives_a_killed_server_is_ended(cluster, kill):
    cluster.start()
    connection = connect(cluster, options="-c synchronous_commit=on")
    connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
    connection.execute("INSERT INTO kept VALUES (1)")
    session = psutil.Process(connection.info.backend_pid)
    busy = "DO $$ BEGIN WHILE clock_timestamp() < now() + interval '1 min' LOOP END LOOP; END $$"

    def run():
        with pytest.raises(psycopg.OperationalError):
            connection.execute(busy)

    thread = threading.Thread(target=run)
    thread.start()
    with connect(cluster) as other:
        while not other.execute(f"{ACTIVE} AND pid = {session.pid}").fetchall():
            time.sleep(0.01)
    kill(cluster.process)
    assert session.is_running()
    cluster.start()
    assert not session.is_running()
    thread.join()
    connection.close()
    with connect(cluster) as connection:
        assert connection.execute("SELECT count(*) >= 1 FROM kept").fetchone() == (True,)


def test_a_full_disk_is_one_line(tiny_disk):
    with pytest.raises(ServerStartError, match="No space left on device") as caught:
        LocalPostgres(tiny_disk / "postgres").start()
    assert "\n" not in str(caught.value)
    assert "No space left" in caught.value.log_tail


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerStartError, match=r"Not a directory|File exists"):
        LocalPostgres(tmp_path / "file").start()


@pytest.mark.parametrize("major", ["14", "16"])
def test_older_versions_of_the_field_run(tmp_path, major):
    binaries = postgres_binaries(major)
    with (
        LocalPostgres(tmp_path, binaries=binaries, fsync=False) as server,
        connect(server) as connection,
    ):
        assert str(connection.info.server_version).startswith(major)
