"""Dataset statements: few, and each run as it was sent, one after the other.

The triggers of `datasets` merge what several statements say, so these cannot be brought together
beforehand. A dataset that stands as the same statements left it is passed over; what changes
nothing in the end is rolled back.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import psycopg

from stage1_schema.ops.spool.contract import UPSERT_DATASET, Place, Shape
from stage1_schema.ops.spool.faults import Fault, fault
from stage1_schema.ops.spool.units import NOW, KnownUnits, digest, weighed
from stage1_schema.ops.spool.values import NULL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stage1_schema.ops.spool.quarantine import Quarantine
    from stage1_schema.ops.spool.report import Report
    from stage1_schema.ops.spool.staging import Staging

_DIGEST = "md5((to_jsonb(d) - 'updated_at')::text)"
_STAND = f"""
SELECT unit::text, sent FROM spool_units JOIN datasets d ON d.dataset_id = unit
 WHERE target = 'datasets' AND unit = ANY(%s) AND stand = {_DIGEST}
"""
_IN_ORDER = """
SELECT dataset_id, ARRAY[position, line, length], shape, fields FROM spool_datasets
 WINDOW own AS (PARTITION BY dataset_id)
 ORDER BY min(position) OVER own, min(ctid) OVER own, position, ctid
"""
PAGE = 100
"""Datasets whose statements are in memory."""
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
        self._known = KnownUnits(connection, staging)
        self._failed: list[tuple[Place, str, str, Fault]] = []
        connection.execute("DROP TABLE IF EXISTS pg_temp.spool_datasets")  # read again
        connection.execute(
            "CREATE TEMPORARY TABLE spool_datasets (position bigint, line bigint, length integer,"
            " shape integer, target text, dataset_id text, fields text[])"
        )

    def add(self, place: Place, shape: Shape, fields: Sequence[bytes]) -> None:
        """Keep one row of a statement."""
        at = 0 if shape.table is None else shape.columns.index("dataset_id")
        values = [_plain(each) for each in fields]
        self._connection.execute(
            "INSERT INTO spool_datasets VALUES (%s, %s, %s, %s, %s, %s, %s::text[])",
            (*place, self._staging.number(shape), shape.target, _canonical(values[at]), values),
        )

    def apply(self) -> None:
        """Run everything, dataset by dataset; what fails goes into quarantine."""
        with self._connection.transaction():
            groups = self._groups()
            while page := dict(islice(groups, PAGE)):
                known = self._passed_over(page) if self._report.mode == "full" else set()
                for dataset_id, statements in page.items():
                    if dataset_id in known:
                        for each in statements:
                            self._report.tables[each.shape.target].unchanged += 1
                    else:
                        self._apply_one(dataset_id, statements)
            self._hold_failed()

    def _groups(self) -> Iterator[tuple[str, list[_Sent]]]:
        """Yield each dataset's statements, those first that begin first; few are in memory."""
        with self._connection.cursor(name="spool_datasets") as cursor:
            cursor.itersize = PAGE
            cursor.execute(_IN_ORDER)
            for dataset_id, rows in groupby(cursor, itemgetter(0)):
                yield (
                    dataset_id,
                    [
                        _Sent(Place(*place), self._staging.shapes[number], values)
                        for _, place, number, values in rows
                    ],
                )

    def _passed_over(self, page: dict[str, list[_Sent]]) -> set[str]:
        """Return the datasets that stand as an earlier replay of the same statements left them."""
        ids = [number for each in page if (number := _uuid(each))]
        rows = self._connection.execute(_STAND, (ids,)).fetchall()
        return {dataset_id for dataset_id, sent in rows if sent == self._digest(page[dataset_id])}

    def _apply_one(self, dataset_id: str, statements: list[_Sent]) -> None:
        held = len(self._failed)
        applied: list[_Sent] = []
        with self._connection.transaction() as group:
            before = self._row(dataset_id)
            for each in statements:
                if found := self._run(each, dataset_id):
                    self._failed.append((each.place, each.shape.target, dataset_id, found))
                else:
                    applied.append(each)
            after = self._row(dataset_id)
            if before == after:
                raise psycopg.Rollback(group)
        for each in applied:
            counts = self._report.tables[each.shape.target]
            counts.applied += before != after
            counts.unchanged += before == after
        if after and len(self._failed) == held:
            self._known.remember("datasets", [(dataset_id, self._digest(statements), after)])

    def _hold_failed(self) -> None:
        held: dict[Place, list[tuple[str, str, Fault]]] = {}
        for place, target, dataset_id, found in self._failed:
            held.setdefault(place, []).append((target, dataset_id, found))
        self._connection.execute(
            "DELETE FROM spool_datasets WHERE position = ANY(%s)",
            ([place.position for place in held],),
        )
        for place, rows in held.items():
            target, _, found = rows[0]
            row_key = ",".join(dataset_id for _, dataset_id, _ in rows)
            self._quarantine.hold(place, found, target, row_key)

    def _digest(self, statements: list[_Sent]) -> str:
        """Return a digest of what the statements write to a dataset that stands."""
        parts = []
        for statement in statements:
            shape, now = statement.shape, self._staging.now
            values = [NOW if value == now else value for value in statement.values]
            sent = dict(zip(shape.columns, values, strict=True)) if shape.columns else {}
            parts.append(digest(shape, [sent[column] for column in weighed(shape)] or values))
        return digest(None, parts)

    def _row(self, dataset_id: str) -> str | None:
        """Return a digest of the dataset as it stands."""
        row = self._connection.execute(
            f"SELECT {_DIGEST} FROM datasets d WHERE dataset_id = %s", (_uuid(dataset_id),)
        ).fetchone()
        return row[0] if row else None

    def _run(self, sent: _Sent, dataset_id: str) -> Fault | None:
        try:
            with self._connection.transaction():
                self._connection.execute(_statement(sent.shape), sent.values)
        except psycopg.Error as error:
            found = fault(error)
            return None if sent.shape.plain and self._stands_so(sent, dataset_id) else found
        return None

    def _stands_so(self, sent: _Sent, dataset_id: str) -> bool:
        """Tell whether a plain INSERT is one of what stands already."""
        columns = tuple(column for column in sent.shape.columns if column != "dataset_id")
        update = replace(sent.shape, updates=columns, plain=False)
        before, after = self._row(dataset_id), None
        try:
            with self._connection.transaction() as savepoint:
                self._connection.execute(_statement(update), sent.values)
                after = self._row(dataset_id)
                raise psycopg.Rollback(savepoint)
        except psycopg.Error as error:
            fault(error)
        return before is not None and before == after


def _uuid(dataset_id: str | None) -> UUID | None:
    try:
        return UUID(dataset_id)
    except ValueError:
        return None


def _canonical(dataset_id: str | None) -> str:
    """Return an id in PostgreSQL's spelling, or as it is where it is none."""
    number = _uuid(dataset_id)
    return str(number) if number else (dataset_id or "").lower()


def _statement(shape: Shape) -> str:
    values = ", ".join(f"%s::{kind.value}" for kind in shape.kinds)
    if shape.table is None:
        return f"SELECT {UPSERT_DATASET}({values})"
    sql = f"INSERT INTO {shape.target} ({', '.join(shape.columns)}) VALUES ({values})"
    if shape.plain:
        return sql
    if not shape.updates:
        return f"{sql} ON CONFLICT (dataset_id) DO NOTHING"  # no other conflict is passed over
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
