"""Rows whose time was sent in a wrong unit, or lies ahead of the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from questdb_ddl.names import quote
from questdb_ddl.types import TimestampNs

if TYPE_CHECKING:
    from questdb_ddl.client import Client
    from questdb_ddl.spec import LiveTable

US_PER_SECOND = 1_000_000
SECONDS, MILLISECONDS, MICROSECONDS = 10**8, 10**11, 10**14
TOO_LATE = 10**17
"""Microseconds since 1970 below which a time was sent in too coarse a unit, or above too fine.

The contract's rule by magnitude (part 5), which is in nanoseconds there: a value below 1e11 is in
seconds, below 1e14 in milliseconds, below 1e17 in microseconds. 1e17 µs is the year 5138.
"""


@dataclass(frozen=True, slots=True)
class Suspects:
    """Rows whose time looks like another unit, by how it was sent, and those ahead of the clock.

    The first three came in as seconds, milliseconds and microseconds and were read as
    nanoseconds (or each a thousandfold off, which is the same instant); `too_late` lies after
    the year 5138; `future` is ahead of the server's clock by more than a day and not too late.
    """

    seconds: int = 0
    milliseconds: int = 0
    microseconds: int = 0
    too_late: int = 0
    future: int = 0

    @property
    def movable(self) -> int:
        """How many rows a known factor brings to where they belong."""
        return self.seconds + self.milliseconds + self.microseconds + self.too_late

    def __str__(self) -> str:
        told = {
            "sent in seconds (they stand in the first 2 minutes of 1970)": self.seconds,
            "sent in milliseconds (they stand on 1970-01-01)": self.milliseconds,
            "sent in microseconds (they stand before 1973-03-03)": self.microseconds,
            "sent in too fine a unit (they stand after the year 5138)": self.too_late,
            "ahead of the server's clock": self.future,
        }
        return ", ".join(f"{count:,} rows {what}" for what, count in told.items() if count)


def suspects(client: Client, live: LiveTable) -> Suspects:
    """Return how many rows of `live` lie where only a wrong unit puts them; reads every time."""
    stamp = quote(live.designated_timestamp or "")
    us = microseconds(live)
    conditions = {
        "seconds": f"{us} < {SECONDS}",
        "milliseconds": f"{us} >= {SECONDS} and {us} < {MILLISECONDS}",
        "microseconds": f"{us} >= {MILLISECONDS} and {us} < {MICROSECONDS}",
        "too_late": f"{us} >= {TOO_LATE}",
        "future": f"{stamp} > dateadd('d', 1, now()) and {us} < {TOO_LATE}",
    }
    # Two queries, each on an interval of the designated timestamp: a table can be large.
    early = f"{stamp} < cast({MICROSECONDS} as timestamp)"
    late = f"{stamp} > dateadd('d', 1, now())"
    counts = dict.fromkeys(conditions, 0)
    for interval, names in ((early, ("seconds", "milliseconds", "microseconds")),
                            (late, ("too_late", "future"))):  # fmt: skip
        sums = ", ".join(f"sum(case when {conditions[n]} then 1 else 0 end) {n}" for n in names)
        rows = client.query(f"select {sums} from {quote(live.name)} where {interval}")
        counts |= {name: rows[0][name] or 0 for name in names} if rows else {}
    return Suspects(**counts)


def microseconds(live: LiveTable) -> str:
    """Return the SQL of the designated timestamp of `live` as microseconds since 1970."""
    return f"cast({as_timestamp(live)} as long)"


def as_timestamp(live: LiveTable) -> str:
    """Return the SQL of the designated timestamp of `live` in whole microseconds."""
    stamp = quote(live.designated_timestamp or "")
    return f"cast({stamp} as timestamp)" if nanoseconds(live) else stamp


def nanoseconds(live: LiveTable) -> bool:
    """Tell whether the designated timestamp of `live` counts nanoseconds."""
    column = live.column(live.designated_timestamp or "")
    return column is not None and isinstance(column.type, TimestampNs)
