"""Staged statements into the tables: whole units, many at a time, one by one where one fails.

A unit is a run with its folds, or a simulation with its buckets and trades. Each batch of units
is one transaction; a unit that fails in it is tried again by itself, and then statement by
statement, so that only the one at fault is held back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from stage1_schema.ops.spool.contract import (
    BUCKETS,
    FOLDS,
    RUNS,
    SIMULATIONS,
    STAGED_TABLES,
    TRADES,
    Place,
)
from stage1_schema.ops.spool.faults import Fault, fault
from stage1_schema.ops.spool.parents import Parents
from stage1_schema.ops.spool.upsert import LIVE, SENT, upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stage1_schema.ops.spool.contract import Table
    from stage1_schema.ops.spool.quarantine import Quarantine
    from stage1_schema.ops.spool.report import Report
    from stage1_schema.ops.spool.staging import Staging

LANES = ((RUNS, FOLDS), (SIMULATIONS, BUCKETS, TRADES))
BATCH_ROWS = 20_000
"""Rows after which a batch of units is committed."""

Units = list[UUID]


class Applier:
    """Takes what one replay staged into the tables."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        staging: Staging,
        quarantine: Quarantine,
        report: Report,
        *,
        placeholders: bool,
    ) -> None:
        self._connection = connection
        self._staging = staging
        self._quarantine = quarantine
        self._report = report
        self._parents = Parents(connection, report, self.hold, placeholders=placeholders)

    def run(self, progress: Callable[[float], None]) -> None:
        """Apply everything, parents first; `progress` is told the part that is done."""
        batches = [(lane, units) for lane in LANES for units in self._batches(lane)]
        for number, (lane, units) in enumerate(batches):
            progress(number / len(batches))
            with self._connection.transaction():
                if lane[0] is RUNS:
                    self._parents.of_runs(units)
                else:
                    self._parents.of_simulations(units)
                self._batch(lane, units)
        for table in STAGED_TABLES:
            counts = self._report.tables[table.name]
            counts.unchanged += self._count(table) - counts.applied

    def hold(self, table: Table, where: str, parameters: Sequence[object], found: Fault) -> None:
        """Put the staged statements of a table that fulfil `where` into quarantine."""
        key = " || '/' || ".join(f"s.{column}" for column in table.key)
        rows = self._connection.execute(
            f"UPDATE {table.staging} s SET state = 'q' WHERE s.state <> 'q' AND {where}"
            f" RETURNING s.position, s.line, s.length, lower(''||{key}), s.length > 0",
            parameters,
        ).fetchall()
        sent = {row[0]: row for row in sorted(rows) if row[4]}  # not what was merged here
        for *place, row_key, _ in sent.values():
            self._quarantine.hold(Place(*place), found, table.name, row_key)

    def _count(self, table: Table) -> int:
        row = self._connection.execute(
            f"SELECT count(*) FROM {table.staging} s WHERE {SENT}"
        ).fetchone()
        return int(row[0]) if row else 0

    def _batches(self, lane: Sequence[Table]) -> Iterator[Units]:
        counted = " UNION ALL ".join(
            f"SELECT {table.unit} AS unit, count(*) AS rows, min(position) AS first"
            f" FROM {table.staging} s WHERE {LIVE} GROUP BY 1"
            for table in lane
        )
        batch: Units = []
        size = 0
        for unit, rows in self._connection.execute(
            f"SELECT unit, sum(rows) FROM ({counted}) c GROUP BY 1 ORDER BY min(first)"
        ).fetchall():
            batch.append(unit)
            size += rows
            if size >= BATCH_ROWS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _batch(self, lane: Sequence[Table], units: Units) -> None:
        plain = self._with_plain_inserts(lane, units)
        try:
            with self._connection.transaction():
                applied = self._together(lane, [unit for unit in units if unit not in plain])
        except psycopg.Error as error:
            fault(error)
            for unit in units:
                self._unit(lane, unit, together=unit not in plain)
            return
        self._add(applied)
        for unit in plain:
            self._unit(lane, unit, together=False)

    def _with_plain_inserts(self, lane: Sequence[Table], units: Units) -> set[UUID]:
        """Return the units with an INSERT without ON CONFLICT: it may fail, and goes alone."""
        numbers = [n for n, shape in enumerate(self._staging.shapes) if shape.plain]
        if not numbers:
            return set()
        found: set[UUID] = set()
        for table in lane:
            rows = self._connection.execute(
                f"SELECT DISTINCT s.{table.unit} FROM {table.staging} s"
                f" WHERE s.shape = ANY(%s) AND s.{table.unit} = ANY(%s)",
                (numbers, units),
            )
            found |= {row[0] for row in rows}
        return found

    def _unit(self, lane: Sequence[Table], unit: UUID, *, together: bool) -> None:
        if together:
            try:
                with self._connection.transaction():
                    applied = self._together(lane, [unit])
            except psycopg.Error as error:
                fault(error)
            else:
                self._add(applied)
                return
        for table in lane:
            self._one_by_one(table, unit)
            if table is lane[0] and not self._stands(table, unit):
                reason = Fault("parent", f"its row in {table.name} is in quarantine or missing")
                for child in lane[1:]:
                    self.hold(child, f"s.{child.unit} = %s", (unit,), reason)
                return

    def _stands(self, table: Table, unit: UUID) -> bool:
        found = self._connection.execute(
            f"SELECT FROM {table.name} WHERE {table.unit} = %s", (unit,)
        ).fetchone()
        return found is not None

    def _together(self, lane: Sequence[Table], units: Units) -> dict[str, int]:
        applied = {table.name: 0 for table in lane}
        if not units:
            return applied
        for table in lane:
            where = f"{LIVE} AND s.shape = %s AND s.{table.unit} = ANY(%s)"
            applied[table.name] += self._replacing(table, f"{LIVE} AND s.run_id = ANY(%s)", units)
            for number, shape in enumerate(self._staging.shapes):
                if shape.table is table:
                    applied[table.name] += self._connection.execute(
                        upsert(shape, table, where), (number, units)
                    ).rowcount
        return applied

    def _replacing(self, table: Table, where: str, parameter: object) -> int:
        """Return how many placeholders will be replaced: their trigger hides it from INSERT."""
        if table is not RUNS:
            return 0
        row = self._connection.execute(
            f"SELECT count(*) FROM {table.staging} s JOIN walkforward_runs r USING (run_id)"
            f" WHERE {where} AND r.is_placeholder",
            (parameter,),
        ).fetchone()
        return int(row[0]) if row else 0

    def _one_by_one(self, table: Table, unit: UUID) -> None:
        statements = self._connection.execute(
            f"SELECT DISTINCT s.position, s.shape FROM {table.staging} s"
            f" WHERE {SENT} AND s.{table.unit} = %s ORDER BY 1",
            (unit,),
        ).fetchall()
        for position, number in statements:
            shape = self._staging.shapes[number]
            try:
                with self._connection.transaction():
                    count = self._replacing(table, f"{SENT} AND s.position = %s", position)
                    count += self._connection.execute(
                        upsert(shape, table, f"{SENT} AND s.position = %s"), (position,)
                    ).rowcount
            except psycopg.Error as error:
                self.hold(table, "s.position = %s", (position,), fault(error))
            else:
                self._add({table.name: count})

    def _add(self, applied: dict[str, int]) -> None:
        for name, count in applied.items():
            self._report.tables[name].applied += count
