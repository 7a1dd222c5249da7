"""Apply while the tool or the server is killed at every step: a new plan goes on from there."""

import os
import signal
import subprocess
import sys

import pytest

from questdb_ddl import (
    Client,
    Column,
    Double,
    Hazard,
    Int,
    Long,
    Symbol,
    Table,
    TableSuspended,
    Unreachable,
    apply,
    live_tables,
    plan_for,
    render,
)
from questdb_ddl.plan import CUT_OFF
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
    point, alive = 0, True
    while alive:
        point += 1
        table = f"{name}{point}"
        fill(client, table)
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, client.url, table],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            for _ in range(point - 1):
                process.stdout.readline()
                process.stdin.write("go on\n")
                process.stdin.flush()
            alive = bool(process.stdout.readline())
            process.kill()
        apply(client, plan_for(client, declared(table)), allow=Hazard)
        check(client, table)
    assert point > len(declared(name)) + 4


class Fragile(Client):
    """A client whose server is killed as soon as it has answered the n-th change."""

    def __init__(self, server, point):
        super().__init__(server.url, timeout_ms=20_000)
        self.server = server
        self.left = point

    def execute(self, sql):
        super().execute(sql)
        self.left -= 1
        if self.left == 0:
            os.kill(self.server.process.pid, signal.SIGKILL)
            self.server.process.wait()


@pytest.mark.slow
def test_kill_9_of_the_server_after_each_statement(tmp_path):
    point, steps = 0, 1
    with LocalQuestDB(tmp_path / "killed") as server:
        while point < steps:
            point += 1
            name = f"bars{point}"
            with Client(server.url) as client:
                fill(client, name)
            with Fragile(server, point) as client:
                plan = plan_for(client, declared(name))
                steps = len(plan.steps)
                with pytest.raises(Unreachable):
                    apply(client, plan, allow=Hazard)
            server.start()
            with Client(server.url) as client:
                apply(client, plan_for(client, declared(name)), allow=Hazard)
                check(client, name)
        with Client(server.url) as client:
            expected = {t.name for n in range(1, steps + 1) for t in declared(f"bars{n}")}
            assert set(live_tables(client)) == expected


def test_cache_flag_that_a_kill_left_in_one_of_its_two_places_is_mended(tmp_path):
    """The state between the two writes of ALTER COLUMN CACHE, put together from files."""
    told = Table("bars", (Column("tag", Symbol(64, index=True)), Column("n", Int())))
    with LocalQuestDB(tmp_path / "halved") as server:
        with Client(server.url) as client:
            fill(client, "bars")
        server.stop()
        (directory,) = (tmp_path / "halved" / "db").glob("bars~*")
        before = {p: p.read_bytes() for p in directory.iterdir() if p.is_file()}
        server.start()
        with Client(server.url) as client:
            client.execute("ALTER TABLE bars ALTER COLUMN tag CACHE")
            client.wait_for("bars")
        server.stop()
        for path, content in before.items():
            if path.name != "tag.o":  # the symbol's own file
                path.write_bytes(content)
        server.start()
        with Client(server.url) as client:
            plan = plan_for(client, [told])
            assert [str(left) for left in plan.steps if "CACHE" in left.sql]
            apply(client, plan, allow=Hazard)
            assert plan_for(client, [told]).empty


def test_index_that_a_kill_left_half_dropped_is_dropped_by_one_rerun(tmp_path):
    """Files of the next version of the column stand already: every later try stumbles over them."""
    told = Table("bars", (Column("tag", Symbol(64, cache=False)), Column("n", Int())))
    with LocalQuestDB(tmp_path / "halved") as server:
        with Client(server.url) as client:
            fill(client, "bars")
        server.stop()
        (month,) = (tmp_path / "halved" / "db").glob("bars~*/2025-01")
        (month / "tag.d.1").hardlink_to(month / "tag.d")
        server.start()
        with Client(server.url) as client:
            with pytest.raises(TableSuspended, match=r"RESUME WAL FROM TXN 3\.$") as suspended:
                apply(client, plan_for(client, [told]))
            client.execute("INSERT INTO bars VALUES ('2025-01-30', 't1', 7)")
        server.stop()
        server.start()
        with Client(server.url) as client:
            plan = plan_for(client, [told])
            assert [(step.sql, step.reason) for step in plan.steps] == [
                (suspended.value.remedy, CUT_OFF)
            ]
            drop = render.drop_index("bars", "tag")
            assert [step.sql for step in apply(client, plan)] == [suspended.value.remedy, drop]
            assert plan_for(client, [told]).empty
            assert client.query("select count() n from bars") == [{"n": ROWS + 1}]
