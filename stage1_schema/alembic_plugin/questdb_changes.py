"""What the operations on a standing QuestDB table do: one change of a declaration, applied."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from questdb_ddl import (
    Column,
    Hazard,
    Symbol,
    Table,
    apply,
    is_widening,
    live_tables,
    make_plan,
    parse_type,
    quote,
    render,
    retired_name,
)
from stage1_schema.alembic_plugin.questdb_alter import (
    AlterQuestDBColumnOp,
    AlterQuestDBTableOp,
    QuestDBColumnOp,
    RenameQuestDBTableOp,
)
from stage1_schema.errors import QuestDBError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from questdb_ddl import Client, LiveTable
    from stage1_schema.alembic_plugin.questdb_alter import Operation


def carry_out(client: Client, operation: Operation) -> tuple[str, ...]:
    """Make the change where it is not made yet, and return the statements that were run.

    Raises QuestDBError and questdb_ddl's errors; nothing is changed then.
    """
    if isinstance(operation, RenameQuestDBTableOp):
        return _rename(client, operation)
    found = live_tables(client, [operation.table], parquet=True).get(operation.table.lower())
    if found is None:
        raise QuestDBError(
            f"QuestDB has no table {operation.table}.",
            next_step="stage1 questdb apply, then run the same command again.",
        )
    if isinstance(operation, QuestDBColumnOp) and operation.retire:
        return _retire_column(client, operation, found)
    wanted = _wanted(operation, found.to_table())
    plan = make_plan([wanted], {found.name.lower(): found})
    # The revision says what it does; its hazards were seen when it was written and planned.
    return tuple(step.sql for step in apply(client, plan, allow=list(Hazard)))


def _wanted(operation: Operation, table: Table) -> Table:
    """Return what the table should be, as a declaration."""
    if isinstance(operation, AlterQuestDBTableOp):
        keys = operation.wanted.get("dedup_keys")
        changes = operation.wanted | ({} if keys is None else {"dedup_keys": tuple(keys)})
        return replace(table, **changes)
    if isinstance(operation, RenameQuestDBTableOp):
        return table
    new = Column(operation.column, parse_type(operation.type))
    stands = table.column(new.name)
    if stands is None:
        return replace(table, columns=(*table.columns, new))
    if is_widening(new.type, stands.type) or _is_larger(stands.type, new.type):
        return table  # the way back of a widening: the wider one holds everything
    columns = tuple(new if column is stands else column for column in table.columns)
    return replace(table, columns=columns)


def _is_larger(live: object, wanted: object) -> bool:
    if not isinstance(live, Symbol) or not isinstance(wanted, Symbol):
        return False
    return live == replace(wanted, capacity=live.capacity) and (live.capacity or 0) >= (
        wanted.capacity or 0
    )


def _retire_column(client: Client, operation: QuestDBColumnOp, found: LiveTable) -> tuple[str, ...]:
    column = found.column(operation.column)
    if column is None:
        return ()
    if column.name in (*found.dedup_keys, found.designated_timestamp):
        raise QuestDBError(
            f"{found.name}.{column.name} is a deduplication key: without it rows would be lost.",
            next_step="rebuild the table to change its keys.",
        )
    if found.has_parquet:
        raise QuestDBError(
            f"The table {found.name} has Parquet partitions, and altering it can stop the server.",
            next_step="convert the partitions to native first.",
        )
    kept = retired_name(column.name, datetime.now(UTC))
    client.execute(render.rename_column(found.name, column.name, kept))
    client.wait_for(found.name)
    values = client.query(f"SELECT count({quote(kept)}) n FROM {quote(found.name)}")[0]["n"]
    if values:
        return (render.rename_column(found.name, column.name, kept),)
    client.execute(render.drop_column(found.name, kept))
    client.wait_for(found.name)
    return (render.drop_column(found.name, column.name),)


def _rename(client: Client, operation: RenameQuestDBTableOp) -> tuple[str, ...]:
    live = live_tables(client, [operation.table, operation.new])
    if operation.table.lower() not in live and operation.new.lower() in live:
        return ()
    statement = render.rename_table(operation.table, operation.new)
    client.wait_for(operation.table)
    client.execute(statement)
    client.wait_for(operation.new)
    return (statement,)


def statements(operation: Operation) -> Iterator[str]:
    """Yield the statements for a script, which cannot look at the server."""
    name = operation.table
    if isinstance(operation, RenameQuestDBTableOp):
        yield render.rename_table(name, operation.new)
    elif isinstance(operation, QuestDBColumnOp) and operation.retire:
        kept = retired_name(operation.column, datetime.now(UTC))
        yield render.rename_column(name, operation.column, kept)
    elif isinstance(operation, QuestDBColumnOp):
        yield render.add_column(name, Column(operation.column, parse_type(operation.type)))
    elif isinstance(operation, AlterQuestDBColumnOp):
        yield from _column_statements(operation)
    else:
        yield from _table_statements(operation)


def _column_statements(operation: AlterQuestDBColumnOp) -> Iterator[str]:
    name, column = operation.table, operation.column
    old, new = parse_type(operation.existing), parse_type(operation.type)
    if not isinstance(new, Symbol) or not isinstance(old, Symbol):
        if is_widening(old, new):
            yield render.alter_column_type(name, column, new)
        return
    if new.capacity and (new.capacity > (old.capacity or 0)):
        yield render.symbol_capacity(name, column, new.capacity)
    if new.cache != old.cache:
        yield from render.symbol_cache(name, column, cache=new.cache)
    if new.index != old.index:
        yield (
            render.add_index(name, column, new.index_capacity)
            if new.index
            else render.drop_index(name, column)
        )


def _table_statements(operation: AlterQuestDBTableOp) -> Iterator[str]:
    name, wanted = operation.table, operation.wanted
    if "ttl_months" in wanted:
        yield render.set_ttl(name, wanted["ttl_months"])
    if keys := wanted.get("dedup_keys"):
        yield render.dedup_enable(name, keys)
    elif keys is not None:
        yield render.dedup_disable(name)
    if rows := wanted.get("max_uncommitted_rows"):
        yield render.set_max_uncommitted_rows(name, rows)
    if lag := wanted.get("o3_max_lag_ms"):
        yield render.set_o3_max_lag(name, lag)
