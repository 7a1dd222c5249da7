"""Whether a live table holds what a record says: told by the columns of each kind's lines.

A record can name any table of the server, also somebody else's. The lines are in part 5 of the
clients' contract; exporters of every age write them, so each kind is known by the columns that all
of its lines have, and may have more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from questdb_ddl.types import (
    Boolean,
    Byte,
    Date,
    Double,
    Float,
    Int,
    Long,
    Short,
    String,
    Symbol,
    Timestamp,
    TimestampNs,
    Varchar,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from questdb_ddl.spec import LiveTable

_NUMBERS = Byte | Short | Int | Long | Float | Double
_TEXTS = Symbol | String | Varchar
_VALUES = _NUMBERS | Boolean | Date | Timestamp | TimestampNs


def unlike_ohlcv(live: LiveTable) -> str | None:
    """Return why `live` does not hold bars, None where it does."""
    return _unlike(live, numbers=("open", "high", "low", "close"))


def unlike_predictions(live: LiveTable) -> str | None:
    """Return why `live` does not hold the predictions of a run, None where it does."""
    return _unlike(live, numbers=("bar_index", "fold_number", "prediction"))


def unlike_simulation(live: LiveTable) -> str | None:
    """Return why `live` does not hold the trades of a simulation, None where it does."""
    return _unlike(live, texts=("simulation_id", "run_id"), numbers=("pnl",))


def unlike_indicators(live: LiveTable) -> str | None:
    """Return why `live` does not hold indicators, None where it does.

    Their names are free: what tells is the tag `dataset_id`, or without it the exporter's times,
    and that everything else is a number.
    """
    tagged = _unlike(live, texts=("dataset_id",))
    timed = (("timestamp_ms",), ("Date", "Time"))
    if tagged and all(_unlike(live, numbers=names) for names in timed):
        return f"{tagged}, and timestamp_ms, and Date with Time"
    for column in live.columns:
        tag = column.name.lower() == "dataset_id" and isinstance(column.type, _TEXTS)
        if not tag and not isinstance(column.type, _VALUES):
            return f"its column {column.name} is no number but {column.type}"
    return None


def _unlike(
    live: LiveTable, *, numbers: Iterable[str] = (), texts: Iterable[str] = ()
) -> str | None:
    if live.designated_timestamp is None:
        return "it has no designated timestamp"
    for names, types, what in ((texts, _TEXTS, "text"), (numbers, _NUMBERS, "number")):
        for name in names:
            column = live.column(name)
            if column is None:
                return f"it lacks {name}"
            if not isinstance(column.type, types):
                return f"its column {name} is no {what} but {column.type}"
    return None
