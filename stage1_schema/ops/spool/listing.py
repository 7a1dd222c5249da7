"""What is in the quarantine, and giving it up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stage1_schema.errors import Stage1Error
from stage1_schema.ops.spool.quarantine import NOT_RETRIED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import psycopg

KINDS = (*NOT_RETRIED, "value", "constraint", "parent")
ALL = "all"

_LISTING = """
SELECT q.quarantine_id, q.source, q.line, q.kind, q.reason, q.statement,
       1 + count(r.replay_id), q.first_seen_at, coalesce(max(r.started_at), q.first_seen_at)
  FROM spool_quarantine q
  LEFT JOIN spool_replays r ON q.kind <> ALL(%s) AND r.started_at > q.first_seen_at
                           AND r.finished_at IS NOT NULL
 WHERE q.state = 'open' GROUP BY q.quarantine_id ORDER BY q.quarantine_id
"""
_LEFT_OUT = """
SELECT source, left_out
  FROM (SELECT DISTINCT ON (source) source, (report ->> 'left_out')::bigint AS left_out
          FROM spool_replays WHERE finished_at IS NOT NULL
         ORDER BY source, replay_id DESC) newest
 WHERE left_out > 0 ORDER BY source
"""
_NONE_LEFT_OUT = """
UPDATE spool_replays SET report = report || '{"left_out": 0, "carried": 0}'
 WHERE (report ->> 'left_out')::bigint > 0 AND (%(all)s OR source = ANY(%(sources)s))
"""
_DISCARD = """
UPDATE spool_quarantine SET state = 'discarded'
 WHERE state = 'open'
   AND (%(all)s OR quarantine_id = ANY(%(ids)s) OR kind = ANY(%(kinds)s)
        OR source = ANY(%(sources)s))
RETURNING quarantine_id, kind, source
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


@dataclass(frozen=True)
class Which:
    """Which statements to give up: by id, by kind, by the file that they are from, or all."""

    ids: Sequence[int] = ()
    kinds: Sequence[str] = ()
    sources: Sequence[str] = ()
    all: bool = False
    names: Mapping[str, str] = field(default_factory=dict)  # what the user called each file


def listing(connection: psycopg.Connection[Any]) -> list[Kept]:
    """Return every open statement, oldest first."""
    rows = connection.execute(_LISTING, (list(NOT_RETRIED),)).fetchall()
    return [Kept(*row) for row in rows]


def left_out(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Return how many statements of each file found no room in the quarantine."""
    return dict(connection.execute(_LEFT_OUT).fetchall())


def discard(connection: psycopg.Connection[Any], which: Which | Sequence[int]) -> int:
    """Give statements up: they are kept, and no longer tried. Return how many.

    Raises Stage1Error, and discards none, when one of the ids, kinds or files has none in the
    quarantine. A file's, and all, that found no room are no longer counted.
    """
    if not isinstance(which, Which):
        which = Which(ids=which)
    sources = [*which.sources]
    wanted: list[int | str] = [*which.ids, *which.kinds, *sources]
    with connection.transaction():
        rows = connection.execute(
            _DISCARD,
            {
                "all": which.all,
                "ids": [*which.ids],
                "kinds": [*which.kinds],
                "sources": sources,
            },
        ).fetchall()
        found = {each for row in rows for each in row}
        missing = [each for each in wanted if each not in found]
        connection.execute(_NONE_LEFT_OUT, {"all": which.all, "sources": sources})
        if missing:
            named = ", ".join(which.names.get(str(each), str(each)) for each in missing)
            raise Stage1Error(
                f"Not in quarantine: {named}. Nothing was given up.",
                next_step="take ids, kinds and files from: stage1 replay --quarantine.",
            )
    return len(rows)
