"""The session's QuestDB, and how such servers stand still while a test does not use them.

One that nobody asks takes 7 % of a core, and each process of the tests has up to three.
"""

import pytest

from stage1_schema.servers.binaries import questdb_jar
from stage1_schema.servers.questdb import LocalQuestDB

POOLS = (
    "shared",
    "http",
    "wal.apply",
    "view.compiler",
    "mat.view.refresh",
    "export",
    "line.tcp.io",
    "line.tcp.writer",
)
RESTING = {f"{pool}.worker.nap.threshold": "20" for pool in POOLS}
"""Threads without work sleep for 1 ms after 20 looks, not 7,000: half the processor time.

Not for a server that is killed: 9.3.4 then came up without a table that an ALTER had been sent to.
"""
_SERVERS = {}


def kept(fixture, server):
    """Yield a running server as the session's fixture of that name."""
    _SERVERS[fixture] = server
    yield server
    del _SERVERS[fixture]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Stop the others; what comes before and after a test may belong to its whole module."""
    idle = [each.process for name, each in _SERVERS.items() if name not in item.fixturenames]
    for process in idle:
        process.suspend()
    try:
        return (yield)
    finally:
        for process in idle:
            process.resume()


@pytest.fixture(scope="session")
def questdb_version(request):
    """The version of QuestDB that the tests run on."""
    return request.config.getoption("--questdb-version")


@pytest.fixture(scope="session")
def questdb_server(tmp_path_factory, questdb_version):
    """A QuestDB with `url` and `directory`; 9.3.4 unless told otherwise."""
    jar = questdb_jar(questdb_version)
    with LocalQuestDB(tmp_path_factory.mktemp("questdb"), jar=jar, settings=RESTING) as server:
        yield from kept("questdb_server", server)
