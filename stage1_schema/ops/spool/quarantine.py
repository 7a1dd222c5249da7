"""Statements that could not be applied: kept with their text, tried again, listed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from stage1_schema.errors import Stage1Error
from stage1_schema.ops.spool.report import EXAMPLES, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import psycopg

    from stage1_schema.ops.spool.contract import Place
    from stage1_schema.ops.spool.faults import Fault
    from stage1_schema.ops.spool.report import Report

RETRIED = -(1 << 60)
"""A statement from quarantine is staged at this position plus its id: before all of the file."""
NO_STATEMENT = ("tail", "unreadable", "broken", "too large")
LONGEST_TEXT = 1 << 20
"""Bytes that are kept of what is no statement; the text of a statement is kept whole."""
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
_LISTING = """
SELECT q.quarantine_id, q.source, q.line, q.kind, q.reason, q.statement,
       1 + count(r.replay_id), q.first_seen_at, coalesce(max(r.started_at), q.first_seen_at)
  FROM spool_quarantine q
  LEFT JOIN spool_replays r ON q.kind <> ALL(%s) AND r.started_at > q.first_seen_at
                           AND r.finished_at IS NOT NULL
 WHERE q.state = 'open' GROUP BY q.quarantine_id ORDER BY q.quarantine_id
"""


@dataclass(frozen=True)
class Kept:
    """An open statement of the quarantine, as it is listed."""

    id: int
    source: str
    line: int
    kind: str
    reason: str
    statement: str
    attempts: int
    first_seen_at: datetime
    last_tried_at: datetime


class Quarantine:
    """Holds statements of one replay back; they are written many at a time, by `flush`.

    Flush before the table is read, and outside of a savepoint that may be rolled back.
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
        self._closed: set[str] | None = None
        self._pending: list[tuple[str, tuple[object, ...]]] = []
        self._pending_bytes = 0

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
        if len(self.report.entries) < EXAMPLES:
            self.report.entries.append(Entry(line, fault.kind, fault.reason, target, row_key))
        if position < 0:
            number = position - RETRIED
            self._failed.add(number)
            self._write(_AGAIN, (*fault, target, row_key, number), 0)
            return
        text = os.pread(self._file.fileno(), length, position)
        kind, reason = fault
        kept = text[:LONGEST_TEXT] if kind in NO_STATEMENT else text
        if kept != text and kind != "tail":
            reason = f"{reason}; {len(text)} bytes, the first {len(kept)} kept"
        digest = hashlib.sha256(text).hexdigest()
        if digest in self._superseded():
            self.held.append(digest)
        if kind == "tail":
            self._tails.append(digest)
        statement = kept.decode(errors="backslashreplace").replace("\0", "\\x00")
        values = (self.report.source, position, line, kind, reason, statement, digest)
        self._write(_HOLD, (*values, target, row_key), len(statement))

    def _superseded(self) -> set[str]:
        """Return the digests of what later statements have closed of this file."""
        if self._closed is None:
            rows = self._connection.execute(
                "SELECT digest FROM spool_quarantine WHERE state = 'superseded' AND source = %s",
                (self.report.source,),
            )
            self._closed = {digest for (digest,) in rows}
        return self._closed

    def _write(self, sql: str, values: tuple[object, ...], size: int) -> None:
        self._pending.append((sql, values))
        self._pending_bytes += size
        if len(self._pending) >= _PAGE or self._pending_bytes >= _PAGE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was held back since the last time, in the same order."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if pending:
            with self._connection.transaction(), self._connection.pipeline():
                for sql, values in pending:
                    self._connection.execute(sql, values)

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
        self.report.open_quarantine = count_open(self._connection)


def count_open(connection: psycopg.Connection[Any]) -> int:
    """Return how many statements wait in quarantine."""
    row = connection.execute(
        "SELECT count(*) FROM spool_quarantine WHERE state = 'open'"
    ).fetchone()
    return int(row[0]) if row else 0


def listing(connection: psycopg.Connection[Any]) -> list[Kept]:
    """Return every open statement, oldest first."""
    rows = connection.execute(_LISTING, (list(NOT_RETRIED),)).fetchall()
    return [Kept(*row) for row in rows]


def discard(connection: psycopg.Connection[Any], numbers: list[int]) -> int:
    """Give statements up: they are kept, and no longer tried.

    Raises Stage1Error, and discards none, when one of them is not in quarantine.
    """
    with connection.transaction():
        found = connection.execute(
            "UPDATE spool_quarantine SET state = 'discarded'"
            " WHERE quarantine_id = ANY(%s) AND state = 'open'",
            (numbers,),
        ).rowcount
        if found != len(set(numbers)):
            raise Stage1Error(
                "Not all of these statements are in quarantine.",
                next_step="take the ids from: stage1 replay --quarantine.",
            )
    return found
