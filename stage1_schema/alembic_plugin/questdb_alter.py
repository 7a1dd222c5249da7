"""Alembic operations that change a QuestDB table that stands.

Each says what one part of the table should be, makes a plan of questdb_ddl from that, and applies
it: a narrowing type, a deduplication key or Parquet partitions are refused before anything
changes, the change is waited for and read back, and a second run finds nothing to do.
"""

from __future__ import annotations

from typing import Any, Literal

from alembic.operations import MigrateOperation, Operations

from stage1_schema.alembic_plugin.questdb_ops import run


@Operations.register_operation("add_questdb_column")
@Operations.register_operation("retire_questdb_column")
@Operations.register_operation("restore_questdb_column")
class QuestDBColumnOp(MigrateOperation):
    """Add a column, put one away, or take it back."""

    def __init__(
        self,
        table: str,
        column: str,
        type_: str,
        verb: Literal["add", "retire", "restore"] = "add",
    ) -> None:
        """Keep the column and its type, such as `DOUBLE`."""
        self.table = table
        self.column = column
        self.type = type_
        self.verb = verb

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
        operations.invoke(cls(table, column, type_, "retire"))

    @classmethod
    def restore_questdb_column(
        cls, operations: Operations, table: str, column: str, type_: str
    ) -> None:
        """Give the column that was retired last its name back; add it where none is kept.

        Raises QuestDBError.
        """
        operations.invoke(cls(table, column, type_, "restore"))

    def reverse(self) -> MigrateOperation:
        """Return the opposite."""
        verb: Literal["retire", "restore"] = "restore" if self.verb == "retire" else "retire"
        return QuestDBColumnOp(self.table, self.column, self.type, verb)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        return (f"{self.verb}_questdb_column", self.table, self.column, self.type)


@Operations.register_operation("alter_questdb_column")
class AlterQuestDBColumnOp(MigrateOperation):
    """Widen a column's type, or change a symbol's capacity, cache or index."""

    def __init__(
        self, table: str, column: str, type_: str, *, existing: str, keep_wider: bool = False
    ) -> None:
        """Keep the type to have, and the one that stood."""
        self.table = table
        self.column = column
        self.type = type_
        self.existing = existing
        self.keep_wider = keep_wider

    @classmethod
    def alter_questdb_column(
        cls,
        operations: Operations,
        table: str,
        column: str,
        type_: str,
        *,
        existing: str,
        keep_wider: bool = False,
    ) -> None:
        """Give a column a type that keeps every value of `existing`. Raises QuestDBError.

        With `keep_wider`, for the way back, a column that is wider stays as it is, because
        narrowing would lose values.
        """
        operations.invoke(cls(table, column, type_, existing=existing, keep_wider=keep_wider))

    def reverse(self) -> MigrateOperation:
        """Return the opposite."""
        return AlterQuestDBColumnOp(
            self.table,
            self.column,
            self.existing,
            existing=self.type,
            keep_wider=not self.keep_wider,
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        named: dict[str, Any] = {"existing": self.existing}
        if self.keep_wider:
            named["keep_wider"] = True
        return ("alter_questdb_column", self.table, self.column, self.type, named)


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


Alteration = QuestDBColumnOp | AlterQuestDBColumnOp | AlterQuestDBTableOp | RenameQuestDBTableOp


@Operations.implementation_for(QuestDBColumnOp)
@Operations.implementation_for(AlterQuestDBColumnOp)
@Operations.implementation_for(AlterQuestDBTableOp)
@Operations.implementation_for(RenameQuestDBTableOp)
def _invoke(operations: Operations, operation: Alteration) -> None:
    run(operations, operation, operation.table)
