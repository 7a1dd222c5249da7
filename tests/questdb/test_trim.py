"""A table without the rows of some runs, again and again, and after a kill."""

import pytest

from questdb_ddl import (
    DeclarationError,
    PlanRefused,
    VerificationFailed,
    ensure_table,
    live_tables,
    rebuild,
    render,
    trim,
    unfinished_trims,
)
from questdb_ddl.rebuild_names import Names
from tests.questdb.rebuilding import HOUR, JANUARY, Killed, table_of

TAGS = [f"t{number}" for number in range(6)]


@pytest.fixture
def table(client, name, ilp):
    """A table of six tags with three rows each."""
    ensure_table(client, table_of(name))
    lines = [
        f"{name},tag={tag} n={hour}i {(JANUARY + hour * HOUR) * 10**6}"
        for tag in TAGS
        for hour in range(3)
    ]
    assert ilp(name, lines) == 204
    return table_of(name)


def tags(client, name):
    rows = client.query(f"select distinct tag from {name}")
    return sorted(row["tag"] for row in rows)


def left(client, name):
    return [other for other in live_tables(client) if other.startswith(f"{name}_")]


@pytest.mark.core
def test_pass_after_pass(client, table):
    for number, tag in enumerate(TAGS[:5], 1):
        done = trim(client, table, "tag", [tag], writers_stopped=True)
        assert (done.values, done.rows) == ((tag,), 3 * (6 - number))
        client.execute(render.drop_table(done.kept_as))
        assert tags(client, table.name) == TAGS[number:]
    assert left(client, table.name) == []


@pytest.mark.parametrize("key", ["nosuch", "n", "timestamp"])
def test_a_key_that_is_no_text_leaves_nothing_behind(client, table, key):
    with pytest.raises(DeclarationError, match=f"no text column {key}"):
        trim(client, table, key, ["1"], writers_stopped=True)
    assert left(client, table.name) == []


@pytest.mark.parametrize("kind", ["VARCHAR", "STRING"])
def test_a_writer_that_sends_the_key_as_text(client, name, kind):
    client.execute(
        f"CREATE TABLE {name} (tag {kind}, n LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp)"
        " PARTITION BY DAY WAL"
    )
    client.execute(
        f"INSERT INTO {name} VALUES ('a', 1, '2025-01-01'), ('b', 2, '2025-01-02'),"
        " ('a', 3, '2025-02-01'), (null, 4, '2025-02-02')"
    )
    client.wait_for(name)
    assert trim(client, table_of(name), "tag", ["a"], writers_stopped=True).rows == 2
    assert client.query(f"select n, tag from {name}") == [{"n": 2, "tag": "b"},
                                                          {"n": 4, "tag": None}]  # fmt: skip


def test_what_is_written_while_the_name_is_free_is_kept_aside_or_stays(client, table, ilp):
    """Also rows of what goes: nobody archived those."""

    def write(step):
        if step == f"renamed {table.name} to {table.name}__old_trimmed":
            late = [f"{table.name},tag={tag} n=7i {JANUARY * 10**6}" for tag in ("t0", "t5")]
            assert ilp(table.name, late) == 204

    done = trim(client, table, "tag", ["t0"], write, writers_stopped=True)
    assert client.query(f"select n from {done.kept_as} where tag = 't0'") == [
        {"n": n} for n in range(3)
    ]
    assert client.query(f"select tag from {table.name} where n = 7 order by tag") == [
        {"tag": "t0"},
        {"tag": "t5"},
    ]


def killed_after(client, table, step, values):
    steps = 0

    def kill(_):
        nonlocal steps
        steps += 1
        if steps == step:
            raise Killed

    with pytest.raises(Killed):
        trim(client, table, "tag", values, kill, writers_stopped=True)


@pytest.mark.core
def test_a_killed_trim_is_found_and_finished_with_its_own_values(client, table):
    killed_after(client, table, 4, ["t1", "t2"])
    (found,) = unfinished_trims(client)
    assert (found.table, found.key, found.values) == (table.name, "tag", ("t1", "t2"))
    with pytest.raises(PlanRefused, match=r"that leaves rows out of .* is under way"):
        rebuild(client, table, writers_stopped=True)
    done = trim(client, table, "tag", ["t5"], writers_stopped=True)
    assert (done.values, done.kept_as) == (("t1", "t2"), found.kept_as)
    assert tags(client, table.name) == ["t0", "t3", "t4", "t5"]
    assert tags(client, done.kept_as) == TAGS
    assert unfinished_trims(client) == ()
    assert trim(client, table, "tag", ["t5"], writers_stopped=True).values == ("t5",)
    assert tags(client, table.name) == ["t0", "t3", "t4"]


def test_without_its_notes_a_trim_is_not_finished(client, table):
    killed_after(client, table, 3, ["t1"])
    client.execute(render.drop_table(Names(table.name).without))
    with pytest.raises(VerificationFailed, match="__without, which says what is left out"):
        trim(client, table, "tag", ["t1"])
    assert tags(client, table.name) == TAGS


@pytest.mark.core
def test_killed_while_the_values_are_noted_it_was_never_begun(client, table):
    killed_after(client, table, 1, ["t1"])
    assert Names(table.name).without in live_tables(client)
    assert unfinished_trims(client) == ()
    assert trim(client, table, "tag", ["t5"], writers_stopped=True).values == ("t5",)
    assert tags(client, table.name) == TAGS[:5]


@pytest.mark.core
def test_killed_before_the_notes_are_dropped(client, table, monkeypatch):
    without = Names(table.name).without
    execute = client.execute

    def dies(sql):
        if sql == render.drop_table(without) and unfinished_trims(client):
            raise Killed
        execute(sql)

    monkeypatch.setattr(client, "execute", dies)
    with pytest.raises(Killed):
        trim(client, table, "tag", ["t1"], writers_stopped=True)
    monkeypatch.undo()
    (found,) = unfinished_trims(client)
    done = trim(client, table, "tag", ["t5"], writers_stopped=True)
    assert (done.values, done.kept_as, done.rows) == (("t1",), found.kept_as, 15)
    assert left(client, table.name) == [found.kept_as.lower()]
