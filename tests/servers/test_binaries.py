import functools
import http.server
import platform
import shutil
import threading

import pytest

from stage1_schema.errors import ServerStartError
from stage1_schema.servers import binaries

JAR = "org/questdb/questdb/9.3.4/questdb-9.3.4.jar"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        pass


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """An own Maven registry in the directory that is returned, and an empty local repository."""
    root = tmp_path / "registry"
    (root / JAR).parent.mkdir(parents=True)
    handler = functools.partial(Quiet, directory=root)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    address = {"own": f"http://127.0.0.1:{server.server_port}"}
    monkeypatch.setattr("jgo.maven._core.DEFAULT_REMOTE_REPOS", address)
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    yield root
    server.shutdown()
    server.server_close()


@pytest.fixture
def unreachable(tmp_path, monkeypatch):
    monkeypatch.setattr("jgo.maven._core.DEFAULT_REMOTE_REPOS", {"own": "http://127.0.0.1:9"})


@pytest.fixture(scope="module")
def jar():
    return binaries.questdb_jar()


def test_nothing_is_contacted_for_a_jar_that_is_there(jar, unreachable):
    assert binaries.questdb_jar() == jar


def test_a_truncated_jar_is_fetched_again(jar, registry, tmp_path):
    shutil.copy(jar, registry / JAR)
    broken = tmp_path / "m2" / JAR
    broken.parent.mkdir(parents=True)
    broken.write_bytes(jar.read_bytes()[:1000])
    partial = broken.parent / ".stage1-partial" / "rest of an interrupted download"
    partial.mkdir(parents=True)
    assert binaries.questdb_jar() == broken
    assert broken.read_bytes() == jar.read_bytes()
    assert {path.name for path in broken.parent.iterdir()} == {broken.name, ".stage1.lock"}


def test_a_registry_with_the_wrong_file_is_an_error_and_leaves_nothing(registry, tmp_path):
    (registry / JAR).write_bytes(b"a captive portal's page")
    with pytest.raises(ServerStartError, match="could not be downloaded: the checksum is wrong"):
        binaries.questdb_jar()
    assert not (tmp_path / "m2" / JAR).exists()


def test_no_network_is_one_line(tmp_path, monkeypatch, unreachable):
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    with pytest.raises(ServerStartError, match=r"downloaded: .*Next: check the network") as caught:
        binaries.questdb_jar()
    assert "\n" not in str(caught.value)


def test_an_unknown_version_names_the_known_ones():
    with pytest.raises(ServerStartError, match=r"QuestDB 1\.0 is not one of 8\.2\.0, 9\.0\.3, 9"):
        binaries.questdb_jar("1.0")
    with pytest.raises(ServerStartError, match="PostgreSQL 9 is not one of 14, 16, 18"):
        binaries.postgres_binaries("9")


def test_another_platform_is_refused_for_older_postgres(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(ServerStartError, match="Linux on x86_64 only, this is linux on aarch64"):
        binaries.postgres_binaries("14")
