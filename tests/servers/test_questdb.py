import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from stage1_schema.errors import ServerStartError
from stage1_schema.servers.binaries import questdb_jar
from stage1_schema.servers.questdb import LocalQuestDB, class_cache


def query(server, sql):
    answer = urllib3.request("GET", f"{server.url}/exec", fields={"query": sql})
    return answer.json().get("dataset")


def test_listens_on_loopback_only(questdb_server, listening):
    found = listening(questdb_server.process)
    assert {(address.ip, address.port) for address in found} == {("127.0.0.1", questdb_server.port)}


def test_many_files_may_be_open(questdb_server):
    limits = Path(f"/proc/{questdb_server.process.pid}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if "open files" in line)
    soft, hard = line.split()[3:5]
    assert soft == hard


def test_line_protocol_over_tcp_makes_monthly_partitions_and_a_kill_keeps_rows(
    tmp_path, listening, kill
):
    with LocalQuestDB(tmp_path, ilp_tcp=True) as server:
        found = {(address.ip, address.port) for address in listening(server.process)}
        assert found == {("127.0.0.1", server.port), ("127.0.0.1", server.ilp_port)}
        with socket.create_connection((server.host, server.ilp_port)) as line:
            line.sendall(b"bars,dataset=x close=1.5 1735689600000000000\n")
        deadline = time.monotonic() + 20
        wanted = [["bars", "MONTH", True]]
        tables = "SELECT table_name, partitionBy, walEnabled FROM tables()"
        while query(server, tables) != wanted and time.monotonic() < deadline:
            time.sleep(0.1)
        assert query(server, tables) == wanted
        while query(server, "SELECT close FROM bars") != [[1.5]] and time.monotonic() < deadline:
            time.sleep(0.1)  # the table is there before its rows are committed
        killed = server.process
        kill(killed)
        server.start()
        assert server.process != killed
        assert query(server, "SELECT close FROM bars") == [[1.5]]


def test_a_setting_it_does_not_understand_shows_the_end_of_the_log(tmp_path):
    broken = {"shared.worker.count": "many"}
    with pytest.raises(ServerStartError, match="QuestDB did not start") as caught:
        LocalQuestDB(tmp_path, settings=broken).start()
    assert "\n" not in str(caught.value)
    assert "shared.worker.count" in caught.value.log_tail


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path, taken_port):
    with pytest.raises(ServerStartError, match=f"QuestDB cannot listen on 127.0.0.1:{taken_port}"):
        LocalQuestDB(tmp_path, port=taken_port).start()


def test_a_full_disk_is_one_line(tiny_disk):
    with pytest.raises(
        ServerStartError, match=r"QuestDB did not start\. Only \d MiB are free"
    ) as caught:
        LocalQuestDB(tiny_disk).start()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["8.2.0"])
def test_the_oldest_version_of_the_field_runs(tmp_path, version):
    with LocalQuestDB(tmp_path, jar=questdb_jar(version)) as server:
        assert version in str(query(server, "SELECT build()"))


@pytest.fixture
def own_jar(tmp_path):
    """A jar in a directory of its own, where no cache is yet."""
    (tmp_path / "jar").mkdir()
    jar = tmp_path / "jar" / "questdb.jar"
    jar.write_bytes(questdb_jar().read_bytes())
    return jar


MAKE = """
import sys
from pathlib import Path
from stage1_schema.servers.questdb import class_cache
print(class_cache(Path(sys.argv[1])))
"""


def test_the_cache_of_classes_is_made_once_and_a_damaged_one_does_no_harm(own_jar, tmp_path):
    def make():
        return subprocess.Popen(
            [sys.executable, "-c", MAKE, own_jar], stdout=subprocess.PIPE, text=True
        )

    with make() as one, make() as other:
        told = {one.communicate()[0].strip(), other.communicate()[0].strip()}
    cache = class_cache(own_jar)
    assert told == {str(cache)}
    left = {path.name for path in own_jar.parent.iterdir()}
    assert left == {own_jar.name, cache.name, cache.with_suffix(".lock").name}

    def log_of(content):
        cache.write_bytes(content)
        with LocalQuestDB(tmp_path / "server", jar=own_jar) as server:
            assert query(server, "SELECT 1") == [[1]]
            maps = Path(f"/proc/{server.process.pid}/maps").read_text()
            return server.log.read_text(), str(cache) in maps

    whole = cache.read_bytes()
    middle = len(whole) // 2
    assert log_of(whole)[1]
    damaged = (
        whole[:middle],
        whole[:middle] + os.urandom(4096) + whole[middle + 4096 :],
    )
    for content in damaged:
        text, _ = log_of(content)
        assert "aot" not in text
        assert "cds" not in text


def test_a_cache_that_cannot_be_made_is_no_error_and_is_tried_once(tmp_path, monkeypatch):
    jar = tmp_path / "questdb.jar"
    jar.write_bytes(b"no jar")
    assert class_cache(jar) is None
    monkeypatch.setattr("stage1_schema.servers.questdb._make_cache", None)
    assert class_cache(jar) is None
