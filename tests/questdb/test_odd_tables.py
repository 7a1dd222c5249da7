"""One odd table blinds nothing: it says why it cannot be read, and the others are read."""

from datetime import UTC, datetime

import pytest

from questdb_ddl import (
    Column,
    DeclarationError,
    Long,
    RetireAction,
    Symbol,
    Table,
    apply,
    compare,
    drop,
    ensure_table,
    live_tables,
    plan_for,
    retire,
)
from tests.questdb.odd import BROKEN, LARGE, STEERING, UNREAD, odd_tables

COLUMNS = (Column("tag", Symbol()), Column("n", Long()))


@pytest.fixture
def odd(client, questdb_server):
    with odd_tables(client, questdb_server.directory):
        yield


@pytest.mark.core
@pytest.mark.parametrize("options", [{"counts": True}, {"parquet": True}, {}], ids=str)
def test_everything_else_is_read(client, name, odd, options):
    ensure_table(client, Table(name, COLUMNS))
    client.execute(f"INSERT INTO {name} VALUES ('2025-01-01', 'a', 1)")
    client.wait_for(name)
    live = live_tables(client, **options)
    assert [c.name for c in live[name].columns] == ["timestamp", "tag", "n"]
    assert live[name].unread is None
    unread = {each: live[each].unread for each in live if live[each].unread}
    expected = UNREAD if options.get("counts") else {STEERING: UNREAD[STEERING]}
    assert set(unread) == set(expected)
    for each, why in expected.items():
        assert why in unread[each]
    if options.get("counts"):
        assert (live[name].row_count, live[BROKEN].has_parquet) == (1, None)
    assert live[BROKEN].columns
    assert not live[STEERING].columns


def test_a_large_symbol_is_reported_as_it_is_and_not_declared(client, odd):
    if client.version_numbers() < (9,):
        pytest.skip("QuestDB 8.2 cannot have one")
    live = live_tables(client, [LARGE])[LARGE]
    assert str(live.column("tag").type) == "SYMBOL CAPACITY 67108864"
    assert compare(Table(LARGE, COLUMNS), live).equal
    with pytest.raises(DeclarationError, match=f"The table {LARGE} cannot be declared: A symbol's"):
        live.to_table()


def test_plans_of_the_others_are_made_and_carried_out(client, name, odd):
    declared = [Table(name, COLUMNS), Table(BROKEN, (*COLUMNS, Column("m", Long())))]
    plan = plan_for(client, declared)
    assert [step.table for step in plan.steps] == [name, BROKEN]  # its structure can be read
    apply(client, plan_for(client, declared[:1]))
    assert name in live_tables(client, [name])


def test_what_cannot_be_counted_is_kept_and_not_dropped_as_empty(client, odd):
    done = retire(client, BROKEN, datetime(2025, 3, 1, tzinfo=UTC))
    assert done.action is RetireAction.RENAMED
    assert drop(client, done.kept_as)


def test_a_structure_that_cannot_be_read_is_skipped_by_name(client, odd):
    live = live_tables(client)[STEERING]
    assert "cannot be read: The name" in compare(Table("x", COLUMNS), live).skipped
    with pytest.raises(DeclarationError, match="cannot be read: The name"):
        live.to_table()


def test_halves_find_one_among_many(client, name, odd):
    names = [f"{name}_{number}" for number in range(120)]
    for each in names:
        ensure_table(client, Table(each, ()))
    live = live_tables(client, counts=True)
    assert [live[each].row_count for each in names] == [0] * 120
    assert live[BROKEN].unread
