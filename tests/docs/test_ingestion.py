"""The examples of docs/ingestion.md, each sent to the table it names, twice."""

import re
import time
from pathlib import Path

import pytest

from questdb_ddl import Client, compare, ensure_table, live_tables
from questdb_ddl.render import drop_table
from questdb_ddl.tables import ohlcv_table
from stage1_schema.ops.server_check import NEEDS
from stage1_schema.servers.questdb import LocalQuestDB

TEXT = (Path(__file__).parents[2] / "docs" / "ingestion.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## ([^\n]+)\n+```python\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE))
TIMES = {
    "ILP over HTTP": "2025-01-01T00:00:00.000000Z",
    "ILP over TCP": "2025-01-01T04:00:00.000000Z",
    "The Python client": "2025-01-01T08:00:00.000000Z",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"line.tcp.commit.interval.default": "200", "line.auto.create.new.tables": "false"}
    directory = tmp_path_factory.mktemp("ingestion")
    with LocalQuestDB(directory, ilp_tcp=True, settings=settings) as server:
        yield server


def test_there_is_an_example_of_each():
    assert set(EXAMPLES) == set(TIMES)


@pytest.mark.parametrize("example", TIMES)
def test_example(server, example):
    table = ohlcv_table("btc25_4h")
    names = {
        "QUESTDB_URL": server.url,
        "QUESTDB_ADDRESS": f"{server.host}:{server.port}",
        "ILP_HOST": server.host,
        "ILP_PORT": server.ilp_port,
    }
    with Client(server.url) as client:
        client.execute(drop_table(table.name))
        ensure_table(client, table)
        for number in (1, 2):
            exec(compile(EXAMPLES[example], example, "exec"), dict(names))  # noqa: S102 - ours
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                if client.query("select sequencerTxn n from wal_tables()")[0]["n"] >= number:
                    break
                time.sleep(0.05)
            client.wait_for(table.name)
            rows = client.query(f"select timestamp, volume from {table.name}")
            assert [row["timestamp"] for row in rows] == [TIMES[example]]
        assert compare(table, live_tables(client)[table.name]).equal


@pytest.mark.parametrize("setting", [name for name in NEEDS if "tcp" not in name])
def test_settings_are_those_that_server_check_wants(setting):
    if setting != "telemetry.enabled":
        assert f"| `{setting}` | `{NEEDS[setting][0]}` |" in TEXT
