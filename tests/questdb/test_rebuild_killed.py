"""A rebuild that is killed at any step, and the server under it."""

import os
import signal
import subprocess
import sys

import pytest

from questdb_ddl import Client, PartitionBy, live_tables
from questdb_ddl.kept import old_tables
from questdb_ddl.rebuild import rebuild
from questdb_ddl.rebuild_plan import HTTP_NOTICES_RENAMES
from stage1_schema.servers.questdb import LocalQuestDB
from tests.questdb.rebuilding import (
    EXPECTED,
    HOUR,
    JANUARY,
    ROWS,
    Killed,
    check_rebuilt,
    content,
    table_of,
)


@pytest.mark.core
@pytest.mark.parametrize("stray", [False, True], ids=["", "writer creates the table in the gap"])
def test_killed_after_every_step_a_second_run_converges(client, field, ilp, stray):
    if stray and client.version_numbers() < HTTP_NOTICES_RENAMES:
        pytest.skip(f"on QuestDB {client.server_version()} the writer makes no table in the gap")
    steps = 0

    def kill(text):
        nonlocal steps
        steps += 1
        if stray and text.endswith("__old"):
            line = f"{field.name},tag=t0 n={ROWS}i,value=0 {(JANUARY + ROWS * HOUR) * 10**6}"
            assert ilp(field.name, [line]) == 204
        raise Killed

    while True:
        try:
            rebuild(client, field, kill, writers_stopped=True)
        except Killed:
            continue
        break
    expected = dict(EXPECTED)
    if stray:
        expected |= {"rows": ROWS + 1, "stamps": ROWS + 1, "n": EXPECTED["n"] + ROWS}
    assert steps >= 6
    check_rebuilt(client, field, expected)
    assert len(old_tables(client, field.name)) == 1


PROGRAM = """
import sys
from questdb_ddl import Client
from questdb_ddl.rebuild import rebuild
from questdb_ddl.rebuild_plan import HTTP_NOTICES_RENAMES
from tests.questdb.rebuilding import table_of
def told(text):
    print(text, flush=True)
    sys.stdin.readline()
with Client(sys.argv[1]) as client:
    rebuild(client, table_of(sys.argv[2]), told)
"""


@pytest.mark.parametrize("after", range(1, 7), ids=lambda n: f"after step {n}")
def test_kill_9_of_the_tool(client, field, after):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, client.url, field.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for number in range(after):
            if number:
                process.stdin.write("go on\n")
                process.stdin.flush()
            assert process.stdout.readline()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    rebuild(client, field)
    check_rebuilt(client, field)


@pytest.mark.slow
def test_kill_9_of_the_server_after_every_step(tmp_path):
    with LocalQuestDB(tmp_path / "killed") as server:
        client = Client(server.url)
        table = table_of("bars")
        client.execute(
            "CREATE TABLE bars (tag SYMBOL, n LONG, value DOUBLE, timestamp TIMESTAMP_NS)"
            " TIMESTAMP(timestamp) PARTITION BY DAY WAL"
        )
        client.execute(
            "INSERT INTO bars SELECT 't' || (x % 3), x, x, dateadd('h', x::int, '2025-01-01')"
            " FROM long_sequence(300)"
        )
        client.wait_for("bars")

        def kill(_):
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            server.start()
            raise Killed

        kills = 0
        while True:
            try:
                with Client(server.url) as client:
                    rebuild(client, table, kill)
            except Killed:
                kills += 1
                continue
            break
        assert kills >= 5
        with Client(server.url) as client:
            assert content(client, "bars")["rows"] == 300
            assert live_tables(client, ["bars"])["bars"].partition_by is PartitionBy.MONTH
            assert len(old_tables(client, "bars")) == 1
