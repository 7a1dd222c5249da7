"""SQL that takes staged rows into their tables, and rewrites no row that stays the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stage1_schema.ops.spool.contract import RUNS, Kind

if TYPE_CHECKING:
    from stage1_schema.ops.spool.contract import Shape, Table

LIVE = "s.state IN ('o', 'm')"
"""Staged rows that stand for everything that was sent."""
SENT = "s.state IN ('o', 'd')"
"""Staged rows as they were sent, one by one."""


def upsert(shape: Shape, table: Table, where: str) -> str:
    """Return an INSERT of the rows of `shape` among the staged rows `s` that fulfil `where`.

    Rows that stand already as they were sent are left out before PostgreSQL locks them.
    """
    first = table.key[0]
    values = ", ".join(
        # A double's -0 becomes 0, as it does on its way through numeric.
        f"s.{column} + 0" if table.columns[column] is Kind.FLOAT else f"s.{column}"
        for column in shape.columns
    )
    same = " AND ".join(f"old.{column} = s.{column}" for column in table.key)
    wanted = [f"old.{first} IS NULL"]
    if table is RUNS:
        wanted.append("old.is_placeholder")
    compared = shape.columns if shape.plain else shape.updates
    if compared:
        wanted.append(_differs("old", "s", compared))
    return (
        f"INSERT INTO {table.name} AS t ({', '.join(shape.columns)})"
        f" SELECT {values} FROM {table.staging} s LEFT JOIN {table.name} old ON {same}"
        f" WHERE {where} AND ({' OR '.join(wanted)})" + _conflict(shape, table)
    )


def _conflict(shape: Shape, table: Table) -> str:
    if shape.plain:
        return ""
    head = f" ON CONFLICT ({', '.join(table.key)}) DO "
    if not shape.updates:
        return head + "NOTHING"
    sets = ", ".join(f"{column} = EXCLUDED.{column}" for column in shape.updates)
    # EXCLUDED holds what the triggers made of the row: once more, only what differs.
    return f"{head}UPDATE SET {sets} WHERE {_differs('t', 'EXCLUDED', shape.updates)}"


def _differs(left: str, right: str, columns: tuple[str, ...]) -> str:
    lefts = ", ".join(f"{left}.{column}" for column in columns)
    rights = ", ".join(f"{right}.{column}" for column in columns)
    return f"ROW({lefts}) IS DISTINCT FROM ROW({rights})"
