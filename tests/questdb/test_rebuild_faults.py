"""A rebuild that is killed before and after each statement it sends."""

import itertools
import sys

import pytest

from questdb_ddl import Client, PartitionBy, live_tables, quote, render
from questdb_ddl.kept import old_tables
from questdb_ddl.rebuild import rebuild
from questdb_ddl.trim import trim, unfinished_trims
from tests.questdb.rebuilding import HOUR, JANUARY, Killed, table_of

FEW = 60
STRAY = FEW
IN_1970 = FEW + 1


class Mortal(Client):
    """Dies before or after its n-th statement; a writer creates the table when its name is free."""

    left = None
    dies = "after"
    sql = ""
    stray = None

    def execute(self, sql):
        if self.left is not None:
            self.left -= 1
            self.sql = sql
            if self.left == 0 and self.dies == "before":
                raise Killed
        super().execute(sql)
        if self.stray and sql.startswith("RENAME") and "__old" in sql.partition(" TO ")[2]:
            write, self.stray = self.stray, None
            write()
        if self.left == 0:
            raise Killed


@pytest.fixture
def mortal(client):
    with Mortal(client.url, timeout_ms=20000) as mortal:
        yield mortal


def numbers(client, name):
    return sorted(row["n"] for row in client.query(f"select n from {name}"))


def _rebuild(client, table):
    rebuild(client, table)


def _fix(client, table):
    rebuild(client, table, fix_timestamps=True)


def _trim(client, table):
    """Trim once; a second call has other values, which must not count while one is unfinished."""
    found = [trim for trim in unfinished_trims(client) if trim.table == table.name]
    assert [trim.values for trim in found] in ([], [("t1",)])
    if found or "t1" in {row["tag"] for row in client.query(f"select tag from {table.name}")}:
        assert trim(client, table, "tag", ["t2" if found else "t1"]).values == ("t1",)


def killed(mortal, run, table, number):
    """Tell whether a run dies at its statement of that number, or came to its end before."""
    mortal.left = number
    try:
        run(mortal, table)
    except Killed:
        return True
    finally:
        mortal.left = None
    return False


@pytest.fixture
def converges(mortal, name, ilp, monkeypatch):
    """Kill a run at each of its statements, and see that calling it again finishes it.

    With `again`, the second call is killed too, at that statement of its own. Returns how many
    statements there are.
    """
    monkeypatch.setattr(sys.modules["questdb_ddl.rebuild_run"], "_SETTLE_SECONDS", 0.02)

    def converges(run, *, stray, again=None):
        for number in itertools.count(1):
            table = table_of(f"{name}{number}")
            make(mortal, table.name, ilp, wrong_unit=run is _fix)
            mortal.stray = writer(ilp, table.name) if stray else None
            if not killed(mortal, run, table, number):
                return number
            if again:
                killed(mortal, run, table, again)
            run(mortal, table)
            check(mortal, table.name, run, stray=stray)
            for left in live_tables(mortal):
                if left.startswith(table.name):
                    mortal.execute(render.drop_table(left))
        raise AssertionError

    return converges


@pytest.mark.slow
@pytest.mark.parametrize("stray", [False, True], ids=["", "writer creates the table in the gap"])
@pytest.mark.parametrize("dies", ["before", "after"])
@pytest.mark.parametrize("run", [_rebuild, _fix, _trim])
def test_killed_at_every_statement_a_second_run_converges(mortal, converges, run, dies, stray):
    mortal.dies = dies
    assert converges(run, stray=stray) > (10 if stray else 7)


@pytest.mark.slow
@pytest.mark.parametrize("again", [1, 2, 3, 4])
def test_killed_at_every_statement_and_soon_again(converges, again):
    """With a writer in the gap, where a second kill meets what the first one left."""
    assert converges(_rebuild, stray=True, again=again) > 10


def writer(ilp, name):
    """Send a row until it is taken: what the server refuses, a client sends again."""

    def write():
        answers = [ilp(name, [line(name, STRAY, tag="t0")])]
        while answers[-1] != 204:
            assert len(answers) < 20, answers
            answers.append(ilp(name, [line(name, STRAY, tag="t0")]))

    return write


def line(name, number, tag=None):
    tag = tag or f"t{number % 3}"
    return f"{name},tag={tag} n={number}i,value={number} {(JANUARY + number * 36 * HOUR) * 10**6}"


def make(client, name, ilp, *, wrong_unit):
    client.execute(
        f"CREATE TABLE {name} (tag SYMBOL, n LONG, value DOUBLE, timestamp TIMESTAMP_NS)"
        " TIMESTAMP(timestamp) PARTITION BY DAY WAL"
    )
    for _ in range(2):
        assert ilp(name, [line(name, number) for number in range(FEW)]) == 204
    if wrong_unit:
        assert ilp(name, [f"{name},tag=z n={IN_1970}i {JANUARY * 1000}"]) == 204


def check(client, name, run, *, stray):
    expected = [n for n in range(FEW) if run is not _trim or n % 3 != 1]
    expected += [STRAY] * stray + [IN_1970] * (run is _fix)
    client.wait_for(name)
    told = f"killed at {client.sql}"
    assert numbers(client, name) == expected, told
    early = f"select count() n from {quote(name)} where timestamp < '2025'"
    assert client.query(early) == [{"n": 0}], told
    live = live_tables(client)
    assert live[name].partition_by is PartitionBy.MONTH
    assert [table for table in live if table.startswith(f"{name}__")] == [], told
    assert len(old_tables(client, name)) == 1, told
    assert unfinished_trims(client) == ()
