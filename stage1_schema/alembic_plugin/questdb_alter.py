"""Alembic operations that change a QuestDB table that stands.

Each says what one part of the table should be, makes a plan of questdb_ddl from that, and applies
it: a narrowing type, a deduplication key or Parquet partitions are refused before anything
changes, the change is waited for and read back, and a second run finds nothing to do.
"""

from __future__ import annotations

import logging
from typing import Any

from alembic.operations import MigrateOperation, Operations

from stage1_schema.alembic_plugin.questdb_ops import (
    QuestDBTarget,
    comment,
)
from stage1_schema.questdb import plain_questdb_errors

log = logging.getLogger("alembic.runtime.migration")


@Operations.register_operation("add_questdb_column")
@Operations.register_operation("retire_questdb_column")
class QuestDBColumnOp(MigrateOperation):
    """Add a column, or put one away."""

    def __init__(self, table: str, column: str, type_: str, *, retire: bool = False) -> None:
        """Keep the column and its type, such as `DOUBLE`."""
        self.table = table
        self.column = column
        self.type = type_
        self.retire = retire

    @classmethod
    def add_questdb_column(
        cls, operations: Operations, table: str, column: str, type_: str
    ) -> None:
        """Add a column; one of that name and type that stands is left. Raises QuestDBError."""
        operations.invoke(cls(table, column, type_))

    @classmethod
    def retire_questdb_column(
        cls, operations: Operations, table: str, column: str, type_: str
    ) -> None:
        """Drop a column without values, else rename it to `<column>_retired_<time>`.

        Raises QuestDBError for a deduplication key, and where the table has Parquet partitions.
        """
        operations.invoke(cls(table, column, type_, retire=True))

    def reverse(self) -> MigrateOperation:
        """Return the opposite."""
        return QuestDBColumnOp(self.table, self.column, self.type, retire=not self.retire)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        verb = "retire" if self.retire else "add"
        return (f"{verb}_questdb_column", self.table, self.column, self.type)


@Operations.register_operation("alter_questdb_column")
class AlterQuestDBColumnOp(MigrateOperation):
    """Widen a column's type, or change a symbol's capacity, cache or index."""

    def __init__(self, table: str, column: str, type_: str, *, existing: str) -> None:
        """Keep the type to have, and the one that stood."""
        self.table = table
        self.column = column
        self.type = type_
        self.existing = existing

    @classmethod
    def alter_questdb_column(
        cls, operations: Operations, table: str, column: str, type_: str, *, existing: str
    ) -> None:
        """Give a column a type that keeps every value of `existing`. Raises QuestDBError.

        On the way back a wider type stays, because narrowing would lose values.
        """
        operations.invoke(cls(table, column, type_, existing=existing))

    def reverse(self) -> MigrateOperation:
        """Return the opposite."""
        return AlterQuestDBColumnOp(self.table, self.column, self.existing, existing=self.type)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        changed = (self.table, self.column, self.type)
        return ("alter_questdb_column", *changed, {"existing": self.existing})


@Operations.register_operation("alter_questdb_table")
class AlterQuestDBTableOp(MigrateOperation):
    """Change a table's TTL, deduplication keys or WAL parameters."""

    def __init__(self, table: str, *, existing: dict[str, Any], **wanted: Any) -> None:  # noqa: ANN401 - plain data
        """Keep what should be, and what stood."""
        self.table = table
        self.existing = existing
        self.wanted = wanted

    @classmethod
    def alter_questdb_table(
        cls,
        operations: Operations,
        table: str,
        *,
        existing: dict[str, Any],
        **wanted: Any,  # noqa: ANN401 - plain data
    ) -> None:
        """Set `ttl_months`, `dedup_keys`, `max_uncommitted_rows` or `o3_max_lag_ms`.

        A shorter TTL deletes rows at once. Raises QuestDBError.
        """
        operations.invoke(cls(table, existing=existing, **wanted))

    def reverse(self) -> MigrateOperation:
        """Return the opposite."""
        return AlterQuestDBTableOp(self.table, existing=self.wanted, **self.existing)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        return ("alter_questdb_table", self.table, self.wanted | {"existing": self.existing})


@Operations.register_operation("rename_questdb_table")
class RenameQuestDBTableOp(MigrateOperation):
    """Rename a table."""

    def __init__(self, table: str, new: str) -> None:
        """Keep both names."""
        self.table = table
        self.new = new

    @classmethod
    def rename_questdb_table(cls, operations: Operations, table: str, new: str) -> None:
        """Rename a table; one that has the new name already is left. Raises QuestDBError.

        Rows sent by ILP over TCP that are not committed yet are lost: stop those writers first.
        """
        operations.invoke(cls(table, new))

    def reverse(self) -> MigrateOperation:
        """Return the opposite."""
        return RenameQuestDBTableOp(self.new, self.table)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        return ("rename_questdb_table", self.table, self.new)


Operation = QuestDBColumnOp | AlterQuestDBColumnOp | AlterQuestDBTableOp | RenameQuestDBTableOp


@Operations.implementation_for(QuestDBColumnOp)
@Operations.implementation_for(AlterQuestDBColumnOp)
@Operations.implementation_for(AlterQuestDBTableOp)
@Operations.implementation_for(RenameQuestDBTableOp)
def _invoke(operations: Operations, operation: Operation) -> None:
    from stage1_schema.alembic_plugin import questdb_changes  # noqa: PLC0415 - where a step runs

    context = operations.migration_context
    if context.as_sql:
        for statement in questdb_changes.statements(operation):
            comment(operations, statement)
        return
    target: QuestDBTarget = context.opts["questdb"]
    if target.skip:
        log.warning("QuestDB skipped: %s", " ".join(map(str, operation.to_diff_tuple())))
        return
    with plain_questdb_errors():
        done = questdb_changes.carry_out(target.client, operation)
    log.info("QuestDB table %s: %s", operation.table, "; ".join(done) or "nothing to do")
