"""NOT NULL without a long lock: SET NOT NULL reads no row behind a CHECK that is valid.

The manual's page of ALTER TABLE, PostgreSQL 12 and later. The CHECK is validated beside writers.
"""

from __future__ import annotations

from typing import Any

from alembic.operations import MigrateOperation, Operations, ops
from sqlalchemy import text

from stage1_schema.alembic_plugin.online import validated
from stage1_schema.alembic_plugin.online_constraints import AddCheckOnlineOp
from stage1_schema.alembic_plugin.verbatim import Verbatim, quoted

_NAME_LENGTH = 63
FILLED = """a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint n
    WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum]
      AND NOT n.convalidated)"""
"""Whether no row of the column `a` of pg_attribute is NULL: PostgreSQL 18 has NOT VALID ones."""
_FILLED = text(
    f"SELECT {FILLED} FROM pg_attribute a"
    " WHERE a.attrelid = to_regclass(:table) AND a.attname = :column"
)


@Operations.register_operation("set_not_null_online")
class SetNotNullOnlineOp(MigrateOperation):
    """Make a column NOT NULL while rows are written."""

    def __init__(self, table: str, column: str) -> None:
        """Keep the column."""
        self.table = table
        self.column = column

    @classmethod
    def set_not_null_online(cls, operations: Operations, table: str, column: str) -> None:
        """Add a CHECK NOT VALID, validate it, SET NOT NULL in an instant and drop the CHECK.

        Raises BrokenRowsError, and changes nothing, where a row has no value.
        """
        operations.invoke(cls(table, column))

    @property
    def check(self) -> AddCheckOnlineOp:
        """The CHECK that stands on the way."""
        name = f"stage1_not_null_{self.column}"[:_NAME_LENGTH]
        return AddCheckOnlineOp(name, self.table, f"{quoted(self.column)} IS NOT NULL")

    def reverse(self) -> MigrateOperation:
        """Return the operation that lets NULL in again."""
        return ops.AlterColumnOp(
            self.table, self.column, modify_nullable=True, existing_nullable=False
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as a revision writes it."""
        return ("set_not_null_online", self.table, self.column)


@Operations.implementation_for(SetNotNullOnlineOp)
def _set_not_null(operations: Operations, operation: SetNotNullOnlineOp) -> None:
    table, column = quoted(operation.table), quoted(operation.column)
    filled = _filled(operations, operation)
    if not filled:
        operations.invoke(operation.check)
        operations.execute(Verbatim(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL"))
    if not filled or validated(operations, operation.check.name, operation.table) is not None:
        name = quoted(operation.check.name)
        operations.execute(Verbatim(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))


def _filled(operations: Operations, operation: SetNotNullOnlineOp) -> bool:
    """Tell whether the column is NOT NULL already; not so in a script."""
    if operations.migration_context.as_sql:
        return False
    values = {"table": quoted(operation.table), "column": operation.column}
    return bool(operations.get_bind().execute(_FILLED, values).scalar_one_or_none())
