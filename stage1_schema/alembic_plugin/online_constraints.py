"""Checks and foreign keys without a long lock: NOT VALID in an instant, then VALIDATE.

Validation reads the rows that stand while others write, outside the revision's transaction; it is
safe to repeat. They are read before as well: a row that breaks the constraint stops it with nothing
changed, for one that is NOT VALID would refuse new rows already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations, ops

from stage1_schema.alembic_plugin.online import drop_constraint, outside, validated
from stage1_schema.alembic_plugin.verbatim import Verbatim, quoted
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Sequence


class BrokenRowsError(Stage1Error):
    """A row that stands breaks the constraint that was to be added."""


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
        """Add CHECK `name` NOT VALID in an instant, then validate the rows that stand.

        Raises BrokenRowsError, and changes nothing, where one of them breaks it.
        """
        operations.invoke(cls(name, table, condition))

    @property
    def definition(self) -> str:
        """What follows the constraint's name."""
        return f"CHECK ({self.condition})"

    @property
    def broken(self) -> str:
        """The condition of a row that breaks it."""
        return f"NOT ({self.condition})"

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

        `actions` are `onupdate` and `ondelete`, such as `CASCADE`. Raises BrokenRowsError, and
        changes nothing, where a row refers to none.
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

    @property
    def broken(self) -> str:
        """The condition of a row that breaks it."""
        own = [f"{quoted(self.table)}.{quoted(each)}" for each in self.columns]
        other = [f"_referred.{quoted(each)}" for each in self.referred_columns]
        given = " AND ".join(f"{each} IS NOT NULL" for each in own)
        same = " AND ".join(map(" = ".join, zip(other, own, strict=True)))
        table = quoted(self.referred)
        return f"{given} AND NOT EXISTS (SELECT FROM {table} AS _referred WHERE {same})"

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
        _refuse_broken(operations, operation)
        table, name = quoted(operation.table), quoted(operation.name)
        statement = f"ALTER TABLE {table} ADD CONSTRAINT {name} {operation.definition} NOT VALID"
        operations.execute(Verbatim(statement))
    if found is not True:
        operations.invoke(ValidateOnlineOp(operation.name, operation.table))


def _refuse_broken(
    operations: Operations, operation: AddCheckOnlineOp | AddForeignKeyOnlineOp
) -> None:
    if operations.migration_context.as_sql:
        return
    query = f"SELECT * FROM {quoted(operation.table)} WHERE {operation.broken}"
    with outside(operations, "validate"):
        found = operations.get_bind().execute(Verbatim(f"{query} LIMIT 1")).first()
    if found is not None:
        raise BrokenRowsError(
            f"{operation.table} has rows that break {operation.name}, {operation.definition}."
            " It was not added.",
            next_step=f"find them with {query}, mend them, and run the upgrade again.",
        )


@Operations.implementation_for(ValidateOnlineOp)
def _validate(operations: Operations, operation: ValidateOnlineOp) -> None:
    table, name = quoted(operation.table), quoted(operation.name)
    with outside(operations, "validate"):
        operations.execute(Verbatim(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"))
