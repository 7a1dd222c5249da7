"""Pending QuestDB operations against the tables that stand, so that a refusal comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from questdb_ddl import (
    LiveColumn,
    LiveTable,
    Table,
    compare,
    live_tables,
    make_plan,
    parse_type,
    unseen,
)
from questdb_ddl.plan import unfinished_rebuild
from questdb_ddl.rebuild_names import in_the_way
from stage1_schema.alembic_plugin.questdb_alter import (
    AlterQuestDBColumnOp,
    AlterQuestDBTableOp,
    QuestDBColumnOp,
    RenameQuestDBTableOp,
)
from stage1_schema.alembic_plugin.questdb_changes import missing, refuse_retirement, wanted
from stage1_schema.alembic_plugin.questdb_obstacles import Obstacle, obstructed
from stage1_schema.alembic_plugin.questdb_ops import CreateQuestDBTableOp, RetireQuestDBTableOp
from stage1_schema.errors import QuestDBError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from questdb_ddl import Client
    from stage1_schema.alembic_plugin.questdb_alter import Alteration
    from stage1_schema.alembic_plugin.questdb_changes import Operation


def check(client: Client, operations: Iterable[Operation]) -> tuple[tuple[str, ...], ...]:
    """Raise for the operations that would be refused as the tables are; changes nothing.

    Each is looked at after those before it. Returns the materialized views that each invalidates.
    Raises QuestDBError and questdb_ddl's errors: for every
    table that a revision would create and that differs, else for the first other refusal.
    """
    pending = tuple(operations)
    names = tables_of(pending)
    wanted = [name for each in names for name in (each, *in_the_way(each))]
    tables = live_tables(client, wanted, parquet=True) if names else {}
    differing: dict[str, Obstacle] = {}
    refused: QuestDBError | None = None
    views = []
    for operation in pending:
        views.append(_invalidated(operation, tables))
        if isinstance(operation, CreateQuestDBTableOp):
            if found := _foresee_creation(operation, tables):
                differing.setdefault(operation.name, found)
        elif refused is None:
            try:
                _foresee(operation, tables)
            except QuestDBError as error:
                refused = error
    if differing:
        raise obstructed(client, differing.values())
    if refused:
        raise refused
    return tuple(views)


def _invalidated(operation: Operation, tables: dict[str, LiveTable]) -> tuple[str, ...]:
    found = tables.get(_tables(operation)[0].lower())
    if found is None or not found.views:
        return ()
    if isinstance(operation, QuestDBColumnOp) and operation.verb == "add":
        return ()
    if isinstance(operation, AlterQuestDBTableOp | CreateQuestDBTableOp):
        return ()
    if isinstance(operation, AlterQuestDBColumnOp):
        column = found.column(operation.column)
        same = column is not None and type(column.type) is type(parse_type(operation.type))
        return () if same else found.views
    return found.views


def tables_of(operations: Iterable[Operation]) -> tuple[str, ...]:
    """Return the names of the tables that the operations name, each once."""
    return tuple(dict.fromkeys(name for each in operations for name in _tables(each)))


def _tables(operation: Operation) -> tuple[str, ...]:
    if isinstance(operation, RenameQuestDBTableOp):
        return (operation.table, operation.new)
    if isinstance(operation, CreateQuestDBTableOp | RetireQuestDBTableOp):
        return (operation.name,)
    return (operation.table,)


def _foresee(operation: RetireQuestDBTableOp | Alteration, tables: dict[str, LiveTable]) -> None:
    """Make the change in `tables` alone."""
    name = _tables(operation)[0]
    found = tables.get(name.lower())
    if isinstance(operation, RetireQuestDBTableOp):
        if hidden := found and unseen(found):
            raise QuestDBError(
                f"{hidden}.",
                next_step="attach them, or drop the table by itself: stage1 questdb drop "
                f"{name} --give-up-detached {name} --confirm {name}.",
            )
        tables.pop(name.lower(), None)
    elif isinstance(operation, RenameQuestDBTableOp):
        _foresee_rename(found, operation, tables)
    elif found is None:
        raise missing(name)
    elif isinstance(operation, QuestDBColumnOp) and operation.verb == "retire":
        if (column := found.column(operation.column)) is not None:
            refuse_retirement(found, column.name)
            columns = tuple(each for each in found.columns if each is not column)
            tables[name.lower()] = replace(found, columns=columns)
    else:
        table = wanted(operation, found.to_table())
        if refusals := make_plan([table], {name.lower(): found}).refusals:
            raise QuestDBError(
                f"{'; '.join(map(str, refusals))}.",
                next_step="take the change out of the revision, or rebuild the table.",
            )
        tables[name.lower()] = _altered(found, table)


def _foresee_creation(
    operation: CreateQuestDBTableOp, tables: dict[str, LiveTable]
) -> Obstacle | None:
    """Make the table in `tables` alone; return what stands in its place where that differs."""
    name, table = operation.name.lower(), operation.table
    if name not in tables:
        if made := unfinished_rebuild(operation.name, tables):
            return Obstacle(table, None, f"{made} has its rows, a rebuild of it is unfinished")
        new = LiveTable(operation.name, row_count=0, has_parquet=False)
        tables[name] = _altered(new, table)
    comparison = compare(table, tables[name])
    return None if comparison.equal else Obstacle(table, tables[name], str(comparison))


def _foresee_rename(
    found: LiveTable | None, operation: RenameQuestDBTableOp, tables: dict[str, LiveTable]
) -> None:
    new = operation.new.lower()
    if found is None and new not in tables:
        raise missing(operation.table)
    if found is not None and new in tables:
        raise QuestDBError(
            f"QuestDB has both tables, {operation.table} and {operation.new}.",
            next_step="move the rows of one into the other, and drop it.",
        )
    if found is not None:
        tables[new] = replace(tables.pop(found.name.lower()), name=operation.new)


def _altered(found: LiveTable, table: Table) -> LiveTable:
    return replace(
        found,
        columns=tuple(LiveColumn(each.name, each.type) for each in table.columns),
        designated_timestamp=table.designated_timestamp,
        partition_by=table.partition_by,
        ttl_value=table.ttl_months or 0,
        ttl_unit="MONTH",
        wal=table.wal,
        max_uncommitted_rows=table.max_uncommitted_rows,
        o3_max_lag_ms=table.o3_max_lag_ms,
        dedup_keys=table.dedup_keys,
    )
