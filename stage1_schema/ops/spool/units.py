"""Units of which an earlier replay knows what their statements come to.

Several statements for one row, or an INSERT that the row's own triggers change, only show by
running whether they change anything, and running them leaves dead rows behind. What was sent for
such a unit and how it stood afterwards is remembered: while both are the same, it is passed over.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from stage1_schema.ops.spool.upsert import SENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from stage1_schema.ops.spool.contract import Shape, Table
    from stage1_schema.ops.spool.staging import Staging

    Lane = Sequence[Table]
    Digests = dict[UUID, str]

NOW = "NOW()"
"""What stands in a digest for the time of the replay."""

_REMEMBER = """
INSERT INTO spool_units AS u (target, unit, sent, stand)
SELECT %s, * FROM unnest(%s::uuid[], %s::text[], %s::text[])
ON CONFLICT (target, unit) DO UPDATE SET sent = EXCLUDED.sent, stand = EXCLUDED.stand
 WHERE (u.sent, u.stand) IS DISTINCT FROM (EXCLUDED.sent, EXCLUDED.stand)
"""


class KnownUnits:
    """What is known of units; those of a lane go by the name of its first table."""

    def __init__(self, connection: psycopg.Connection[Any], staging: Staging) -> None:
        self._connection = connection
        self._shapes = staging.shapes
        self._row = f"replace(ROW(%s)::text, '{staging.now}'::timestamptz::text, '{NOW}')"

    def known(self, lane: Lane, units: Sequence[UUID]) -> set[UUID]:
        """Return the units that stand as they were left, and for which the same was sent."""
        rows = self._connection.execute(
            "SELECT unit, sent, stand FROM spool_units WHERE target = %s AND unit = ANY(%s)",
            (lane[0].name, list(units)),
        ).fetchall()
        if not rows:
            return set()
        sent = self.sent(lane, [row[0] for row in rows])
        stand = self.stand(lane, [row[0] for row in rows])
        return {row[0] for row in rows if row[1:] == (sent.get(row[0]), stand.get(row[0]))}

    def sent(self, lane: Lane, units: Sequence[UUID]) -> Digests:
        """Return a digest of the staged statements of each unit, in the order of the file."""
        parts = []
        for place, table in enumerate(lane):
            those = f"{table.staging} s WHERE {SENT} AND s.{table.unit} = ANY(%(units)s)"
            for (number,) in self._connection.execute(
                f"SELECT DISTINCT s.shape FROM {those}", {"units": list(units)}
            ).fetchall():
                shape = self._shapes[number]
                columns = ", ".join(f"s.{column}" for column in weighed(shape))
                parts.append(
                    f"SELECT s.{table.unit} AS unit, {place} AS place, position, turn,"
                    f" md5('{digest(shape, ())}' || {self._row % columns}) AS part"
                    f" FROM {those} AND s.shape = {number}"
                )
        return self._digests(" UNION ALL ".join(parts), "place, position, turn, part", units)

    def stand(self, lane: Lane, units: Sequence[UUID]) -> Digests:
        """Return a digest of the rows of each unit, as they stand."""
        parts = [
            f"SELECT {table.unit} AS unit, {place} AS place,"
            f" md5((to_jsonb(t) - 'updated_at')::text) AS part"
            f" FROM {table.name} t WHERE {table.unit} = ANY(%(units)s)"
            for place, table in enumerate(lane)
        ]
        return self._digests(" UNION ALL ".join(parts), "place, part", units)

    def remember(self, target: str, left: Sequence[tuple[object, str, str]]) -> None:
        """Remember units of which no statement was held back: what was sent, and how they stand."""
        if left:
            columns = [list(column) for column in zip(*left, strict=True)]
            self._connection.execute(_REMEMBER, (target, *columns))

    def _digests(self, parts: str, order: str, units: Sequence[UUID]) -> Digests:
        rows = self._connection.execute(
            f"SELECT unit, md5(string_agg(part, '' ORDER BY {order})) FROM ({parts}) p GROUP BY 1",
            {"units": list(units)},
        )
        return dict(rows.fetchall())


def weighed(shape: Shape) -> tuple[str, ...]:
    """Return the columns that say whether a statement changes a row that stands."""
    if shape.table is None or shape.plain:
        return shape.columns
    return (*shape.table.key, *shape.updates)


def digest(shape: Shape | None, values: Sequence[object]) -> str:
    """Return a digest of what a statement of `shape` sends."""
    return hashlib.sha256(f"{shape}{values}".encode()).hexdigest()
