"""Which tables, columns, constraints and indexes the operations of a revision touch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy.dialects.postgresql.base import PGDialect

from stage1_schema.alembic_plugin.alter import AlterOp, CommentOp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from alembic.operations.ops import MigrateOperation, OpContainer

    Key = tuple[str, str]

_PREPARER: Any = PGDialect().identifier_preparer  # type: ignore[no-untyped-call]


def roots(container: OpContainer) -> Iterator[Key]:
    """Yield (table, column) of every column that changes its type or goes; `*` for a table."""
    for each in flat(container):
        if isinstance(each, ops.DropTableOp):
            yield each.table_name, "*"
        elif isinstance(each, ops.DropColumnOp) or (
            isinstance(each, ops.AlterColumnOp) and each.modify_type is not None
        ):
            yield each.table_name, each.column_name
        elif isinstance(each, AlterOp) and each.column is not None:
            yield each.table, each.column


def seen(container: OpContainer) -> tuple[set[Key], set[Key]]:
    """Return (table, name) of the columns, and of the constraints and indexes, that are touched.

    `*` is the name for a table that is made or dropped.
    """
    found = list(flat(container))
    columns, parts = ({key for each in found for key in kind(each)} for kind in (_columns, _parts))
    return columns, parts


def take_out(
    container: OpContainer, columns: Collection[Key] = (), parts: Collection[Key] = ()
) -> None:
    """Take out what would be done with columns, and with constraints and indexes."""
    remove(
        container,
        lambda each: (
            not {*_columns(each)}.isdisjoint(columns) or not {*_parts(each)}.isdisjoint(parts)
        ),
    )


def take_out_tables(container: OpContainer, names: Collection[str]) -> None:
    """Take out all that would be done with some tables."""
    remove(container, lambda each: _table(each) in names)


def remove(container: OpContainer, gone: Callable[[MigrateOperation], bool]) -> None:
    """Remove operations, and what holds none any more."""
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            remove(each, gone)
    container.ops[:] = [
        each
        for each in container.ops
        if (each.ops if isinstance(each, ops.ModifyTableOps) else not gone(each))
    ]


def flat(container: OpContainer) -> Iterator[MigrateOperation]:
    """Yield the operations, without what holds them."""
    for each in container.ops:
        if isinstance(each, ops.OpContainer):
            yield from flat(each)
        else:
            yield each


def _table(operation: MigrateOperation) -> str:
    each: Any = operation
    return str(getattr(each, "table_name", None) or getattr(each, "source_table", None) or "")


def _columns(operation: MigrateOperation) -> Iterator[Key]:
    yield from _whole(operation)
    if isinstance(operation, ops.AddColumnOp):
        yield operation.table_name, operation.column.name
    elif isinstance(operation, ops.AlterColumnOp | ops.DropColumnOp):
        yield operation.table_name, operation.column_name


def _parts(operation: MigrateOperation) -> Iterator[Key]:
    yield from _whole(operation)
    if isinstance(operation, CommentOp):
        yield operation.key
    each: Any = operation
    table = _table(operation)
    if isinstance(each, ops.AddConstraintOp):
        # PostgreSQL cuts a long one
        name = _PREPARER.format_constraint(each.to_constraint())
        yield table, (name or "").strip('"')
    for attribute in ("constraint_name", "index_name"):
        if table and (name := getattr(each, attribute, None)):
            yield table, str(name)


def _whole(operation: MigrateOperation) -> Iterator[Key]:
    if isinstance(operation, ops.CreateTableOp | ops.DropTableOp):
        yield operation.table_name, "*"
