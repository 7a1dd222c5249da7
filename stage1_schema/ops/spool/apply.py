"""Staged statements into the tables: whole units, many at a time, one by one where one fails.

A unit is a run with its folds, or a simulation with its buckets and trades. Each batch of units
is one transaction; a unit that fails in it is tried again by itself, and then statement by
statement, so that only the one at fault is held back. Of a unit none of whose statements could be
applied nothing stays, and so no placeholder.
"""

from __future__ import annotations

from collections import Counter
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
from stage1_schema.ops.spool.units import KnownUnits
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

_TAKEN = Fault("constraint", "its row stands already, with other values")

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
        self._parents = Parents(connection, self.hold, placeholders=placeholders)
        self._known = KnownUnits(connection, staging)
        self._held: list[tuple[Table, Place, Fault, str]] = []  # in the present savepoint

    def run(self, progress: Callable[[float], None]) -> None:
        """Apply everything, parents first; `progress` is told the part that is done."""
        batches = [(lane, units) for lane in LANES for units in self._batches(lane)]
        for number, (lane, units) in enumerate(batches):
            progress(number / len(batches))
            with self._connection.transaction():
                self._batch(lane, units)
        for table in STAGED_TABLES:
            counts = self._report.tables[table.name]
            counts.unchanged += max(self._count(table) - counts.applied, 0)

    def hold(self, table: Table, where: str, parameters: Sequence[object], found: Fault) -> None:
        """Hold the staged statements of a table that fulfil `where` back, with all their rows."""
        key = " || '/' || ".join(f"s.{column}" for column in table.key)
        mark = f"UPDATE {table.staging} s SET state = 'q' WHERE s.state <> 'q' AND "
        returning = f" RETURNING s.position, s.line, s.length, lower(''||{key})"
        rows = self._connection.execute(mark + where + returning, parameters).fetchall()
        if self._staging.several and rows:
            whole = "s.length > 0 AND s.position = ANY(%s)"
            positions = [row[0] for row in rows if row[2]]
            rows += self._connection.execute(mark + whole + returning, (positions,)).fetchall()
        statements: dict[Place, list[str]] = {}
        for *place, row_key in sorted(rows):
            if place[2]:  # not what was merged here
                statements.setdefault(Place(*place), []).append(row_key)
        self._held += [(table, place, found, ",".join(k)) for place, k in statements.items()]

    def _to_quarantine(self) -> None:
        held, self._held = self._held, []
        for table, place, found, row_key in held:
            self._quarantine.hold(place, found, table.name, row_key)
        self._quarantine.flush()

    def _count(self, table: Table) -> int:
        row = self._connection.execute(
            f"SELECT count(*) FROM {table.staging} s WHERE {SENT} OR s.state = 'p'"
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
        plain = self._with(lane, units, "s.shape = ANY(%s)", self._plain())
        several = self._with(lane, units, f"{LIVE} AND s.turn > 1") - plain
        special = plain | several
        self._halves(lane, [unit for unit in units if unit not in special])
        if special and self._report.mode == "full":  # what is appended is no repetition
            known = self._known.known(lane, list(special))
            plain, several = plain - known, several - known
        self._repeated(lane, [unit for unit in units if unit in several])
        for unit in units:
            if unit in plain:
                self._unit(lane, unit, special=True)

    def _halves(self, lane: Sequence[Table], units: Units) -> None:
        """Apply units together, and by halves where one of them fails."""
        if len(units) <= 1:
            for unit in units:
                self._unit(lane, unit, special=False)
            return
        try:
            with self._connection.transaction():
                self._see_to_parents(lane, units)
                applied = self._together(lane, units)
        except psycopg.Error as error:
            fault(error)
        else:
            self._add(applied)
            return
        self._forget()
        half = len(units) // 2
        self._halves(lane, units[:half])
        self._halves(lane, units[half:])

    def _repeated(self, lane: Sequence[Table], units: Units) -> None:
        """Apply units of which rows take turns; those that come to the same again are undone."""
        if len(units) <= 1:
            for unit in units:
                self._unit(lane, unit, special=True)
            return
        same: set[UUID] = set()
        try:
            with self._connection.transaction() as savepoint:
                before = self._known.stand(lane, units)
                self._see_to_parents(lane, units)
                applied = self._together(lane, units)
                after = self._known.stand(lane, units)
                same = {unit for unit in units if before.get(unit) == after.get(unit)}
                alone = bool(self._held)
                if same or alone:
                    raise psycopg.Rollback(savepoint)
        except psycopg.Error as error:
            fault(error)
            alone = True
        if not same and not alone:
            self._remember(lane, after)
            self._add(applied)
            return
        self._forget()
        half = len(units) // 2
        halves = [units[:half], units[half:]]
        if not alone:
            self._remember(lane, {unit: after[unit] for unit in same if unit in after})
            halves = [[unit for unit in units if unit not in same]]
        for part in halves:
            self._repeated(lane, part)

    def _remember(self, lane: Sequence[Table], stand: dict[UUID, str]) -> None:
        sent = self._known.sent(lane, list(stand))
        left = [(unit, sent[unit], stand[unit]) for unit in stand]
        self._known.remember(lane[0].name, left)

    def _forget(self) -> None:
        """Forget what a savepoint did that was rolled back."""
        self._held.clear()
        self._parents.made.clear()

    def _plain(self) -> list[int]:
        return [number for number, shape in enumerate(self._staging.shapes) if shape.plain]

    def _with(
        self, lane: Sequence[Table], units: Units, where: str, *parameters: object
    ) -> set[UUID]:
        """Return the units that have staged rows which fulfil `where`."""
        found: set[UUID] = set()
        for table in lane:
            rows = self._connection.execute(
                f"SELECT DISTINCT s.{table.unit} FROM {table.staging} s"
                f" WHERE s.{table.unit} = ANY(%s) AND {where}",
                (units, *parameters),
            )
            found |= {row[0] for row in rows}
        return found

    def _see_to_parents(self, lane: Sequence[Table], units: Units) -> None:
        if lane[0] is RUNS:
            self._parents.of_runs(units)
        else:
            self._parents.of_simulations(units)

    def _unit(self, lane: Sequence[Table], unit: UUID, *, special: bool) -> None:
        before = self._known.stand(lane, [unit]) if special else None
        with self._connection.transaction() as savepoint:
            self._see_to_parents(lane, [unit])
            applied = self._whole(lane, unit)
            after = self._known.stand(lane, [unit]) if special else {}
            if after == before or not self._any_left(lane, unit):
                applied = Counter()
                self._parents.made.clear()
                raise psycopg.Rollback(savepoint)
        for table in lane:  # also where that was rolled back
            positions = [place.position for held, place, _, _ in self._held if held is table]
            if positions:
                self._connection.execute(
                    f"UPDATE {table.staging} SET state = 'q' WHERE position = ANY(%s)",
                    (positions,),
                )
        if after and not self._held:
            self._remember(lane, after)
        self._add(applied)

    def _whole(self, lane: Sequence[Table], unit: UUID) -> Counter[str]:
        """Apply a unit, at once if possible, and return how many rows were written."""
        if not self._any_left(lane, unit, "s.shape = ANY(%s)", self._plain()):
            try:
                with self._connection.transaction():
                    return self._together(lane, [unit])
            except psycopg.Error as error:
                fault(error)
        applied: Counter[str] = Counter()
        for table in lane:
            applied += self._one_by_one(table, unit)
            if table is lane[0] and not self._stands(table, unit):
                reason = Fault("parent", f"its row in {table.name} is in quarantine or missing")
                for child in lane[1:]:
                    self.hold(child, f"s.{child.unit} = %s", (unit,), reason)
                break
        return applied

    def _any_left(
        self, lane: Sequence[Table], unit: UUID, where: str = SENT, *parameters: object
    ) -> bool:
        return any(
            self._connection.execute(
                f"SELECT FROM {table.staging} s WHERE s.{table.unit} = %s AND {where} LIMIT 1",
                (unit, *parameters),
            ).rowcount
            for table in lane
        )

    def _stands(self, table: Table, unit: UUID) -> bool:
        found = self._connection.execute(
            f"SELECT FROM {table.name} WHERE {table.unit} = %s", (unit,)
        ).fetchone()
        return found is not None

    def _together(self, lane: Sequence[Table], units: Units) -> Counter[str]:
        applied: Counter[str] = Counter()
        if not units:
            return applied
        for table in lane:
            live = f"{LIVE} AND s.{table.unit} = ANY(%s)"
            where = f"{live} AND s.turn = %s AND s.shape = %s"
            for turn, number in self._connection.execute(
                f"SELECT DISTINCT turn, shape FROM {table.staging} s WHERE {live} ORDER BY 1, 2",
                (units,),
            ).fetchall():
                shape, those = self._staging.shapes[number], (units, turn, number)
                applied[table.name] += self._replacing(table, where, those)
                applied[table.name] += self._connection.execute(
                    upsert(shape, table, where, self._staging.now), those
                ).rowcount
        return applied

    def _replacing(self, table: Table, where: str, parameters: Sequence[object]) -> int:
        """Return how many placeholders will be replaced: their trigger hides it from INSERT."""
        if table is not RUNS:
            return 0
        row = self._connection.execute(
            f"SELECT count(*) FROM {table.staging} s JOIN walkforward_runs r USING (run_id)"
            f" WHERE {where} AND r.is_placeholder",
            parameters,
        ).fetchone()
        return int(row[0]) if row else 0

    def _one_by_one(self, table: Table, unit: UUID) -> Counter[str]:
        statements = self._connection.execute(
            f"SELECT DISTINCT s.position, s.shape FROM {table.staging} s"
            f" WHERE {SENT} AND s.{table.unit} = %s ORDER BY 1",
            (unit,),
        ).fetchall()
        applied: Counter[str] = Counter()
        where = f"{SENT} AND s.position = %s"
        for position, number in statements:
            shape = self._staging.shapes[number]
            found = None
            try:
                with self._connection.transaction() as savepoint:
                    count = self._replacing(table, where, (position,))
                    sql = upsert(shape, table, where, self._staging.now)
                    done = self._connection.execute(sql, (position,))
                    count += done.rowcount
                    if shape.plain and not all(inserted for (inserted,) in done):
                        found = _TAKEN
                        raise psycopg.Rollback(savepoint)
            except psycopg.Error as error:
                found = fault(error)
            if found:
                self.hold(table, "s.position = %s", (position,), found)
            else:
                applied[table.name] += count
        return applied

    def _add(self, applied: Counter[str]) -> None:
        """Count what stays, and put what was held back meanwhile into quarantine."""
        for name, count in applied.items():
            self._report.tables[name].applied += count
        for name in self._parents.made:
            self._report.tables[name].placeholders += 1
        self._parents.made.clear()
        self._to_quarantine()
