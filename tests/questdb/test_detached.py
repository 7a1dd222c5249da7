"""Detached partitions: named, and nothing that would lose their rows is done before a word."""

from datetime import UTC, datetime

import pytest

from questdb_ddl import (
    Column,
    Detached,
    DetachedPartitions,
    Double,
    Long,
    PlanRefused,
    Symbol,
    Table,
    drop,
    drop_old,
    ensure_table,
    live_tables,
    plan_rebuild,
    rebuild,
    refuse_detached,
    retire,
    trim,
)
from questdb_ddl.dropping import dropping_name

NOW = datetime(2025, 3, 1, tzinfo=UTC)


def declared(name):
    columns = (Column("tag", Symbol(64)), Column("n", Long()), Column("value", Double()))
    return Table(name, columns, dedup_keys=("timestamp", "tag"))


@pytest.fixture
def detached(client, name):
    """A table with one row, and one in a month that was detached."""
    ensure_table(client, declared(name))
    client.execute(
        f"INSERT INTO {name} VALUES ('2025-01-05', 'a', 1, 1.5), ('2025-02-05', 'b', 2, 1.5)"
    )
    client.execute(f"ALTER TABLE {name} DETACH PARTITION LIST '2025-01'")
    client.wait_for(name)
    return name


def attach(client, server, name):
    row = client.query(f"SELECT directoryName FROM tables() WHERE table_name = '{name}'")[0]
    (found,) = server.directory.rglob(f"{row['directoryName']}/2025-01.detached")
    found.rename(found.with_name("2025-01.attachable"))
    (left,) = live_tables(client, [name], parquet=True)[name].detached
    assert left == Detached("2025-01", 1)  # not attached yet
    client.execute(f"ALTER TABLE {name} ATTACH PARTITION LIST '2025-01'")
    client.wait_for(name)


def test_nothing_detached(client, name):
    ensure_table(client, declared(name))
    assert live_tables(client, [name], counts=True)[name].detached == ()
    refuse_detached(client, [name])


def test_they_are_named_and_attached_ones_are_not(client, questdb_server, detached):
    live = live_tables(client, [detached], counts=True)[detached]
    assert (live.row_count, live.detached) == (1, (Detached("2025-01", 1),))
    assert live_tables(client, [detached])[detached].detached is None
    with pytest.raises(DetachedPartitions, match=r"2025-01 \(1 row\)") as caught:
        refuse_detached(client, [detached])
    assert caught.value.table == detached
    assert f"--give-up-detached {detached}" in str(caught.value)
    refuse_detached(client, [detached], {detached.upper()})
    attach(client, questdb_server, detached)
    refuse_detached(client, [detached])
    assert live_tables(client, [detached], counts=True)[detached].row_count == 2


def _drop(client, name, **more):
    drop(client, name, **more)


def _retire(client, name, **more):
    retire(client, name, NOW, **more)


def _rebuild(client, name, **more):
    client.execute(f"ALTER TABLE {name} DEDUP DISABLE")
    client.wait_for(name)
    rebuild(client, declared(name), writers_stopped=True, **more)


def _trim(client, name, **more):
    trim(client, declared(name), "tag", ["b"], writers_stopped=True, **more)


DOINGS = {"drop": _drop, "retire": _retire, "rebuild": _rebuild, "trim": _trim}


@pytest.mark.core
@pytest.mark.parametrize("do", DOINGS.values(), ids=DOINGS)
def test_refused_until_given_up(client, detached, do):
    with pytest.raises(PlanRefused, match=r"2025-01 \(1 row\).*--give-up-detached"):
        do(client, detached)
    live = live_tables(client, [detached], counts=True)[detached]
    assert (live.row_count, live.detached) == (1, (Detached("2025-01", 1),))
    do(client, detached, give_up_detached={detached})
    assert not live_tables(client, [detached], counts=True).get(detached, live).detached or (
        do in (_drop, _retire) and detached not in live_tables(client, [detached])
    )


def test_an_empty_table_with_such_a_partition_is_not_dropped_as_empty(client, detached):
    client.execute(f"ALTER TABLE {detached} DROP PARTITION LIST '2025-02'")
    client.wait_for(detached)
    with pytest.raises(DetachedPartitions):
        retire(client, detached, NOW)
    assert detached in live_tables(client, [detached])


def test_what_a_killed_drop_left_is_looked_at_too(client, detached):
    client.execute(f"RENAME TABLE {detached} TO {dropping_name(detached)}")
    client.wait_for(dropping_name(detached))
    with pytest.raises(DetachedPartitions):
        drop(client, detached)
    assert drop(client, detached, give_up_detached=[detached])
    assert not live_tables(client, [detached, dropping_name(detached)])


def test_a_table_that_a_rebuild_kept(client, detached):
    client.execute(f"ALTER TABLE {detached} DEDUP DISABLE")
    client.wait_for(detached)
    assert not plan_rebuild(
        client, declared(detached), writers_stopped=True, give_up_detached=[detached]
    ).refusals
    done = rebuild(client, declared(detached), writers_stopped=True, give_up_detached=[detached])
    with pytest.raises(DetachedPartitions, match=f"--give-up-detached {done.kept_as}"):
        drop_old(client, detached, done.kept_as)
    assert drop_old(client, detached, done.kept_as, give_up_detached=[done.kept_as]) == 1


def test_many_are_counted_and_not_listed(client, name):
    ensure_table(client, declared(name))
    client.execute(
        f"INSERT INTO {name} SELECT dateadd('M', x::int, '2020-01-01'), 'a', x, 1.5"
        " FROM long_sequence(8)"
    )
    months = ", ".join(f"'2020-{month:02}'" for month in range(2, 8))
    client.execute(f"ALTER TABLE {name} DETACH PARTITION LIST {months}")
    client.wait_for(name)
    with pytest.raises(DetachedPartitions, match=r"2020-04 \(1 row\) and 3 more:"):
        drop(client, name)
