"""Names that must be unique, and the rows that share one.

Two rows of one name would write into one QuestDB table. Which of them is right only their owner
knows, so nothing is deleted: a revision stops and lists the groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation, Operations
from sqlalchemy import text

from stage1_schema.alembic_plugin.legacy_shapes import KEYS
from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

SHOWN = 3


class DuplicateNamesError(Stage1Error):
    """Rows share a name that must be unique."""


@dataclass(frozen=True)
class UniqueName:
    """The columns of `table` that must be unique together, and its key. NULLs never collide."""

    table: str
    columns: tuple[str, ...]
    key: str

    def __str__(self) -> str:
        return f"{self.table} ({', '.join(self.columns)})"


UNIQUE_NAMES = (
    UniqueName("datasets", ("dataset_slug",), "dataset_id"),
    UniqueName("walkforward_runs", ("dataset_id", "prediction_measurement"), "run_id"),
    UniqueName("simulation_runs", ("run_id", "questdb_namespace"), "simulation_id"),
)


@dataclass(frozen=True)
class Row:
    """One row of a group; `created_at` is ISO text in UTC, None where the table has no such."""

    id: str
    created_at: str | None


@dataclass(frozen=True)
class Group:
    """Rows that share one name, oldest first."""

    table: str
    name: dict[str, str]
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        name = ", ".join(f"{column} {value}" for column, value in self.name.items())
        return f"{name} ({len(self.rows)} rows)"


def groups(connection: Connection, name: UniqueName, *, schema: str = "public") -> list[Group]:
    """Return the groups that share `name`, the largest first; none where its columns are not."""
    present = set(
        connection.execute(
            text("""SELECT column_name FROM information_schema.columns
                     WHERE table_schema = :schema AND table_name = :table"""),
            {"schema": schema, "table": name.table},
        ).scalars()
    )
    if not present.issuperset((*name.columns, name.key)):
        return []
    return list(_groups(connection, name, schema, created="created_at" in present))


def _groups(
    connection: Connection, name: UniqueName, schema: str, *, created: bool
) -> Iterator[Group]:
    columns = ", ".join(f'"{column}"' for column in name.columns)
    given = " AND ".join(f'"{column}" IS NOT NULL' for column in name.columns)
    time = "created_at" if created else "NULL::timestamptz"
    order = f'{time} NULLS LAST, "{name.key}"'
    named = ", ".join(f"""'{column}', "{column}"::text""" for column in name.columns)
    statement = text(f"""
        SELECT jsonb_build_object({named}),
               array_agg("{name.key}"::text ORDER BY {order}),
               array_agg({time} ORDER BY {order})
          FROM "{schema}"."{name.table}" WHERE {given}
         GROUP BY {columns} HAVING count(*) > 1 ORDER BY count(*) DESC, {columns}
    """)
    for found, ids, times in connection.execute(statement):
        rows = [Row(id_, at and at.isoformat()) for id_, at in zip(ids, times, strict=True)]
        values = {column: found[column] for column in name.columns}
        yield Group(name.table, values, tuple(rows))


@Operations.register_operation("refuse_duplicates")
class RefuseDuplicatesOp(MigrateOperation):
    """Stop a revision where rows share a name that it makes unique."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        """Keep the `table` and the `columns` that must be unique together."""
        self.table = table
        self.columns = tuple(columns)

    @classmethod
    def refuse_duplicates(cls, operations: Operations, table: str, columns: Sequence[str]) -> None:
        """Raise DuplicateNamesError, with the largest groups, where rows share a name."""
        operations.invoke(cls(table, columns))

    @property
    def name(self) -> UniqueName:
        """The name that is to become unique."""
        return UniqueName(self.table, self.columns, KEYS[self.table][0])

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` would print."""
        return ("refuse_duplicates", self.table, *self.columns)


@Operations.implementation_for(RefuseDuplicatesOp)
def _refuse(operations: Operations, operation: RefuseDuplicatesOp) -> None:
    if operations.migration_context.as_sql:
        operations.execute(Verbatim(_offline_guard(operation.name)))
        return
    connection = operations.get_bind()
    # Writers go on: a row that comes after this look stops the index build, which names it too.
    found = groups(connection, operation.name)
    if found:
        shown = "; ".join(map(str, found[:SHOWN]))
        more = f"; and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
        raise DuplicateNamesError(
            f"{operation.name} must be unique and {len(found):,} names are not: {shown}{more}."
            " Nothing was deleted.",
            next_step="see all of them with stage1 duplicates, rename or delete what is not"
            " wanted, and run the upgrade again.",
        )


def _offline_guard(name: UniqueName) -> str:
    columns = ", ".join(f'"{column}"' for column in name.columns)
    given = " AND ".join(f'"{column}" IS NOT NULL' for column in name.columns)
    return f"""DO $$
BEGIN
    IF EXISTS (SELECT FROM public."{name.table}" WHERE {given}
                GROUP BY {columns} HAVING count(*) > 1) THEN
        RAISE EXCEPTION '{name} must be unique and is not'
            USING HINT = 'See the rows with stage1 duplicates.';
    END IF;
END $$"""
