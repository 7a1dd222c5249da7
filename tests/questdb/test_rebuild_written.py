"""A rebuild beside a writer that never stops."""

import http.client
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import urllib3

from questdb_ddl import Client, PlanRefused, VerificationFailed
from questdb_ddl.rebuild import rebuild
from questdb_ddl.rebuild_plan import HTTP_NOTICES_RENAMES
from stage1_schema.servers.questdb import LocalQuestDB
from tests.questdb.rebuilding import EXPECTED, HOUR, JANUARY, ROWS, check_rebuilt, content, table_of


class Writer(threading.Thread):
    """Writes over HTTP all the time, new rows and old ones again, and remembers what stands."""

    def __init__(self, url, name):
        super().__init__(daemon=True)
        self.pool = urllib3.PoolManager()
        self.url, self.table = url, name
        self.stands = {}
        self.refused = 0
        self.ended = threading.Event()

    def run(self):
        number = 0
        while not self.ended.is_set():
            number += 1
            # New bars, and one old bar again with another value.
            rows = {ROWS + number * 3 + k: number for k in range(3)} | {number * 7 % ROWS: number}
            body = "".join(
                f"{self.table},tag=t{i % 3} n={i}i,value={v} {(JANUARY + i * HOUR) * 10**6}\n"
                for i, v in rows.items()
            )
            while True:  # an exporter sends again what was refused
                answer = self.pool.request("POST", f"{self.url}/write", body=body)
                if answer.status == 204:
                    break
                self.refused += 1
                time.sleep(0.01)
            self.stands |= rows
            time.sleep(0.02)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


@pytest.mark.core
def test_a_writer_that_would_not_notice_the_rename(client, field):
    if client.version_numbers() >= HTTP_NOTICES_RENAMES:
        pytest.skip(f"QuestDB {client.server_version()} looks a renamed table up again")
    with pytest.raises(PlanRefused, match="--writers-stopped"):
        rebuild(client, field)
    with Writer(client.url, field.name) as writer:
        time.sleep(0.2)
        with pytest.raises(VerificationFailed, match="It has its name back and holds every row"):
            rebuild(client, field, writers_stopped=True)
    client.wait_for(field.name)
    rows = client.query(f"select n, value from {field.name}")
    written = {row["n"]: row["value"] for row in rows if row["n"] >= ROWS}
    assert written == {n: value for n, value in writer.stands.items() if n >= ROWS}
    rebuild(client, field, writers_stopped=True)
    check_rebuilt(client, field, content(client, field.name))
    assert content(client, field.name)["rows"] == ROWS + len(written)


@pytest.mark.parametrize("times", range(3))
def test_a_writer_over_http_loses_nothing_and_doubles_nothing(client, field, times):
    with Writer(client.url, field.name) as writer:
        time.sleep(0.2 + times / 10)
        rebuild(client, field)
        time.sleep(0.2)
    client.wait_for(field.name)
    rows = client.query(f"select n, value from {field.name}")
    found = {row["n"]: row["value"] for row in rows}
    assert len(found) == len(rows)
    expected = {i: i + 0.1 for i in range(ROWS)} | writer.stands
    assert found == expected
    check_rebuilt(client, field, content(client, field.name))


def test_a_server_that_creates_no_tables_refuses_and_the_writer_sends_again(tmp_path):
    settings = {"line.auto.create.new.tables": "false"}
    with LocalQuestDB(tmp_path / "strict", settings=settings) as server, Client(server.url) as c:
        c.execute(
            "CREATE TABLE bars (tag SYMBOL, n LONG, value DOUBLE, timestamp TIMESTAMP)"
            " TIMESTAMP(timestamp) PARTITION BY DAY WAL"
        )
        with Writer(server.url, "bars") as writer:
            time.sleep(0.5)
            rebuild(c, table_of("bars"))
        c.wait_for("bars")
        rows = c.query("select n, value from bars")
        assert {row["n"]: row["value"] for row in rows} == writer.stands
        assert len(rows) == len(writer.stands)


@pytest.mark.parametrize("size", [1, ROWS], ids=lambda n: f"{n} rows")
def test_a_request_that_spans_the_rebuild_is_refused_whole_and_sent_again(client, field, size):
    lines = "".join(
        f"{field.name},tag=t{i % 3} n={i}i,value=9 {(JANUARY + i * HOUR) * 10**6}\n"
        for i in range(ROWS, ROWS + size)
    ).encode()
    with closing(http.client.HTTPConnection(urlsplit(client.url).netloc)) as request:
        request.putrequest("POST", "/write")
        request.putheader("Content-Length", str(2 * len(lines)))
        request.endheaders(lines)
        rebuild(client, field)
        request.send(lines)
        answer = request.getresponse()
        assert (answer.status, b"retry" in answer.read()) == (503, True)
    assert content(client, field.name) == EXPECTED
    assert urllib3.request("POST", f"{client.url}/write", body=lines).status == 204
    client.wait_for(field.name)
    assert content(client, field.name)["rows"] == ROWS + size
