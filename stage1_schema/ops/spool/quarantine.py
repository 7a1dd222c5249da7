"""Statements that could not be applied: kept with their text, tried again.

The quarantine is bounded, for each file and in all. What finds no room is counted; where it may
still be applied, the next replay reads it from the file again.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from stage1_schema.ops.spool.contract import LONGEST
from stage1_schema.ops.spool.report import EXAMPLES, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from stage1_schema.ops.spool.contract import Place
    from stage1_schema.ops.spool.faults import Fault
    from stage1_schema.ops.spool.report import Report

RETRIED = -(1 << 60)
"""A statement from quarantine is staged at this position plus its id: before all of the file."""
NO_STATEMENT = ("tail", "unreadable", "broken", "too large")
FILE_ROWS, FILE_BYTES = 10_000, 16 << 20
"""Open statements of one file, and bytes of their text."""
ALL_ROWS, ALL_BYTES = 50_000, 64 << 20
"""The same of all files; and of closed statements, of which the oldest are forgotten."""
LONGEST_TEXT = 1 << 20
"""Bytes that are kept of what is no statement; the text of a statement is kept whole."""
LONGEST_REASON = 1_000
LONGEST_KEYS = 1 << 16
NOT_RETRIED = (*NO_STATEMENT, "refused", "syntax")
_PAGE = 500
_PAGE_BYTES = 4 << 20

# Of several rows those that later statements have written no longer wait.
_ROW_KEY = """
CASE WHEN q.state = 'open'
      AND string_to_array(q.row_key, ',') <@ string_to_array(EXCLUDED.row_key, ',')
     THEN q.row_key ELSE EXCLUDED.row_key END
"""
# What was superseded is looked at when all is read: often it is again.
_STAYS = "(q.state = 'discarded' OR q.state = 'superseded' AND q.row_key IS NOT NULL)"
_HOLD = f"""
INSERT INTO spool_quarantine AS q
       (source, position, line, kind, reason, statement, digest, target, row_key)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (source, digest) DO UPDATE SET
       position = EXCLUDED.position, line = EXCLUDED.line, kind = EXCLUDED.kind,
       reason = EXCLUDED.reason, target = EXCLUDED.target, row_key = {_ROW_KEY},
       state = CASE WHEN {_STAYS} THEN q.state ELSE 'open' END
 WHERE q.state <> 'open' AND NOT {_STAYS}
    OR (q.position, q.line, q.kind, q.reason, q.target, q.row_key) IS DISTINCT FROM
       (EXCLUDED.position, EXCLUDED.line, EXCLUDED.kind, EXCLUDED.reason, EXCLUDED.target,
        {_ROW_KEY})
"""
_OPEN = """
SELECT quarantine_id, line, statement, row_key
  FROM (SELECT quarantine_id, line, statement, row_key,
               sum(octet_length(statement)) OVER (ORDER BY quarantine_id) AS bytes
          FROM (SELECT quarantine_id, line, statement, row_key FROM spool_quarantine
                 WHERE state = 'open' AND kind <> ALL(%s) AND quarantine_id > %s
                 ORDER BY quarantine_id LIMIT %s) o) p
 WHERE bytes - octet_length(statement) < %s ORDER BY quarantine_id
"""
_AGAIN = """
UPDATE spool_quarantine q
   SET kind = n.kind, reason = n.reason, target = n.target, row_key = n.row_key
  FROM (SELECT quarantine_id, %s AS kind, %s AS reason, coalesce(%s, target) AS target,
               coalesce(%s, row_key) AS row_key
          FROM spool_quarantine WHERE quarantine_id = %s) n
 WHERE q.quarantine_id = n.quarantine_id AND (q.kind, q.reason, q.target, q.row_key)
       IS DISTINCT FROM (n.kind, n.reason, n.target, n.row_key)
"""
_STATES = "SELECT digest, state FROM spool_quarantine WHERE source = %s AND digest = ANY(%s)"
_ROOM = """
SELECT count(*) FILTER (WHERE source = %(source)s),
       coalesce(sum(octet_length(statement)) FILTER (WHERE source = %(source)s), 0),
       count(*), coalesce(sum(octet_length(statement)), 0)
  FROM spool_quarantine WHERE state = 'open'
"""
_FORGET = """
DELETE FROM spool_quarantine WHERE quarantine_id IN
       (SELECT quarantine_id
          FROM (SELECT quarantine_id, row_number() OVER newest AS rows,
                       sum(octet_length(statement)) OVER newest AS bytes
                  FROM spool_quarantine WHERE state <> 'open'
                WINDOW newest AS (ORDER BY quarantine_id DESC)) closed
         WHERE rows > %s OR bytes > %s)
"""


class _Held(NamedTuple):
    """A statement of the file that is to be written to the quarantine."""

    kind: str
    digest: str
    size: int
    values: tuple[object, ...]


class Quarantine:
    """Holds statements of one replay back; they are written many at a time, by `flush`.

    Until `open` nothing is written or read. Flush before the table is read, and outside of a
    savepoint that may be rolled back. `again` says that something found no room which may be
    applied later.
    """

    def __init__(self, connection: psycopg.Connection[Any], file: BinaryIO, report: Report) -> None:
        """Keep the `file` that positions refer to; where it is read meanwhile does not matter."""
        self._connection = connection
        self._file = file
        self.report = report
        self._tried: set[int] = set()
        self._failed: set[int] = set()
        self._tails: list[str] = []
        self.held: list[str] = []  # digests of what a later statement closed once
        self.again = False
        self._is_open = False
        self._pending: dict[str, _Held] = {}
        self._pending_bytes = 0
        self._retried: list[tuple[object, ...]] = []
        self._room: list[int] = []

    def open(self) -> None:
        """Begin to write: the locks are held now."""
        self._is_open = True
        found = self._connection.execute(_ROOM, {"source": self.report.source}).fetchone()
        most = (FILE_ROWS, FILE_BYTES, ALL_ROWS, ALL_BYTES)
        self._room = [limit - int(used) for limit, used in zip(most, found or (), strict=True)]
        self.flush()

    def retries(self) -> Iterator[tuple[int, int, bytes, str | None]]:
        """Yield position, line, text and keys of rows of every open statement, oldest first."""
        last = 0
        while rows := self._connection.execute(
            _OPEN, (list(NOT_RETRIED), last, _PAGE, _PAGE_BYTES)
        ).fetchall():
            for number, line, statement, row_key in rows:
                self._tried.add(number)
                yield RETRIED + number, line, statement.encode(), row_key
            last = rows[-1][0]

    def hold(
        self,
        place: Place,
        fault: Fault,
        target: str | None = None,
        row_key: str | None = None,
    ) -> None:
        """Keep a statement: one of the file at its place, or one that was tried again."""
        position, line, length = place
        counts = self.report.tables[target or "-"]
        if fault.kind == "refused":
            counts.refused += 1
        else:
            counts.quarantined += 1
        kind, reason = fault.kind, fault.reason[:LONGEST_REASON]
        if row_key is not None and len(row_key) > LONGEST_KEYS:
            row_key = None
        if len(self.report.entries) < EXAMPLES:
            shown = row_key and row_key[:LONGEST_REASON]
            self.report.entries.append(Entry(line, kind, reason, target, shown))
        if position < 0:
            number = position - RETRIED
            self._failed.add(number)
            self._retried.append((kind, reason, target, row_key, number))
        else:
            text = os.pread(self._file.fileno(), min(length, LONGEST), position)
            kept = text[:LONGEST_TEXT] if kind in NO_STATEMENT else text
            if len(kept) < length and kind != "tail":
                reason = f"{reason}; {length} bytes, the first {len(kept)} kept"
            digest = hashlib.sha256(text + b"%d" % length * (length > LONGEST)).hexdigest()
            if kind == "tail":
                self._tails.append(digest)
            statement = kept.decode(errors="backslashreplace").replace("\0", "\\x00")
            values = (self.report.source, position, line, kind, reason, statement, digest)
            self._add(_Held(kind, digest, len(statement), (*values, target, row_key)))
        if self._is_open and (
            len(self._pending) + len(self._retried) >= _PAGE or self._pending_bytes >= _PAGE_BYTES
        ):
            self.flush()

    def _add(self, held: _Held) -> None:
        """Let a statement wait for the next flush; what is more than a file may have is counted."""
        if (before := self._pending.pop(held.digest, None)) is not None:
            self._pending_bytes -= before.size
        elif len(self._pending) >= FILE_ROWS or self._pending_bytes + held.size > FILE_BYTES:
            self._leave_out(held.kind)
            return
        self._pending[held.digest] = held
        self._pending_bytes += held.size

    def _leave_out(self, kind: str) -> None:
        self.report.left_out += 1
        self.again = self.again or kind not in NOT_RETRIED

    def flush(self) -> None:
        """Write what was held back since the last time, in the same order."""
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        retried, self._retried = self._retried, []
        if not pending and not retried:
            return
        known = dict(self._connection.execute(_STATES, (self.report.source, [*pending])).fetchall())
        self.held += [digest for digest, state in known.items() if state == "superseded"]
        with self._connection.transaction(), self._connection.pipeline():
            for values in retried:
                self._connection.execute(_AGAIN, values)
            for digest, held in pending.items():
                if digest in known or self._has_room(held.size):
                    self._connection.execute(_HOLD, held.values)
                else:
                    self._leave_out(held.kind)

    def _has_room(self, size: int) -> bool:
        """Take the room of one row of `size` bytes, where there is so much."""
        left = [have - want for have, want in zip(self._room, (1, size) * 2, strict=True)]
        if min(left) < 0:
            return False
        self._room = left
        return True

    def close(self) -> None:
        """Close what was applied and the tails that have changed; count what is left."""
        self.flush()
        self._connection.execute(
            "UPDATE spool_quarantine SET state = 'superseded'"
            " WHERE state = 'open' AND kind = 'tail' AND source = %s AND digest <> ALL(%s)",
            (self.report.source, self._tails),
        )
        if applied := self._tried - self._failed:
            self._connection.execute(
                "UPDATE spool_quarantine SET state = 'applied'"
                " WHERE quarantine_id = ANY(%s) AND state = 'open'",
                (list(applied),),
            )
        self._connection.execute(_FORGET, (ALL_ROWS, ALL_BYTES))
        self.report.open_quarantine = count_open(self._connection)


def count_open(connection: psycopg.Connection[Any]) -> int:
    """Return how many statements wait in quarantine."""
    row = connection.execute(
        "SELECT count(*) FROM spool_quarantine WHERE state = 'open'"
    ).fetchone()
    return int(row[0]) if row else 0
