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
_KEPT = {
    "prediction_measurement": "coalesce(nullif({0}.prediction_measurement, ''), {1}.{2})",
    "serialized_config": "coalesce({0}.serialized_config, {1}.{2})",
}
"""What a column will hold that no NULL erases."""
_TIME = "CASE {0}.{2} WHEN '{3}' THEN coalesce({1}.{2}, {0}.{2}) ELSE {0}.{2} END"


def upsert(shape: Shape, table: Table, where: str, now: str) -> str:
    """Return an INSERT of the rows of `shape` among the staged rows `s` that fulfil `where`.

    Rows that stand already as they were sent are left out before PostgreSQL locks them; `now`,
    which stands for NOW(), is no news of a row whose time is known. Of a plain
    INSERT the rows are returned, each with whether it was inserted: where one was updated instead,
    the statement is to be undone.
    """
    first = table.key[0]
    values = ", ".join(
        # A double's -0 becomes 0, as it does on its way through numeric.
        f"s.{column} + 0" if table.columns[column] is Kind.FLOAT else f"s.{column}"
        for column in shape.columns
    )
    # By key, one by one: a planner that hashes the whole table instead would do so every batch.
    same = " AND ".join(f"o.{column} = s.{column}" for column in table.key)
    standing = f"(SELECT * FROM {table.name} o WHERE {same} LIMIT 1) old"
    wanted = [f"old.{first} IS NULL"]
    if table is RUNS:
        wanted.append("old.is_placeholder")
    compared = shape.columns if shape.plain else shape.updates
    if compared:
        wanted.append(_differs("old", "s", compared, table, now))
    return (
        f"INSERT INTO {table.name} AS t ({', '.join(shape.columns)})"
        f" SELECT {values} FROM {table.staging} s LEFT JOIN LATERAL {standing} ON true"
        f" WHERE {where} AND ({' OR '.join(wanted)})" + _conflict(shape, table, now)
    )


def _conflict(shape: Shape, table: Table, now: str) -> str:
    updates = shape.updates
    if shape.plain:  # what the triggers make of it may be what stands
        updates = tuple(column for column in shape.columns if column not in table.key)
    head = f" ON CONFLICT ({', '.join(table.key)}) DO "
    returning = " RETURNING t.xmax = 0" if shape.plain else ""
    if not updates:
        return f"{head}NOTHING{returning}"
    sets = ", ".join(f"{column} = EXCLUDED.{column}" for column in updates)
    # EXCLUDED holds what the triggers made of the row: once more, only what differs.
    differs = _differs("t", "EXCLUDED", updates, table, now)
    return f"{head}UPDATE SET {sets} WHERE {differs}{returning}"


def _differs(standing: str, sent: str, columns: tuple[str, ...], table: Table, now: str) -> str:
    lefts = [f"{standing}.{column}" for column in columns]
    rights = [
        (_TIME if table.columns[column] is Kind.TIME else _KEPT.get(column, "{0}.{2}")).format(
            sent, standing, column, now
        )
        for column in columns
    ]
    if "serialized_config" in columns:  # a text that is sent becomes the client's own
        lefts.append(f"{sent}.serialized_config IS NOT NULL")
        rights.append(f"{lefts[-1]} AND NOT {standing}.serialized_config_generated")
    return f"ROW({', '.join(lefts)}) IS DISTINCT FROM ROW({', '.join(rights)})"
