"""A client of the suite's QuestDB, names of one test's own, and a sender of ILP lines."""

import itertools

import pytest
import urllib3

from questdb_ddl import Client, QueryError, TableSuspended, live_tables
from questdb_ddl.render import drop_table
from stage1_schema.servers.binaries import questdb_jar
from stage1_schema.servers.questdb import LocalQuestDB
from tests.plugins.questdb import RESTING, kept
from tests.questdb.rebuilding import HOUR, JANUARY, ROWS, table_of

_NUMBERS = itertools.count()
OTHER_USER, OTHER_PASSWORD = "writer", "geheim\u5bc6"  # no Latin-1


@pytest.fixture(scope="session")
def client(questdb_server):
    with Client(questdb_server.url, timeout_ms=20000) as client:
        yield client


@pytest.fixture
def name(client):
    """A table name that no other test uses; what stands under it, also as a prefix, is dropped."""
    name = f"test_{next(_NUMBERS)}_x"
    yield name
    for table in live_tables(client):
        if table.startswith(name):
            client.execute(drop_table(table))


def send_lines(client, table, lines, headers=None):
    """Send ILP lines over HTTP as an exporter does, and wait until they are in the table."""
    body = "".join(f"{line}\n" for line in lines)
    answer = urllib3.request("POST", f"{client.url}/write", body=body.encode(), headers=headers)
    if answer.status == 204:
        client.wait_for(table)
    return answer.status


@pytest.fixture
def ilp(client):
    return lambda table, lines: send_lines(client, table, lines)


@pytest.fixture
def field(client, name, ilp):
    """A table as ILP creates it: by day, no deduplication, nanoseconds; exported twice."""
    before_9_1 = client.server_version().startswith(("8.", "9.0."))
    kind = "TIMESTAMP" if before_9_1 else "TIMESTAMP_NS"
    client.execute(
        f"CREATE TABLE {name} (tag SYMBOL CAPACITY 1024 INDEX, n LONG, value DOUBLE, more DOUBLE,"
        f" timestamp {kind}) TIMESTAMP(timestamp) PARTITION BY DAY WAL"
    )
    for export in range(2):
        lines = [
            f"{name},tag=t{i % 3} n={i}i,value={i}.{export},more=1.5 {(JANUARY + i * HOUR) * 10**6}"
            for i in range(ROWS)
        ]
        assert ilp(name, lines) == 204
    return table_of(name)


@pytest.fixture
def suspend(client):
    """Suspend a new table as it happens in the field: a change fails while it is applied."""

    def suspend(name):
        client.execute(f"CREATE TABLE {name} (a LONG, t TIMESTAMP) TIMESTAMP(t) PARTITION BY DAY")
        client.execute(f"INSERT INTO {name} VALUES (9223372036854775807, '2025-01-01T00:00:00Z')")
        client.wait_for(name)
        client.execute(f"ALTER TABLE {name} ALTER COLUMN a TYPE DECIMAL(10,2)")
        with pytest.raises(TableSuspended) as caught:
            client.wait_for(name)
        return caught.value

    return suspend


@pytest.fixture(scope="session")
def other_server(tmp_path_factory):
    """A QuestDB as it is found in the field: a login, daily partitions, telemetry."""
    settings = {
        **RESTING,
        "http.user": OTHER_USER,
        "http.password": OTHER_PASSWORD.encode("ascii", "backslashreplace").decode(),
        "line.default.partition.by": "DAY",
        "telemetry.enabled": "true",
        "telemetry.hide.tables": "false",
    }
    with LocalQuestDB(tmp_path_factory.mktemp("other"), settings=settings) as server:
        yield from kept("other_server", server)


@pytest.fixture
def other(other_server):
    with Client(other_server.url, user=OTHER_USER, password=OTHER_PASSWORD) as client:
        yield client


@pytest.fixture
def other_ilp(other):
    return lambda table, lines: send_lines(other, table, lines, other._headers)


@pytest.fixture(scope="session")
def tcp_server(tmp_path_factory, questdb_version):
    """A QuestDB that takes ILP over TCP too."""
    with LocalQuestDB(
        tmp_path_factory.mktemp("tcp"),
        jar=questdb_jar(questdb_version),
        ilp_tcp=True,
        settings={**RESTING, "line.tcp.commit.interval.default": "200"},
    ) as server:
        yield from kept("tcp_server", server)


@pytest.fixture(scope="session")
def lacks(client):
    """Skip a test, with the reason, where the server does not know what it needs."""
    probes = {"TTL": "select ttlValue from tables() limit 1"}

    def lacks(feature):
        try:
            client.query(probes[feature])
        except QueryError:
            pytest.skip(f"QuestDB {client.server_version()} has no {feature}")

    return lacks
