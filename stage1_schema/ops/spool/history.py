"""How far each file was taken up, so that the next replay goes on there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from hashlib import _Hash

    import psycopg

    from stage1_schema.ops.spool.report import Report

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Start:
    """Where to begin: a byte, its line (from 1), and the hash of what is before it.

    `replay_id` is the last replay of the file, `left_out` are statements before this place that
    found no room in the quarantine.
    """

    position: int
    line: int
    digest: _Hash
    mode: str
    replay_id: int | None = None
    left_out: int = 0


def find_start(
    connection: psycopg.Connection[Any], file: BinaryIO, source: str, size: int, *, again: bool
) -> Start:
    """Return where the last replay of `source` ended, or the start of a file that was changed."""
    last = connection.execute(
        "SELECT consumed_bytes, consumed_lines, digest, replay_id,"
        " coalesce((report ->> 'carried')::bigint, 0) FROM spool_replays"
        " WHERE source = %s AND finished_at IS NOT NULL ORDER BY replay_id DESC LIMIT 1",
        (source,),
    ).fetchone()
    number = last[3] if last else None
    if last is not None and not again and 0 < last[0] <= size:
        digest = hashlib.sha256()
        feed(file, 0, last[0], digest)
        if digest.hexdigest() == last[2]:
            mode = "unchanged" if last[0] == size else "append"
            return Start(last[0], last[1], digest, mode, number, last[4])
    return Start(0, 1, hashlib.sha256(), "full", number)


def last_replay(connection: psycopg.Connection[Any], source: str) -> int | None:
    """Return the number of the last replay of `source` that has ended."""
    row = connection.execute(
        "SELECT max(replay_id) FROM spool_replays WHERE source = %s AND finished_at IS NOT NULL",
        (source,),
    ).fetchone()
    return row[0] if row else None


def feed(file: BinaryIO, start: int, end: int, digest: _Hash) -> None:
    """Feed the bytes from `start` to `end` to `digest`."""
    file.seek(start)
    left = end - start
    while left > 0 and (data := file.read(min(_BLOCK, left))):
        digest.update(data)
        left -= len(data)


def begin(connection: psycopg.Connection[Any], report: Report) -> int:
    """Record that a replay started and return its number."""
    row = connection.execute(
        "INSERT INTO spool_replays (source, mode, file_bytes) VALUES (%s, %s, %s)"
        " RETURNING replay_id",
        (report.source, report.mode, report.file_bytes),
    ).fetchone()
    return int(row[0]) if row else 0


def finish(
    connection: psycopg.Connection[Any],
    number: int,
    report: Report,
    *,
    position: int,
    line: int,
    digest: _Hash,
    carried: int,
) -> None:
    """Record how far the file was taken up and what came of it.

    `carried` is how many statements before that place found no room in the quarantine.
    """
    data = report.to_data() | {"carried": carried}
    del data["source"], data["mode"]
    connection.execute(
        "UPDATE spool_replays SET finished_at = clock_timestamp(), consumed_bytes = %s,"
        " consumed_lines = %s, digest = %s, report = %s::jsonb, exit_code = %s"
        " WHERE replay_id = %s",
        (position, line, digest.hexdigest(), json.dumps(data), report.exit_code, number),
    )
