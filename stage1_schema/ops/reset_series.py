"""The QuestDB side of a reset: every existing table, what becomes of it, and what is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from questdb_ddl import DeclarationError, Kind, QueryError, drop, live_tables, quote, retire
from questdb_ddl.detached import LISTED
from questdb_ddl.dropping import dropping_name
from questdb_ddl.tables import (
    SHARED_TABLES,
    unlike_indicators,
    unlike_ohlcv,
    unlike_predictions,
    unlike_simulation,
)
from stage1_schema.ops.series_names import is_kept_copy, named_for, origin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from questdb_ddl import Client, LiveTable

SHARED = frozenset(table.name.lower() for table in SHARED_TABLES)
UNLIKE = (unlike_ohlcv, unlike_indicators, unlike_predictions, unlike_simulation)
_POLL_S = 0.2


class Reason(StrEnum):
    """Why a reset drops a table or leaves it."""

    SHARED = "shared"
    RECORDED = "recorded"
    UNLIKE = "recorded, other columns"
    NAMED = "by its name"
    UNFINISHED = "unfinished"
    KEPT = "kept copy"
    FOREIGN = "not of Stage1"


@dataclass(frozen=True)
class Series:
    """One existing table or view; `rows` is None where they cannot be counted.

    `detached` are its detached partitions, whose rows no count shows; `readers` the materialized
    views that read it.
    """

    name: str
    rows: int | None
    reason: Reason
    view: bool = False
    suspended: bool = False
    detached: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()

    @property
    def counted(self) -> str:
        """The rows, for people."""
        hidden = " + detached" if self.detached else ""
        if self.rows is None:
            return ("view" if self.view else "unknown") + hidden
        return f"{self.rows:,}{hidden}"


@dataclass(frozen=True)
class Cleared:
    """What was done: names that rows were kept under, and tables that could not be dropped."""

    kept: tuple[str, ...]
    failed: tuple[str, ...]


def read(questdb: Client, recorded: Iterable[str]) -> tuple[Series, ...]:
    """Return every table and view of the server, its own excepted, sorted by name.

    `recorded` are the names that PostgreSQL knows. A table that cannot be read or counted is
    listed with unknown rows. Raises QuestDBDDLError.
    """
    records = {name.lower() for name in recorded}
    records |= {dropping_name(name) for name in records}
    live = live_tables(questdb, counts=True)
    return tuple(_series(live[name], records) for name in sorted(live))


def is_dropped(series: Series, *, everything: bool, keep: bool) -> bool:
    """Return whether a reset drops `series`, or with `keep` renames it."""
    if series.reason in (Reason.FOREIGN, Reason.UNLIKE):
        return everything
    if series.reason is Reason.KEPT:
        return everything and not keep
    return True


def refusals(dropped: Collection[Series], *, keep: bool) -> Iterator[str]:
    """Yield what would stop `clear` half-way, as sentences without their full stop."""
    for series in dropped if keep else ():
        if series.suspended:
            yield (
                f"QuestDB's {series.name} is suspended, and its log can hold rows that nobody sees:"
                f' resume it with ALTER TABLE "{series.name}" RESUME WAL, or use --drop'
            )
        elif series.rows is None and not series.view:
            yield f"QuestDB's {series.name} cannot be read, so its rows cannot be kept: use --drop"
    names = {series.name.lower() for series in dropped}
    for series in dropped:
        for view in series.readers:
            if view.lower() not in names:
                yield f"QuestDB's materialized view {view} reads {series.name}: drop the view first"
        if series.detached:
            name, more = series.name, len(series.detached) - LISTED
            shown = ", ".join(series.detached[:LISTED]) + f" and {more:,} more" * (more > 0)
            yield (
                f"QuestDB's {name} has detached partitions ({shown}), whose rows no count shows:"
                f" attach them, or lose them with stage1 questdb drop {name}"
                f" --give-up-detached {name} --confirm {name}"
            )


def clear(
    questdb: Client,
    dropped: Iterable[Series],
    *,
    keep: bool,
    progress: Callable[[str], None] = lambda _: None,
) -> Cleared:
    """Drop the tables, views first; with `keep`, rename those with rows.

    Safe to repeat. A table that QuestDB cannot read and will not drop is returned as failed.
    """
    kept: list[str] = []
    failed: list[str] = []
    # What an earlier drop left must not be in the way of the table itself.
    for series in sorted(dropped, key=lambda s: (not s.view, -s.name.count("__"), s.name)):
        progress(f"QuestDB: dropping {series.name}")
        if keep:
            outcome = retire(questdb, series.name, datetime.now(UTC))
            kept += [outcome.kept_as] if outcome.kept_as else []
        elif series.rows is None and not series.view:
            failed += [] if _drop_unreadable(questdb, series.name) else [series.name]
        else:
            drop(questdb, series.name)
    return Cleared(tuple(kept), tuple(failed))


def left(
    questdb: Client,
    recorded: Iterable[str],
    *,
    everything: bool,
    keep: bool,
    watch_seconds: float,
) -> tuple[Series, ...]:
    """Return what a reset had to drop and exists, shared tables excepted.

    Where there is nothing it looks again for `watch_seconds`: a writer can create a table at any
    moment.
    """
    deadline = time.monotonic() + watch_seconds
    while True:
        found = tuple(
            series
            for series in read(questdb, recorded)
            if series.reason is not Reason.SHARED
            and is_dropped(series, everything=everything, keep=keep)
        )
        if found or time.monotonic() >= deadline:
            return found
        time.sleep(_POLL_S)


def _series(live: LiveTable, recorded: Collection[str]) -> Series:
    view = live.kind is not Kind.TABLE
    unknown = live.unread is not None or view
    return Series(
        live.name,
        None if unknown else live.row_count or 0,
        _reason(live.name.lower(), live, recorded),
        view,
        live.suspended,
        tuple(map(str, live.detached or ())),
        live.views or (),
    )


def _reason(name: str, live: LiveTable, recorded: Collection[str]) -> Reason:
    if name in SHARED:
        return Reason.SHARED
    if name in recorded:
        # A record can name any table of the server, also somebody else's.
        ours = named_for(name) or any(unlike(live) is None for unlike in UNLIKE)
        return Reason.RECORDED if ours else Reason.UNLIKE
    if is_kept_copy(name):
        return Reason.KEPT
    first = origin(name)
    if first != name:
        whose = _reason(first, live, recorded)
        left = (Reason.FOREIGN, Reason.UNLIKE, Reason.KEPT)
        return whose if whose in left else Reason.UNFINISHED
    return Reason.NAMED if named_for(name) else Reason.FOREIGN


def _drop_unreadable(questdb: Client, name: str) -> bool:
    try:
        questdb.execute(f"DROP TABLE IF EXISTS {quote(name)}")
    except (QueryError, DeclarationError):
        return False
    return True
