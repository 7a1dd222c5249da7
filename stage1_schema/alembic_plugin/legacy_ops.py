"""Operations of the reset revision: take over what stood before, and put tables away.

Rows are never dropped unasked. `-x legacy=archive` moves what stood to a schema of its own,
`-x legacy=drop` deletes it; without either, rows stop the revision.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations

from stage1_schema.alembic_plugin import standing
from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("alembic.runtime.migration")

LEGACY_SCHEMA = "stage1_legacy"
RETIRED_SCHEMA = "stage1_retired"


class LegacyError(Stage1Error):
    """Tables of an earlier Stage1 stand in the way."""


@Operations.register_operation("take_over_legacy")
class TakeOverLegacyOp(MigrateOperation):
    """Make room in `public` for the tables of this project."""

    @classmethod
    def take_over_legacy(cls, operations: Operations) -> None:
        """Drop what stood where it is empty; with rows, do as `-x legacy=` says or stop.

        Raises LegacyError, with every table and its row count, when rows stand and nothing was
        said, or when a DROP would take objects of other software along.
        """
        operations.invoke(cls())

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` would print."""
        return ("take_over_legacy",)


@Operations.register_operation("retire_tables")
class RetireTablesOp(MigrateOperation):
    """Put tables away on a downgrade."""

    def __init__(self, names: Sequence[str]) -> None:
        """Keep the `names` of the tables, children first."""
        self.names = tuple(names)

    @classmethod
    def retire_tables(cls, operations: Operations, *names: str) -> None:
        """Drop the tables if all are empty; else move them to `stage1_retired_<date>`."""
        operations.invoke(cls(names))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` would print."""
        return ("retire_tables", *self.names)


@Operations.implementation_for(TakeOverLegacyOp)
def _take_over(operations: Operations, _: TakeOverLegacyOp) -> None:
    context = operations.migration_context
    if context.as_sql:
        operations.execute(Verbatim(_offline_guard(standing.TABLES)))
        return
    connection = operations.get_bind()
    found = standing.look(connection, lock=True)
    policy = context.opts.get("legacy")
    if found.rows and policy is None:
        raise LegacyError(
            f"Tables of an earlier Stage1 hold rows: {standing.listing(found.tables)}."
            " Nothing was changed.",
            next_step="run again with -x legacy=archive (moves them to a schema of their own)"
            " or -x legacy=drop (deletes them).",
        )
    if found.mentions:
        log.warning("Other software mentions these tables: %s", standing.listing(found.mentions))
    if policy == "archive" and found.tables:
        schema = standing.move(connection, found, LEGACY_SCHEMA)
        log.info("Moved to schema %s: %s", schema, standing.listing(found.tables))
        return
    _refuse_dependents(found)
    standing.drop(connection, found)
    if found.tables:
        log.info("Dropped %s", standing.listing(found.tables))


@Operations.implementation_for(RetireTablesOp)
def _retire(operations: Operations, operation: RetireTablesOp) -> None:
    if operations.migration_context.as_sql:
        operations.execute(Verbatim(_offline_rows_guard(operation.names)))
        for name in operation.names:
            operations.drop_table(name)
        return
    connection = operations.get_bind()
    found = standing.look(connection, lock=True)
    if found.rows:
        schema = standing.move(connection, found, RETIRED_SCHEMA)
        log.warning("Rows stand, so moved to schema %s: %s", schema, standing.listing(found.tables))
        return
    _refuse_dependents(found)
    standing.drop(connection, found)


def _refuse_dependents(found: standing.Standing) -> None:
    if found.dependents:
        raise LegacyError(
            f"Other software built on the tables: {standing.listing(found.dependents)}."
            " Nothing was changed.",
            next_step="drop or move these first, or run again with -x legacy=archive"
            " (they then follow the moved tables).",
        )


def _offline_guard(names: Sequence[str]) -> str:
    """Return SQL that stops a script where any of the tables stands: a script cannot ask."""
    listed = ", ".join(f"'{name}'" for name in names)
    return f"""DO $$
DECLARE found text;
BEGIN
    SELECT string_agg(c.relname, ', ') INTO found
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname IN ({listed});
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'Tables of an earlier Stage1 stand: %', found
            USING HINT = 'Take them over with alembic upgrade head; a script cannot.';
    END IF;
END $$"""


def _offline_rows_guard(names: Sequence[str]) -> str:
    """Return SQL that stops a script where any of the tables holds rows."""
    some = " OR ".join(f'EXISTS (SELECT FROM public."{name}")' for name in names)
    return f"""DO $$
BEGIN
    IF {some} THEN
        RAISE EXCEPTION 'The tables of Stage1 hold rows'
            USING HINT = 'Go back with alembic downgrade base, which keeps them; a script cannot.';
    END IF;
END $$"""
