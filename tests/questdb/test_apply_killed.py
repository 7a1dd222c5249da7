"""Apply while the tool or the server is killed at every step: a new plan goes on from there."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from questdb_ddl import (
    Client,
    Column,
    Double,
    Hazard,
    Long,
    Symbol,
    Table,
    Unreachable,
    VerificationFailed,
    apply,
    live_tables,
    plan_for,
)
from questdb_ddl.tables import dataset_tables
from stage1_schema.servers.questdb import LocalQuestDB

ROWS = 300
OLD = (
    "(timestamp TIMESTAMP, tag SYMBOL CAPACITY 64 NOCACHE INDEX, n INT)"
    " TIMESTAMP(timestamp) PARTITION BY MONTH WAL"
)


def declared(name):
    """Tables of which two are missing and one differs in everything that an ALTER can mend."""
    columns = (Column("tag", Symbol(512)), Column("value", Double()), Column("n", Long()))
    altered = Table(name, columns, ttl_months=240, dedup_keys=("timestamp", "tag"))
    return [altered, *dataset_tables(f"{name} new")]


def fill(client, name):
    client.execute(f"CREATE TABLE {name} {OLD}")
    client.execute(
        f"INSERT INTO {name} SELECT dateadd('h', x::int, '2025-01-01'), 't' || x % 3, x::int"
        f" FROM long_sequence({ROWS})"
    )
    client.wait_for(name)


def check(client, name):
    assert plan_for(client, declared(name)).empty
    expected = {"rows": ROWS, "n": ROWS * (ROWS + 1) // 2, "tags": 3}
    sums = "count() rows, sum(n) n, count_distinct(tag) tags"
    assert client.query(f"select {sums} from {name}") == [expected]


PROGRAM = """
import sys
from questdb_ddl import Client, Hazard, apply, plan_for
from tests.questdb.test_apply_killed import declared
with Client(sys.argv[1]) as client:
    plan = plan_for(client, declared(sys.argv[2]))
    execute, wait = client.execute, client.wait_for
    def told(what, sent):
        def call(*arguments):
            print(f"{what} {arguments[0]}".splitlines()[0], flush=True)
            sys.stdin.readline()
            sent(*arguments)
        return call
    client.execute, client.wait_for = told("execute", execute), told("wait for", wait)
    apply(client, plan, allow=Hazard)
"""


@pytest.mark.slow
def test_kill_9_of_the_tool_before_each_statement_and_each_wait(client, name, lacks):
    lacks("TTL")
    fill(client, name)
    command = [sys.executable, "-c", PROGRAM, client.url, name]
    kills = 0
    while True:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            # The first statement is let through, so that each run gets a step further.
            first = process.stdout.readline()
            if not first:
                break
            process.stdin.write("go on\n")
            process.stdin.flush()
            process.stdout.readline()
            process.kill()
        kills += 1
    assert process.returncode == 0
    assert kills >= len(declared(name)) + 4
    check(client, name)


class Fragile(Client):
    """A client whose server is killed as soon as it has answered a change."""

    def __init__(self, server):
        super().__init__(server.url, timeout_ms=20_000)
        self.server = server

    def execute(self, sql):
        super().execute(sql)
        os.kill(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait()


@pytest.mark.slow
def test_kill_9_of_the_server_after_each_statement(tmp_path):
    with LocalQuestDB(tmp_path / "killed") as server:
        with Client(server.url) as client:
            fill(client, "bars")
            steps = len(plan_for(client, declared("bars")).steps)
        for left in range(steps, 0, -1):
            with Fragile(server) as client:
                plan = plan_for(client, declared("bars"))
                # What an ALTER began may be in the log only, or not at all.
                assert left <= len(plan.steps) <= steps
                with pytest.raises(Unreachable):
                    apply(client, plan, allow=Hazard)
            server.start()
        with Client(server.url) as client:
            for _ in range(3):  # it may say: make a plan and apply it
                with suppress(VerificationFailed):
                    apply(client, plan_for(client, declared("bars")), allow=Hazard)
            check(client, "bars")
            assert set(live_tables(client)) == {table.name for table in declared("bars")}
