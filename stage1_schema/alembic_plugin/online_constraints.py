"""Checks and foreign keys without a long lock: NOT VALID in an instant, then VALIDATE.

Validation reads the rows that stand while others write, outside the revision's transaction; it is
safe to repeat. A row that breaks the constraint stops it: it then holds for new rows only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations, ops

from stage1_schema.alembic_plugin.online import drop_constraint, outside, validated
from stage1_schema.alembic_plugin.verbatim import Verbatim, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence


@Operations.register_operation("add_check_online")
class AddCheckOnlineOp(MigrateOperation):
    """Add a CHECK while rows are written."""

    def __init__(self, name: str, table: str, condition: str) -> None:
        """Keep the constraint and its SQL `condition`."""
        self.name = name
        self.table = table
        self.condition = condition

    @classmethod
    def add_check_online(
        cls, operations: Operations, name: str, table: str, condition: str
    ) -> None:
        """Add CHECK `name` NOT VALID in an instant, then validate the rows that stand."""
        operations.invoke(cls(name, table, condition))

    @property
    def definition(self) -> str:
        """What follows the constraint's name."""
        return f"CHECK ({self.condition})"

    def reverse(self) -> MigrateOperation:
        """Return the operation that drops the constraint."""
        return drop_constraint(self.name, self.table, "check")

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as a revision writes it."""
        return ("add_check_online", self.name, self.table, self.condition)


@Operations.register_operation("add_foreign_key_online")
class AddForeignKeyOnlineOp(MigrateOperation):
    """Add a foreign key while rows of both tables are written."""

    def __init__(
        self,
        name: str,
        table: str,
        columns: Sequence[str],
        *,
        referred: str,
        referred_columns: Sequence[str],
        **actions: str,
    ) -> None:
        """Keep the constraint; `actions` are `onupdate` and `ondelete`."""
        self.name = name
        self.table = table
        self.columns = tuple(columns)
        self.referred = referred
        self.referred_columns = tuple(referred_columns)
        self.actions = actions

    @classmethod
    def add_foreign_key_online(
        cls,
        operations: Operations,
        name: str,
        table: str,
        columns: Sequence[str],
        *,
        referred: str,
        referred_columns: Sequence[str],
        **actions: str,
    ) -> None:
        """Add foreign key `name` NOT VALID in an instant, then validate the rows that stand.

        `actions` are `onupdate` and `ondelete`, such as `CASCADE`.
        """
        other: dict[str, Any] = {"referred": referred, "referred_columns": referred_columns}
        operations.invoke(cls(name, table, columns, **other, **actions))

    @property
    def definition(self) -> str:
        """What follows the constraint's name."""
        own, other = (
            ", ".join(map(quoted, each)) for each in (self.columns, self.referred_columns)
        )
        actions = "".join(
            f" ON {name.removeprefix('on').upper()} {action}"
            for name, action in sorted(self.actions.items())
        )
        return f"FOREIGN KEY ({own}) REFERENCES {quoted(self.referred)} ({other}){actions}"

    def reverse(self) -> MigrateOperation:
        """Return the operation that drops the constraint."""
        return drop_constraint(self.name, self.table, "foreignkey")

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as a revision writes it."""
        other = {"referred": self.referred, "referred_columns": list(self.referred_columns)}
        own = (self.name, self.table, list(self.columns))
        return ("add_foreign_key_online", *own, {**other, **self.actions})


@Operations.register_operation("validate_online")
class ValidateOnlineOp(MigrateOperation):
    """Validate a constraint while rows are written."""

    def __init__(self, name: str, table: str) -> None:
        """Keep the constraint's name and its table."""
        self.name = name
        self.table = table

    @classmethod
    def validate_online(cls, operations: Operations, name: str, table: str) -> None:
        """Validate constraint `name`, which stands NOT VALID, against the rows that stand."""
        operations.invoke(cls(name, table))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as a revision writes it."""
        return ("validate_online", self.name, self.table)


class Unvalidated:
    """Marks what a revision adds for new rows only: the one behind it validates."""


class AddCheckUnvalidatedOp(Unvalidated, ops.CreateCheckConstraintOp):
    """Add a CHECK that the next revision validates."""


class AddForeignKeyUnvalidatedOp(Unvalidated, ops.CreateForeignKeyOp):
    """Add a foreign key that the next revision validates."""


def unvalidated(operation: MigrateOperation) -> MigrateOperation:
    """Return the same operation without validation; itself where there is none to leave out."""
    if isinstance(operation, ops.CreateCheckConstraintOp):
        kw = {**operation.kw, "postgresql_not_valid": True}
        condition: Any = operation.condition
        return AddCheckUnvalidatedOp(
            operation.constraint_name, operation.table_name, condition, **kw
        )
    if isinstance(operation, ops.CreateForeignKeyOp):
        kw = {**operation.kw, "postgresql_not_valid": True}
        ends = (operation.source_table, operation.referent_table)
        columns = (operation.local_cols, operation.remote_cols)
        return AddForeignKeyUnvalidatedOp(operation.constraint_name, *ends, *columns, **kw)
    return operation


@Operations.implementation_for(AddCheckOnlineOp)
@Operations.implementation_for(AddForeignKeyOnlineOp)
def _add(operations: Operations, operation: AddCheckOnlineOp | AddForeignKeyOnlineOp) -> None:
    found = validated(operations, operation.name, operation.table)
    if found is None:
        table, name = quoted(operation.table), quoted(operation.name)
        statement = f"ALTER TABLE {table} ADD CONSTRAINT {name} {operation.definition} NOT VALID"
        operations.execute(Verbatim(statement))
    if found is not True:
        operations.invoke(ValidateOnlineOp(operation.name, operation.table))


@Operations.implementation_for(ValidateOnlineOp)
def _validate(operations: Operations, operation: ValidateOnlineOp) -> None:
    table, name = quoted(operation.table), quoted(operation.name)
    with outside(operations, "validate"):
        operations.execute(Verbatim(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"))
