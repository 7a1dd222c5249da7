"""Dataset statements: few, and each run as it was sent, one after the other.

The triggers of `datasets` merge what several statements say, so these cannot be brought together
beforehand. What changes nothing in the end is rolled back, and leaves no new row version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from stage1_schema.ops.spool.contract import UPSERT_DATASET, Place, Shape
from stage1_schema.ops.spool.faults import Fault, fault
from stage1_schema.ops.spool.values import NULL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stage1_schema.ops.spool.quarantine import Quarantine
    from stage1_schema.ops.spool.report import Report
    from stage1_schema.ops.spool.staging import Staging

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNESCAPED = {b"\\\\": b"\\", b"\\t": b"\t", b"\\n": b"\n", b"\\r": b"\r"}


class _Sent(NamedTuple):
    place: Place
    shape: Shape
    values: list[str | None]


class Datasets:
    """Keeps the dataset statements of a replay until all are read, then runs them."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        staging: Staging,
        quarantine: Quarantine,
        report: Report,
    ) -> None:
        self._connection = connection
        self._staging = staging
        self._quarantine = quarantine
        self._report = report
        connection.execute(
            "CREATE TEMPORARY TABLE spool_datasets (position bigint, line bigint, length integer,"
            " shape integer, dataset_id text, fields text[])"
        )

    def add(self, place: Place, shape: Shape, fields: Sequence[bytes]) -> None:
        """Keep one row of a statement."""
        at = 0 if shape.table is None else shape.columns.index("dataset_id")
        values = [_plain(each) for each in fields]
        self._connection.execute(
            "INSERT INTO spool_datasets VALUES (%s, %s, %s, %s, lower(%s), %s::text[])",
            (*place, self._staging.number(shape), values[at], values),
        )

    def apply(self) -> None:
        """Run everything, dataset by dataset; what fails goes into quarantine."""
        groups = self._connection.execute(
            "SELECT dataset_id FROM spool_datasets GROUP BY 1 ORDER BY min(position)"
        ).fetchall()
        with self._connection.transaction():
            for (dataset_id,) in groups:
                self._apply_one(dataset_id)

    def _apply_one(self, dataset_id: str | None) -> None:
        rows = self._connection.execute(
            "SELECT position, line, length, shape, fields FROM spool_datasets"
            " WHERE dataset_id IS NOT DISTINCT FROM %s ORDER BY position",
            (dataset_id,),
        ).fetchall()
        sent = [_Sent(Place(*row[:3]), self._staging.shapes[row[3]], row[4]) for row in rows]
        failed: list[tuple[_Sent, Fault]] = []
        applied: list[_Sent] = []
        with self._connection.transaction() as group:
            before = self._row(dataset_id)
            for each in sent:
                found = self._run(each)
                if found:
                    failed.append((each, found))
                else:
                    applied.append(each)
            changed = before != self._row(dataset_id)
            if not changed:
                raise psycopg.Rollback(group)
        for each in applied:
            counts = self._report.tables[each.shape.target]
            counts.applied += changed
            counts.unchanged += not changed
        for each, found in failed:
            self._quarantine.hold(each.place, found, each.shape.target, dataset_id)

    def _row(self, dataset_id: str | None) -> object:
        """Return the dataset as it stands, for comparison."""
        if dataset_id is None or not _UUID.fullmatch(dataset_id):
            return object()  # an unusual spelling of an id: take it for changed
        return self._connection.execute(
            "SELECT (to_jsonb(d) - 'updated_at')::text FROM datasets d WHERE dataset_id = %s::uuid",
            (dataset_id,),
        ).fetchone()

    def _run(self, sent: _Sent) -> Fault | None:
        try:
            with self._connection.transaction():
                self._connection.execute(_statement(sent.shape), sent.values)
        except psycopg.Error as error:
            return fault(error)
        return None


def _statement(shape: Shape) -> str:
    values = ", ".join(f"%s::{kind.value}" for kind in shape.kinds)
    if shape.table is None:
        return f"SELECT {UPSERT_DATASET}({values})"
    sql = f"INSERT INTO {shape.target} ({', '.join(shape.columns)}) VALUES ({values})"
    if shape.plain:
        return sql
    if not shape.updates:
        return f"{sql} ON CONFLICT DO NOTHING"
    updates = ", ".join(f"{column} = EXCLUDED.{column}" for column in shape.updates)
    return f"{sql} ON CONFLICT (dataset_id) DO UPDATE SET {updates}"


def _plain(field: bytes) -> str | None:
    """Return the value that a field of COPY stands for."""
    if field == NULL:
        return None
    if b"\\" not in field:
        return field.decode()
    pieces: list[bytes] = []
    at = 0
    while (found := field.find(b"\\", at)) >= 0:
        pieces += (field[at:found], _UNESCAPED[field[found : found + 2]])
        at = found + 2
    return b"".join((*pieces, field[at:])).decode()
