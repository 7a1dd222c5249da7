"""Servers of the tests' own, started when the first test asks for one."""

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from stage1_schema.servers.account import NUMBERS, Way
from stage1_schema.servers.binaries import java, postgres_binaries
from stage1_schema.servers.postgres import LocalPostgres

pytest_plugins = ["tests.plugins.databases", "tests.plugins.golden", "tests.plugins.questdb"]

# No example fails for its time, on a busy machine either.
settings.register_profile("stage1", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("stage1")


def pytest_addoption(parser):
    parser.addoption(
        "--postgres-version", default="18", help="The server's major version: 14, 16 or 18."
    )
    parser.addoption("--update-golden", action="store_true", help="Rewrite the golden files.")
    parser.addoption("--questdb-version", default="9.3.4", help="Such as 8.2.0.")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    # The collector of pytest-alembic 0.13 breaks pytest 9.2; the tests import what they need of it.
    config.option.pytest_alembic_tests_path = "no-such-file"
    # The next run of pytest by the same user would close the common directory to our servers.
    if not config.option.basetemp and not hasattr(config, "workerinput"):
        config.option.basetemp = tempfile.mkdtemp(prefix="stage1-tests-", dir=_in_memory())
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


def pytest_sessionstart(session):
    """Let the servers' users pass: root starts them as users of their own, several at once.

    What is above the programs is opened for all processes of the tests together.
    """
    if os.geteuid() != 0:
        return
    base = session.config._tmp_path_factory.getbasetemp()
    base.chmod(0o711)
    if not hasattr(session.config, "workerinput"):
        jars = Path(os.environ.get("M2_REPO", Path.home() / ".m2" / "repository"))
        way = Way(base / "session")
        way.open(NUMBERS[0], [postgres_binaries().parent, java().parents[1], jars / "org"])
        session.config.add_cleanup(way.close)


def pytest_collection_finish():
    """Look for garbage less often: a seventh of the tests' own processor time went into it."""
    gc.freeze()
    gc.set_threshold(10_000)


def _in_memory():
    """Return a file system in memory with room and leave to run programs, None without one.

    The servers of the tests are three times as fast there.
    """
    directory = "/dev/shm"  # noqa: S108 - mkdtemp makes a private directory there
    if not os.access(directory, os.W_OK):
        return None
    found = os.statvfs(directory)
    roomy = found.f_bavail * found.f_frsize >= 8 * 2**30
    return directory if roomy and not found.f_flag & os.ST_NOEXEC else None


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch, tmp_path_factory):
    """Keep every test away from the settings of its user and from the servers of `make up`."""
    for name in [name for name in os.environ if name.startswith("STAGE1_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STAGE1_LOCAL_DIR", str(tmp_path_factory.mktemp("local")))


@pytest.fixture(scope="session")
def postgres_server(request, tmp_path_factory):
    """A PostgreSQL with `host`, `port`, `user` (a superuser) and `password`."""
    binaries = postgres_binaries(request.config.getoption("--postgres-version"))
    directory = tmp_path_factory.mktemp("postgres")
    with LocalPostgres(directory, binaries=binaries, fsync=False) as server:
        yield server
