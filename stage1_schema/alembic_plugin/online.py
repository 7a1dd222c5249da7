"""Operations that leave writers alone: indexes and unique names without a long lock.

Each runs outside the revision's transaction and is safe to repeat: what an interrupted run left is
removed or taken up. A revision holds one of them as its last step, or several that are repeatable
together. Inside a transaction of the caller's there is no way out of it: there they run plainly.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from stage1_schema.alembic_plugin import limits
from stage1_schema.alembic_plugin.verbatim import Verbatim, quoted
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.runtime.migration import MigrationContext

log = logging.getLogger("alembic.runtime.migration")

DUPLICATE = "23505"

_INDEX = text("""
SELECT i.indisvalid FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = :name AND n.nspname = current_schema()
""")
_ELSEWHERE = text("""
SELECT indrelid::regclass::text FROM pg_index
 WHERE indexrelid = to_regclass(:name) AND indrelid <> to_regclass(:table)
""")
_CONSTRAINT = text("""
SELECT c.convalidated FROM pg_constraint c
 WHERE c.conname = :name AND c.conrelid = to_regclass(:table)
""")


class NotUniqueError(Stage1Error):
    """Rows share a name that must be unique."""


@Operations.register_operation("create_index_online")
class CreateIndexOnlineOp(MigrateOperation):
    """Build an index while rows are written."""

    def __init__(
        self,
        name: str,
        table: str,
        columns: Sequence[str],
        *,
        unique: bool = False,
        where: str | None = None,
        using: str | None = None,
        include: Sequence[str] = (),
    ) -> None:
        """Keep the index; `columns` may be expressions, `where` is its predicate."""
        self.name = name
        self.table = table
        self.columns = tuple(columns)
        self.unique = unique
        self.where = where
        self.using = using
        self.include = tuple(include)

    @classmethod
    def create_index_online(
        cls,
        operations: Operations,
        name: str,
        table: str,
        columns: Sequence[str],
        *,
        unique: bool = False,
        where: str | None = None,
        using: str | None = None,
        include: Sequence[str] = (),
    ) -> None:
        """Build index `name` CONCURRENTLY; an INVALID one of that name is removed first.

        Raises NotUniqueError, and leaves no index, where `unique` and rows share a name.
        """
        more: dict[str, Any] = {"where": where, "using": using, "include": include}
        operations.invoke(cls(name, table, columns, unique=unique, **more))

    def statement(self, *, concurrently: bool = True) -> str:
        """Return the CREATE INDEX."""
        unique = "UNIQUE " if self.unique else ""
        how = "CONCURRENTLY " if concurrently else ""
        where = f" WHERE {self.where}" if self.where else ""
        using = f" USING {self.using}" if self.using else ""
        columns = ", ".join(self.columns)
        include = f" INCLUDE ({', '.join(map(quoted, self.include))})" if self.include else ""
        return (
            f"CREATE {unique}INDEX {how}IF NOT EXISTS {quoted(self.name)}"
            f" ON {quoted(self.table)}{using} ({columns}){include}{where}"
        )

    def reverse(self) -> MigrateOperation:
        """Return the operation that drops the index."""
        return DropIndexOnlineOp(self.name, self.table, self.columns, **self._more)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as a revision writes it."""
        return ("create_index_online", self.name, self.table, list(self.columns), self._more)

    @property
    def _more(self) -> dict[str, Any]:
        more = {
            "unique": self.unique,
            "where": self.where,
            "using": self.using,
            "include": self.include,
        }
        return {name: value for name, value in more.items() if value}


@Operations.register_operation("drop_index_online")
class DropIndexOnlineOp(MigrateOperation):
    """Drop an index while its table is read and written."""

    def __init__(
        self,
        name: str,
        table: str = "",
        columns: Sequence[str] = (),
        **more: Any,  # noqa: ANN401
    ) -> None:
        """Keep the name, and the rest for the way back."""
        self.name = name
        self.table = table
        self.columns = tuple(columns)
        self.more = more

    @classmethod
    def drop_index_online(
        cls,
        operations: Operations,
        name: str,
        table: str = "",
        columns: Sequence[str] = (),
        **more: Any,  # noqa: ANN401 - as for create_index_online
    ) -> None:
        """Drop index `name` CONCURRENTLY where it stands."""
        operations.invoke(cls(name, table, columns, **more))

    def reverse(self) -> MigrateOperation:
        """Return the operation that builds the index again."""
        return CreateIndexOnlineOp(self.name, self.table, self.columns, **self.more)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as a revision writes it."""
        return ("drop_index_online", self.name)


@Operations.register_operation("create_unique_online")
class CreateUniqueOnlineOp(MigrateOperation):
    """Make columns unique while rows are written."""

    def __init__(self, name: str, table: str, columns: Sequence[str]) -> None:
        """Keep the constraint."""
        self.name = name
        self.table = table
        self.columns = tuple(columns)

    @classmethod
    def create_unique_online(
        cls, operations: Operations, name: str, table: str, columns: Sequence[str]
    ) -> None:
        """Build a unique index CONCURRENTLY, then make constraint `name` of it in an instant.

        Raises NotUniqueError, and leaves neither, where rows share a name.
        """
        operations.invoke(cls(name, table, columns))

    def reverse(self) -> MigrateOperation:
        """Return the operation that drops the constraint."""
        return drop_constraint(self.name, self.table, "unique")

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as a revision writes it."""
        return ("create_unique_online", self.name, self.table, list(self.columns))


@Operations.implementation_for(CreateIndexOnlineOp)
def _create_index(operations: Operations, operation: CreateIndexOnlineOp) -> None:
    with outside(operations, "index") as alone:
        if operations.migration_context.as_sql:
            operations.execute(Verbatim(_offline_clean(operation.name)))
        elif (table := _elsewhere(operations, operation)) is not None:
            raise Stage1Error(
                f"{operation.name} is the name of an index of {table}.",
                next_step="rename or drop that one, and run the upgrade again.",
            )
        elif _valid(operations, operation.name) is False:
            log.info("Dropping the INVALID index %s that an earlier run left", operation.name)
            _drop(operations, operation.name, concurrently=alone)
        try:
            operations.execute(Verbatim(operation.statement(concurrently=alone)))
        except DBAPIError as error:
            _clean_up(operations, operation.name, error, alone=alone)
            if getattr(error.orig, "sqlstate", None) == DUPLICATE:
                raise _not_unique(operation, error) from error
            raise


@Operations.implementation_for(DropIndexOnlineOp)
def _drop_index(operations: Operations, operation: DropIndexOnlineOp) -> None:
    with outside(operations, "index") as alone:
        _drop(operations, operation.name, concurrently=alone)


@Operations.implementation_for(CreateUniqueOnlineOp)
def _create_unique(operations: Operations, operation: CreateUniqueOnlineOp) -> None:
    if validated(operations, operation.name, operation.table) is not None:
        return
    index = CreateIndexOnlineOp(operation.name, operation.table, operation.columns, unique=True)
    operations.invoke(index)
    name = quoted(operation.name)
    operations.execute(
        Verbatim(
            f"ALTER TABLE {quoted(operation.table)} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}"
        )
    )


@contextmanager
def outside(operations: Operations, kind: str) -> Iterator[bool]:
    """Run the block outside the transaction, within the time limits of `kind`.

    Gives False where a transaction of the caller's is open and cannot be left.
    """
    context = operations.migration_context
    bounds: limits.Limits = context.opts.get("limits") or limits.DEFAULT
    if nested(context):
        log.warning("Inside a transaction of its caller this runs plainly, and blocks writers")
        yield False
        return
    with context.autocommit_block():
        operations.execute(Verbatim(getattr(bounds, kind).sql))
        try:
            yield True
        finally:
            if not broken(context):
                operations.execute(Verbatim(bounds.ddl.sql))


def nested(context: MigrationContext) -> bool:
    """Tell whether the caller's own transaction is open."""
    return not context.as_sql and context._in_external_transaction  # noqa: SLF001 - no other way


def broken(context: MigrationContext) -> bool:
    """Tell whether there is no connection any more on which something could be put back."""
    return not context.as_sql and (
        context.connection is None or context.connection.invalidated or context.connection.closed
    )


def _valid(operations: Operations, name: str) -> bool | None:
    return operations.get_bind().execute(_INDEX, {"name": name}).scalar_one_or_none()


def _elsewhere(operations: Operations, operation: CreateIndexOnlineOp) -> str | None:
    """Return the other table that has an index of the name: IF NOT EXISTS would build none."""
    values = {"name": quoted(operation.name), "table": quoted(operation.table)}
    return operations.get_bind().execute(_ELSEWHERE, values).scalar_one_or_none()


def validated(operations: Operations, name: str, table: str) -> bool | None:
    """Return whether the constraint is validated; None where there is none, and in a script."""
    if operations.migration_context.as_sql:
        return None
    values = {"name": name, "table": quoted(table)}
    return operations.get_bind().execute(_CONSTRAINT, values).scalar_one_or_none()


def _drop(operations: Operations, name: str, *, concurrently: bool) -> None:
    how = "CONCURRENTLY " if concurrently else ""
    operations.execute(Verbatim(f"DROP INDEX {how}IF EXISTS {quoted(name)}"))


def _clean_up(operations: Operations, name: str, error: DBAPIError, *, alone: bool) -> None:
    """Remove what a failed build left; a lost connection leaves that to the next run."""
    if not alone or error.connection_invalidated:
        return
    try:
        if _valid(operations, name) is False:
            _drop(operations, name, concurrently=True)
    except OperationalError as again:
        log.warning("The INVALID index %s still stands, the next run removes it: %s", name, again)


def _not_unique(operation: CreateIndexOnlineOp, error: DBAPIError) -> NotUniqueError:
    detail = getattr(getattr(error.orig, "diag", None), "message_detail", None) or ""
    columns = ", ".join(operation.columns)
    return NotUniqueError(
        f"{operation.table} ({columns}) must be unique and is not: {detail} No index was left.",
        next_step=f"find them with SELECT {columns}, count(*) FROM {operation.table}"
        f" GROUP BY {columns} HAVING count(*) > 1, rename or delete what is not wanted, and run"
        " the upgrade again.",
    )


def _offline_clean(name: str) -> str:
    literal = name.replace("'", "''")
    return f"""DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('{quoted(literal)}')
                  AND NOT indisvalid) THEN
        DROP INDEX {quoted(name)};
    END IF;
END $$"""


def drop_constraint(name: str, table: str, kind: str) -> MigrateOperation:
    """Return the operation that drops a constraint where it stands."""
    from alembic.operations.ops import DropConstraintOp  # noqa: PLC0415 - only for autogenerate
    from sqlalchemy.sql.naming import conv  # noqa: PLC0415 - as above

    return DropConstraintOp(conv(name), table, kind, if_exists=True)
