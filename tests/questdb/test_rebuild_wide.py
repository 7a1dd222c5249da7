"""Tables of many columns: what still fits into a request, and what does not."""

import pytest
import urllib3

from questdb_ddl import Client, PlanRefused, QueryError, live_tables, plan_rebuild, rebuild
from questdb_ddl.client import SAFE_BYTES, sent_bytes
from questdb_ddl.rebuild_names import Names
from questdb_ddl.tables import indicators_table
from stage1_schema.servers.binaries import questdb_jar
from stage1_schema.servers.questdb import LocalQuestDB
from tests.questdb.rebuilding import JANUARY, Killed

WIDE = 600
TOO_WIDE = 1000
HOURS = 3_600_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory, questdb_version):
    """A server that sets aside little for each column: a wide table takes gigabytes otherwise."""
    pages = ("writer.data.append.page.size", "o3.column.memory.size")
    settings = {f"cairo.{page}": "64k" for page in pages}
    directory = tmp_path_factory.mktemp("wide")
    with LocalQuestDB(directory, jar=questdb_jar(questdb_version), settings=settings) as server:
        yield server


@pytest.fixture
def client(server):
    with Client(server.url, timeout_ms=60000) as client:
        yield client


def send(client, name, count, rows):
    body = "".join(
        f"{name} "
        + ",".join(f"indicator_n_{i:04d}={value}" for i in range(count))
        + f" {(JANUARY + hour * HOURS) * 10**6}\n"
        for hour, value in rows
    )
    answer = urllib3.request("POST", f"{client.url}/write", body=body)
    assert answer.status == 204, answer.data
    client.wait_for(name)


ROWS = [(0, 0.5), (800, 1.5), (800, 2.5), (1600, 3.5)]


def values(client, name, column):
    return [row["v"] for row in client.query(f"select {column} v from {name} order by timestamp")]


@pytest.mark.core
def test_600_indicators(client):
    send(client, "wide", WIDE, ROWS)
    table = indicators_table("wide", name="wide")
    assert plan_rebuild(client, table, writers_stopped=True).refusals == ()
    assert rebuild(client, table, writers_stopped=True).rows == 3
    for column in ("indicator_n_0000", "indicator_n_0599"):
        assert values(client, "wide", column) == [0.5, 2.5, 3.5]
    assert plan_rebuild(client, table, writers_stopped=True).empty


def test_600_indicators_written_while_the_name_is_free_and_afterwards(client):
    table = indicators_table("written", name="written")
    send(client, "written", WIDE, ROWS)

    def write(text):
        if text.endswith("written__old"):
            send(client, "written", WIDE, [(2400, 4.5)])
        if text == "renamed written__new to written":
            raise Killed

    with pytest.raises(Killed):
        rebuild(client, table, write)
    names = Names("written")
    send(client, names.old, WIDE, [(1, 5.5)])
    send(client, names.gap(0), WIDE + 1, [(2401, 6.5)])
    assert rebuild(client, table).late == 2
    assert values(client, "written", "indicator_n_0599") == [0.5, 5.5, 2.5, 3.5, 4.5, 6.5]
    assert values(client, "written", "indicator_n_0600") == [None] * 5 + [6.5]


@pytest.mark.core
def test_more_than_fits_is_refused_before_anything_is_made(client):
    send(client, "too_wide", TOO_WIDE, ROWS)
    table = indicators_table("too_wide", name="too_wide")
    says = r"1,001 columns make a statement of [0-9,]+ bytes, .* set that to \d+k in server.conf"
    with pytest.raises(PlanRefused, match=says):
        rebuild(client, table, writers_stopped=True)
    assert [name for name in live_tables(client) if name.startswith("too_wide")] == ["too_wide"]


@pytest.mark.core
def test_the_length_of_a_statement_is_named_when_it_is_too_long(client):
    fits = "select 1 --" + "a" * (SAFE_BYTES - 60)
    assert len(client.query(fits)) == 1
    with pytest.raises(QueryError, match=r"it has 70,011 characters, 70,0\d\d bytes as sent"):
        client.query("select 1 --" + "a" * 70_000)
    assert sent_bytes('a, "b"') == len("a,+%22b%22")
