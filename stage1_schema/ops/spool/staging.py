"""Statements of a spool in temporary tables, whatever their order in the file.

One table for each table of the contract, with the statement's place in the file and its shape in
front of the columns. `turn` counts the rows of one key, in the order of the file. `state` is `o`
for a row as it was sent, `d` for one of several that were merged, `m` for what those come to,
`q` for one that was put into quarantine, and `p` for a trade that is pruned.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import psycopg

from stage1_schema.ops.spool.contract import (
    BUCKETS,
    SIMULATIONS,
    STAGED_TABLES,
    TRADES,
    Place,
    Shape,
    Table,
)
from stage1_schema.ops.spool.faults import Fault, fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from stage1_schema.ops.spool.session import SpoolConnection

FLUSH_BYTES = 2 << 20
MERGED = (SIMULATIONS, BUCKETS, TRADES)
"""Tables of which each column holds what was last written to it, whatever stood before.

What triggers make of a run or a fold depends on the row that stands: those take turns.
"""

Lines = list[tuple[Place, bytes]]  # and the line for COPY
Failures = list[tuple[Shape, Lines, Fault]]


class Staging:
    """The temporary tables of one session, and the shapes that their rows refer to."""

    def __init__(
        self,
        connection: SpoolConnection,
        held: Callable[[Place, Fault, Shape, bytes], None],
        now: str,
    ) -> None:
        """Make the tables. `held` is told of every statement whose values no column takes.

        `now` is what NOW() stands for.
        """
        self._connection = connection
        self._held = held
        self.now = now
        self._numbers: dict[Shape, int] = {}
        self.shapes: list[Shape] = []
        self._buffers: dict[Shape, Lines] = defaultdict(list)
        self._size = 0
        self._sent: Future[Failures] | None = None
        self._filled: set[Table] = set()
        self._last: int | None = None
        self.several = False  # whether any statement has more than one row
        connection.execute("SET temp_buffers TO '64MB'")
        for table in STAGED_TABLES:
            columns = ", ".join(f"{name} {kind.value}" for name, kind in table.columns.items())
            connection.execute(f"DROP TABLE IF EXISTS pg_temp.{table.staging}")  # read again
            connection.execute(
                f"CREATE TEMPORARY TABLE {table.staging} (position bigint, line bigint,"
                f" length integer, shape integer, turn integer DEFAULT 1,"
                f" state \"char\" DEFAULT 'o', {columns})"
            )

    def number(self, shape: Shape) -> int:
        """Return the number that stands for `shape` in the tables."""
        if (found := self._numbers.get(shape)) is None:
            found = self._numbers[shape] = len(self.shapes)
            self.shapes.append(shape)
        return found

    def add(self, place: Place, shape: Shape, fields: Iterable[bytes]) -> None:
        """Add one row of a statement."""
        copied = b"%d\t%d\t%d\t%d\t%s\n" % (
            *place,
            self.number(shape),
            b"\t".join(fields),
        )
        if place.position == self._last:
            self.several = True
        elif self._size >= FLUSH_BYTES:  # the rows of a statement stay together
            self.flush()
        self._last = place.position
        self._buffers[shape].append((place, copied))
        self._size += len(copied)

    def flush(self) -> None:
        """Send what is buffered, in the background: reading goes on meanwhile."""
        self._answer()
        buffers, self._buffers, self._size = self._buffers, defaultdict(list), 0
        self._filled |= {shape.table for shape in buffers if shape.table is not None}

        def send() -> Failures:
            sent = ((shape, lines, self._copy(shape, lines)) for shape, lines in buffers.items())
            return [(shape, lines, failed) for shape, lines, failed in sent if failed]

        self._sent = self._connection.background(send)

    def _answer(self) -> None:
        """Wait for what is on its way, and go through what was refused."""
        if self._sent is not None:
            sent, self._sent = self._sent, None
            for refused in sent.result():
                self._halve(*refused)

    def _send(self, shape: Shape, lines: Lines) -> None:
        if failed := self._copy(shape, lines):
            self._halve(shape, lines, failed)

    def _halve(self, shape: Shape, lines: Lines, failed: Fault) -> None:
        statements: dict[Place, Lines] = defaultdict(list)
        for each in lines:
            statements[each[0]].append(each)
        if len(statements) == 1:
            self._held(lines[0][0], failed, shape, b"".join(copied for _, copied in lines))
            return
        groups = list(statements.values())
        half = len(groups) // 2
        for part in (groups[:half], groups[half:]):
            self._send(shape, [line for group in part for line in group])

    def _copy(self, shape: Shape, lines: Lines) -> Fault | None:
        names = ", ".join(shape.columns)
        target = f"spool_{shape.target} (position, line, length, shape, {names})"
        try:
            with (
                self._connection.transaction(),
                self._connection.cursor() as cursor,
                cursor.copy(f"COPY {target} FROM STDIN") as copy,
            ):
                copy.write(b"".join(copied for _, copied in lines))
        except psycopg.Error as error:
            return fault(error)
        return None

    def settle(self) -> None:
        """Send the rest, and put the rows of each key into their order."""
        self.flush()
        self._answer()
        for table in STAGED_TABLES:
            if table in self._filled:
                if table is BUCKETS:  # as its trigger does: the side is part of the key
                    self._connection.execute(
                        f"UPDATE {table.staging} SET side = lower(btrim(side))"
                        " WHERE side <> lower(btrim(side))"
                    )
                if self._take_turns(table) and table in MERGED:
                    self._merge(table)
                for column in (table.unit, "position"):
                    self._connection.execute(f"CREATE INDEX ON {table.staging} ({column})")
                # Statistics of documents are slow to make, and no query here uses them.
                used = ", ".join({"position", "shape", "turn", "state", table.unit, *table.key})
                self._connection.execute(f"ANALYZE {table.staging} ({used})")

    def _take_turns(self, table: Table) -> int:
        """Give every row of a key its number; return how many are not the first of theirs."""
        key = ", ".join(table.key)
        return self._connection.execute(
            f"UPDATE {table.staging} s SET turn = k.turn"
            f" FROM (SELECT ctid AS place,"
            f"              row_number() OVER (PARTITION BY {key} ORDER BY position, ctid) AS turn"
            f"         FROM {table.staging} WHERE ({key}) IN"
            f"              (SELECT {key} FROM {table.staging} GROUP BY {key}"
            f" HAVING count(*) > 1)) k"
            f" WHERE s.ctid = k.place AND k.turn > 1"
        ).rowcount

    def _merge(self, table: Table) -> None:
        """Bring the rows of each key together into one."""
        key = ", ".join(table.key)
        self._connection.execute(
            f"UPDATE {table.staging} SET state = 'd'"
            f" WHERE ({key}) IN (SELECT {key} FROM {table.staging} WHERE turn = 2)"
        )
        signatures = self._connection.execute(
            f"SELECT DISTINCT (array_agg(shape ORDER BY turn))[1],"
            f" array_agg(DISTINCT shape ORDER BY shape)"
            f" FROM {table.staging} WHERE state = 'd' GROUP BY {key}"
        ).fetchall()
        for first, numbers in signatures:
            self._merge_alike(table, first, numbers)

    def _merge_alike(self, table: Table, first: int, numbers: list[int]) -> None:
        shapes = [self.shapes[number] for number in numbers]
        start = self.shapes[first]
        updated = {column for shape in shapes for column in shape.updates}
        inserted = [c for c in table.columns if c in start.columns or c in updated]
        merged = Shape(
            table.name,
            tuple(inserted),
            tuple(c for c in inserted if c in updated),
            plain=any(shape.plain for shape in shapes),
        )
        values = [_merged(table, column, start, self.shapes, numbers) for column in inserted]
        key = ", ".join(table.key)
        self._connection.execute(
            f"INSERT INTO {table.staging}"
            f" (position, line, length, shape, state, {', '.join(inserted)})"
            f" SELECT max(position), max(line), 0, {self.number(merged)}, 'm', {', '.join(values)}"
            f" FROM {table.staging} WHERE state = 'd' GROUP BY {key}"
            f" HAVING (array_agg(shape ORDER BY turn))[1] = %s::integer"
            f" AND array_agg(DISTINCT shape ORDER BY shape) = %s::integer[]",
            (first, numbers),
        )


def _merged(
    table: Table, column: str, start: Shape, shapes: list[Shape], numbers: list[int]
) -> str:
    """Return SQL for the value that the statements of one key leave in a column."""
    if column in table.key:
        return column
    writers = [number for number in numbers if column in shapes[number].updates]
    # A client's own text stays when NULL is sent for it later.
    known = f" AND {column} IS NOT NULL" if column == "serialized_config" else ""
    last = (
        f"array_agg({column} ORDER BY turn DESC) FILTER (WHERE shape IN"
        f" ({', '.join(map(str, writers))}){known})"
    )
    sent = f"(array_agg({column} ORDER BY turn))[1]"
    if not writers:
        return sent
    if not known and (column not in start.columns or column in start.updates):
        return f"({last})[1]"
    # The first statement inserts what only others update.
    return f"CASE WHEN {last} IS NULL THEN {sent} ELSE ({last})[1] END"
