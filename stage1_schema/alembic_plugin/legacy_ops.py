"""Operations of the reset revision: take over what stood before, and put tables away.

Rows are never dropped unasked: `-x legacy=` says what becomes of them, else they stop the revision.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import text

from stage1_schema.alembic_plugin import standing
from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.legacy_import import Bodies

log = logging.getLogger("alembic.runtime.migration")

LEGACY_SCHEMA = "stage1_legacy"
RETIRED_SCHEMA = "stage1_retired"


class LegacyError(Stage1Error):
    """Tables of an earlier Stage1 stand in the way."""


@dataclass(frozen=True)
class Moved:
    """Where old tables stand whose rows are to be imported."""

    schema: str
    tables: tuple[str, ...]


@Operations.register_operation("take_over_legacy")
class TakeOverLegacyOp(MigrateOperation):
    """Make room in `public` for the tables of this project."""

    @classmethod
    def take_over_legacy(cls, operations: Operations) -> Moved | None:
        """Drop what stood where it is empty; with rows, do as `-x legacy=` says or stop.

        Returns what `op.import_legacy` has to copy, None where there is nothing. Raises
        LegacyError, with every table and its row count, when rows stand and nothing was said, or
        when a DROP would take objects of other software along.
        """
        moved: Moved | None = operations.invoke(cls())
        return moved

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` would print."""
        return ("take_over_legacy",)


@Operations.register_operation("import_legacy")
class ImportLegacyOp(MigrateOperation):
    """Copy the rows of old tables into the new ones."""

    def __init__(self, moved: Moved, bodies: Bodies) -> None:
        """Keep what `op.take_over_legacy` returned, and the frozen SQL of the revision."""
        self.moved = moved
        self.bodies = bodies

    @classmethod
    def import_legacy(
        cls,
        operations: Operations,
        moved: Moved | None,
        *,
        functions: str,
        placeholders: str,
        slugs: str,
        missing: str,
    ) -> None:
        """Copy every row and compare counts and keys; raises LegacyError when one cannot be.

        The files below `migrations/sql/` make the functions that the plan calls, find the parents
        that are missing, make slugs, and insert the missing runs and simulations.
        """
        if moved is not None:
            # Alembic loads this module for every command; an import of old tables is rare.
            from stage1_schema.alembic_plugin.legacy_import import Bodies  # noqa: PLC0415

            operations.invoke(cls(moved, Bodies(functions, placeholders, slugs, missing)))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` would print."""
        return ("import_legacy", self.moved.schema)


@Operations.register_operation("retire_tables")
class RetireTablesOp(MigrateOperation):
    """Put tables away on a downgrade."""

    def __init__(self, names: Sequence[str]) -> None:
        """Keep the `names` of the tables, children first."""
        self.names = tuple(names)

    @classmethod
    def retire_tables(cls, operations: Operations, *names: str) -> None:
        """Drop the tables if all are empty; else move them to `stage1_retired_<date>`.

        Raises LegacyError when a DROP would take objects of other software along.
        """
        operations.invoke(cls(names))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` would print."""
        return ("retire_tables", *self.names)


@Operations.implementation_for(TakeOverLegacyOp)
def _take_over(operations: Operations, _: TakeOverLegacyOp) -> Moved | None:
    context = operations.migration_context
    if context.as_sql:
        operations.execute(Verbatim(_offline_guard(standing.TABLES)))
        return None
    connection = operations.get_bind()
    found = standing.look(connection, lock=True)
    policy, __, name = (context.opts.get("legacy") or "").partition(":")
    if found.mentions:
        log.warning("Other software mentions these tables: %s", standing.listing(found.mentions))
    if policy == "import" and name:
        return _from_schema(connection, found, name)
    _refuse(connection, found, policy, name)
    if policy in ("archive", "import") and found.tables:
        schema = _move(connection, found, LEGACY_SCHEMA)
        return Moved(schema, found.names) if policy == "import" else None
    _drop(connection, found)
    return None


@Operations.implementation_for(ImportLegacyOp)
def _import(operations: Operations, operation: ImportLegacyOp) -> None:
    from stage1_schema.alembic_plugin.legacy_import import Import  # noqa: PLC0415 - as above

    moved = operation.moved
    report = Import(operations, moved.schema, moved.tables, operation.bodies).run()
    counted = [counts for counts in report.counts if counts.read or counts.stand]
    log.info("Imported from schema %s: %s", moved.schema, standing.listing(counted))
    if report.kept:
        log.info("Kept in the rows' JSON: %s", standing.listing(report.kept))
    if report.left:
        log.warning("Only in schema %s: %s", moved.schema, standing.listing(report.left))


@Operations.implementation_for(RetireTablesOp)
def _retire(operations: Operations, operation: RetireTablesOp) -> None:
    if operations.migration_context.as_sql:
        operations.execute(Verbatim(_offline_rows_guard(operation.names)))
        for name in operation.names:
            operations.drop_table(name)
        return
    connection = operations.get_bind()
    found = standing.look(connection, lock=True, only=operation.names)
    if found.rows:
        _move(connection, found, RETIRED_SCHEMA)
        return
    _refuse_dependents(found, "drop or move these first, then run the downgrade again.")
    _drop(connection, found)


def _refuse(connection: Connection, found: standing.Standing, policy: str, name: str) -> None:
    """Raise LegacyError where `policy` does not cover what was found."""
    if found.rows and not policy:
        raise LegacyError(
            f"Tables of an earlier Stage1 hold rows ({found.shape}):"
            f" {standing.listing(found.tables)}. Nothing was changed.",
            next_step="run again with -x legacy=import (moves them to a schema of their own and"
            " copies the rows), -x legacy=archive (moves them) or"
            f" -x legacy=drop:{_database(connection)} (deletes them).",
        )
    if found.rows and policy == "drop" and name != _database(connection):
        raise LegacyError(
            f"-x legacy=drop would delete for good ({found.shape}):"
            f" {standing.listing(found.tables)}. Nothing was changed.",
            next_step=f"to delete them, run again with -x legacy=drop:{_database(connection)}.",
        )
    if found.strangers and policy != "archive":
        raise LegacyError(
            f"Tables that go by a name of Stage1 but have not its key:"
            f" {standing.listing(found.strangers)}. Nothing was changed.",
            next_step="rename them, or run again with -x legacy=archive (moves them).",
        )
    if not found.tables or policy not in ("archive", "import"):
        _refuse_dependents(
            found,
            "drop or move these first, or run again with -x legacy=archive"
            " (they then follow the moved tables).",
        )


def _refuse_dependents(found: standing.Standing, next_step: str) -> None:
    if found.dependents:
        raise LegacyError(
            f"Other software built on the tables: {standing.listing(found.dependents)}."
            " Nothing was changed.",
            next_step=next_step,
        )


def _from_schema(connection: Connection, found: standing.Standing, schema: str) -> Moved:
    """Return the tables of an existing `schema`, locked; `public` must hold no rows."""
    if found.rows:
        raise LegacyError(
            "Schema public holds rows of its own:"
            f" {standing.listing([table for table in found.tables if table.rows])}."
            " Nothing was changed.",
            next_step=f"import these first (-x legacy=import), or put them away; {schema} waits.",
        )
    _refuse(connection, found, "", "")
    there = connection.execute(
        text("SELECT nspname FROM pg_namespace WHERE nspname ~ '^stage1_' OR nspname = :schema"),
        {"schema": schema},
    ).scalars()
    schemas = sorted(there)
    kept = standing.look(connection, lock=True, schema=schema) if schema in schemas else None
    if kept is None or not kept.tables or kept.strangers:
        raise LegacyError(
            f"Schema {schema} holds no tables of Stage1 to import.",
            next_step=f"name one of: {standing.listing(schemas) or 'none stands'}.",
        )
    log.info("Importing %s from schema %s", kept.shape, schema)
    _drop(connection, found)
    return Moved(schema, kept.names)


def _move(connection: Connection, found: standing.Standing, prefix: str) -> str:
    schema = standing.move(connection, found, prefix)
    log.warning(
        "Moved to schema %s (%s): %s",
        schema,
        found.shape,
        standing.listing((*found.tables, *found.objects)),
    )
    if found.dependents:
        log.warning(
            "What other software built follows and reads schema %s from now on: %s",
            schema,
            standing.listing(found.dependents),
        )
    return schema


def _drop(connection: Connection, found: standing.Standing) -> None:
    standing.drop(connection, found)
    if found.tables or found.objects:
        log.warning(
            "Dropped (%s): %s", found.shape, standing.listing((*found.tables, *found.objects))
        )


def _database(connection: Connection) -> str:
    return str(connection.execute(text("SELECT current_database()")).scalar_one())


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
