"""A column's new type to which PostgreSQL casts only if told: Alembic writes no USING.

A default has to step aside then, because it is never cast but as in an assignment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops
from sqlalchemy import text

from stage1_schema.alembic_plugin.alter import AlterOp
from stage1_schema.alembic_plugin.verbatim import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.operations.ops import OpContainer
    from sqlalchemy import Connection

_CASTS = text("""
WITH side (n, oid, category, element) AS (
    SELECT n, t.oid, t.typcategory, t.typelem
      FROM unnest(ARRAY[:old, :new]) WITH ORDINALITY name (type, n)
      JOIN pg_type t ON t.oid = name.type::regtype),
arrays (both_are) AS (SELECT bool_and(category = 'A') FROM side),
base (n, oid, category) AS (
    SELECT n, t.oid, t.typcategory FROM side CROSS JOIN arrays
      JOIN pg_type t ON t.oid = CASE WHEN both_are THEN element ELSE side.oid END)
SELECT old.oid = new.oid OR new.category = 'S' OR coalesce(c.castcontext <> 'e', false),
       old.category = 'S' OR c.castcontext IS NOT NULL
  FROM base old JOIN base new ON old.n = 1 AND new.n = 2
  LEFT JOIN pg_cast c ON c.castsource = old.oid AND c.casttarget = new.oid
""")
"""Whether `old` becomes `new` in an assignment, and whether by `::`; arrays as their elements."""


_COMPARABLE = text("""
SELECT EXISTS (SELECT FROM pg_amop o JOIN pg_am m ON m.oid = o.amopmethod
                WHERE m.amname = 'btree' AND o.amopstrategy = 3
                  AND o.amoplefttype = CAST(:one AS regtype)
                  AND o.amoprighttype = CAST(:other AS regtype))
""")


def comparable(connection: Connection, one: str, other: str) -> bool:
    """Tell whether a column of one type may refer to one of the other, as they are named."""
    one, other = (kind.partition(" COLLATE ")[0] for kind in (one, other))
    return bool(connection.execute(_COMPARABLE, {"one": one, "other": other}).scalar_one())


def told(connection: Connection, table: str, column: str, sides: tuple[str, str]) -> AlterOp | None:
    """Return the change of a type that has to be told how, forward or back; else None.

    `sides` are the column's definitions as declared and as they stand: type, …, default.
    """
    new, old = kinds = [side.split("\n")[0] for side in sides]
    turns = (_using(connection, old, new, column), _using(connection, new, old, column))
    if not any(turns):
        return None
    change, back = (
        _change(column, kind + using, *defaults)
        for kind, using, defaults in zip(
            kinds, turns, (_defaults(sides[1], sides[0]), _defaults(*sides)), strict=True
        )
    )
    return AlterOp(f"TABLE {quoted(table)}", change, back, column=column)


def take(container: OpContainer, table: str, column: str) -> None:
    """Take the change of the column's type out of what Alembic does with it."""
    for each in list(container.ops):
        if isinstance(each, ops.OpContainer):
            take(each, table, column)
            if each.is_empty():
                container.ops.remove(each)
        elif isinstance(each, ops.AlterColumnOp) and (each.table_name, each.column_name) == (
            table,
            column,
        ):
            each.modify_type = None
            if not each.has_changes():
                container.ops.remove(each)


def _using(connection: Connection, old: str, new: str, column: str) -> str:
    old, new = (kind.partition(" COLLATE ")[0] for kind in (old, new))
    automatic, known = connection.execute(_CASTS, {"old": old, "new": new}).one()
    if automatic:
        return ""
    return f" USING {quoted(column)}{'' if known else '::text'}::{new}"


def _defaults(before: str, after: str) -> tuple[str, str]:
    first, then = (side.split("\n", 7)[7] for side in (before, after))
    return first, then


def _change(column: str, kind: str, before: str, after: str) -> str:
    return ", ".join(
        f"ALTER COLUMN {quoted(column)} {turn}" for turn in _turns(kind, before, after)
    )


def _turns(kind: str, before: str, after: str) -> Iterator[str]:
    if before.startswith("DEFAULT"):
        yield "DROP DEFAULT"
    yield f"TYPE {kind}"
    if after.startswith("DEFAULT"):
        yield f"SET {after}"
