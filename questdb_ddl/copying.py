"""Copy one table into another of the same keys, month by month, and compare the two exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from questdb_ddl.names import quote
from questdb_ddl.types import (
    Array,
    Binary,
    Byte,
    ColumnType,
    Int,
    Long,
    Other,
    Short,
    Symbol,
    TimestampNs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from questdb_ddl.client import Client
    from questdb_ddl.spec import LiveTable, Table

US_PER_SECOND = 1_000_000
_SECONDS, _MILLISECONDS, _MICROSECONDS = 10**8, 10**11, 10**14
_TOO_LATE = 10**17
"""Microseconds since 1970 below which a time was sent in too coarse a unit, or above too fine.

The contract's rule by magnitude (part 5), which is in nanoseconds there: a value below 1e11 is in
seconds, below 1e14 in milliseconds, below 1e17 in microseconds. 1e17 µs is the year 5138.
"""


@dataclass(frozen=True, slots=True)
class Month:
    """One slice of a copy: `[start, end)` in microseconds since 1970 UTC, and its rows."""

    start: int
    end: int
    rows: int

    @property
    def condition(self) -> str:
        """The slice as an SQL condition on the designated timestamp called `{}`."""
        return f"{{0}} >= cast({self.start} as timestamp) and {{0}} < cast({self.end} as timestamp)"


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
        "seconds": f"{us} < {_SECONDS}",
        "milliseconds": f"{us} >= {_SECONDS} and {us} < {_MILLISECONDS}",
        "microseconds": f"{us} >= {_MILLISECONDS} and {us} < {_MICROSECONDS}",
        "too_late": f"{us} >= {_TOO_LATE}",
        "future": f"{stamp} > dateadd('d', 1, now()) and {us} < {_TOO_LATE}",
    }
    # Two queries, each on an interval of the designated timestamp: a table can be large.
    early = f"{stamp} < cast({_MICROSECONDS} as timestamp)"
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
    return f"cast({_as_timestamp(live)} as long)"


def _as_timestamp(live: LiveTable) -> str:
    stamp = quote(live.designated_timestamp or "")
    return f"cast({stamp} as timestamp)" if nanoseconds(live) else stamp


def nanoseconds(live: LiveTable) -> bool:
    """Tell whether the designated timestamp of `live` counts nanoseconds."""
    column = live.column(live.designated_timestamp or "")
    return column is not None and isinstance(column.type, TimestampNs)


class Copy:
    """What stands in `source` as rows of `target`: selected, inserted, compared.

    `source` may hold duplicates by the target's keys; the last one written counts, as it would
    have with deduplication. With `fix_timestamps`, rows whose time was sent in another unit
    count where they belong, and lose against a row that stands there already. `only` is an SQL
    condition that leaves rows of the source out.
    """

    def __init__(
        self,
        client: Client,
        source: LiveTable,
        target: Table,
        *,
        fix_timestamps: bool = False,
        only: str = "",
    ) -> None:
        self.client = client
        self.source = source
        self.target = target
        self.fix = fix_timestamps
        self.only = only
        self._stamp = quote(source.designated_timestamp or "")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns that both tables have, named as the target does, its timestamp first."""
        stamp = self.target.designated_timestamp
        common = (c.name for c in self.target.columns if self.source.column(c.name))
        return (stamp, *(name for name in common if name != stamp))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The target's keys that the source has; the others are null in all of its rows."""
        stamp = self.target.designated_timestamp
        return (stamp, *(k for k in self.names if k in self.target.dedup_keys and k != stamp))

    @cached_property
    def _list(self) -> str:
        return ", ".join(map(quote, self.names))

    def _expression(self, name: str, *, moved: bool = False) -> str:
        if name == self.target.designated_timestamp:
            return self._moved() if moved else self._time()
        found, wanted = self.source.column(name), self.target.column(name)
        if found is None or wanted is None:
            return "null"
        same = type(found.type) is type(wanted.type)
        return quote(found.name) if same else f"cast({quote(found.name)} as {bare(wanted.type)})"

    def _time(self) -> str:
        wanted = self.target.column(self.target.designated_timestamp)
        found = self.source.column(self.source.designated_timestamp or "")
        if wanted is None or found is None or wanted.type == found.type:
            return self._stamp
        return f"cast({self._stamp} as {wanted.type})"

    def _moved(self) -> str:
        """Return the time a suspect row belongs to; exact to what the server kept of it."""
        us = microseconds(self.source)
        finer = f"cast({self._stamp} as long)" if nanoseconds(self.source) else f"{us} * 1000"
        moved = (
            f"case when {us} < {_SECONDS} then {finer} * {US_PER_SECOND} "
            f"when {us} < {_MILLISECONDS} then {finer} * 1000 "
            f"when {us} < {_MICROSECONDS} then {finer} else {us} / 1000 end"
        )
        wanted = self.target.column(self.target.designated_timestamp)
        exact = wanted is not None and isinstance(wanted.type, TimestampNs)
        return f"cast(({moved}){' * 1000' if exact else ''} as {wanted.type if wanted else ''})"

    def _suspect(self) -> str:
        early = f"{self._stamp} < cast({_MICROSECONDS} as timestamp)"
        if nanoseconds(self.source):  # they end in 2262
            return early
        return f"({early} or {self._stamp} >= cast({_TOO_LATE} as timestamp))"

    def _rest(self, month: Month | None) -> str:
        conditions = [month.condition.format(self._stamp)] if month else []
        if self.fix:
            conditions.append(f"not {self._suspect()}")
        if self.only:
            conditions.append(self.only)
        return f" where {' and '.join(conditions)}" if conditions else ""

    @cached_property
    def _may_repeat(self) -> bool:
        """Whether the source does not deduplicate by the very keys of the target."""
        found = [self.source.column(key) for key in self.keys[1:]]
        wanted = {self.source.designated_timestamp, *(column.name for column in found if column)}
        return {key.lower() for key in self.source.dedup_keys} != {
            name.lower() for name in wanted if name
        }

    def _rows(self, columns: tuple[str, ...], month: Month | None) -> str:
        """Return the SELECT of the source's rows, one for each key of the target."""
        shown = ", ".join(f"{self._expression(n)} {quote(n)}" for n in columns)
        if not self._may_repeat:
            return f"select {shown} from {quote(self.source.name)}{self._rest(month)}"
        found = [self.source.column(k) for k in self.keys[1:]]
        keys = ", ".join([self._stamp, *(quote(c.name) for c in found if c)])
        latest = f"latest on {self._stamp} partition by {keys}"
        return f"select {shown} from {quote(self.source.name)}{self._rest(month)} {latest}"

    def months(self) -> list[Month]:
        """Return the months that the source has rows in, the oldest first."""
        floor = f"timestamp_floor('M', {_as_timestamp(self.source)})"
        rows = self.client.query(
            f"select cast(lo as long) start, cast(dateadd('M', 1, lo) as long) stop, n from "
            f"(select {floor} lo, count() n from {quote(self.source.name)}{self._rest(None)})"
        )
        return sorted((Month(r["start"], r["stop"], r["n"]) for r in rows), key=lambda m: m.start)

    def insert(self, name: str, month: Month) -> None:
        """Insert one month of the source into the table `name` and wait until it is applied."""
        shown = ", ".join(f"{self._expression(n)} {quote(n)}" for n in self.names)
        self.client.execute(
            f"insert into {quote(name)} ({self._list}) select {shown} "
            f"from {quote(self.source.name)}{self._rest(month)}"
        )
        self.client.wait_for(name)

    def insert_missing(self, name: str) -> int:
        """Insert the rows whose keys `name` does not have, and return how many those were."""
        missing = self.missing_keys(name)
        if not missing:
            return 0
        shown = ", ".join(f"o.{quote(n)}" for n in self.names)
        rows = self._rows(self.names, None)
        joined = " and ".join(f"o.{quote(k)} = n.{quote(k)}" for k in self.keys)
        stamp = quote(self.target.designated_timestamp)
        self.client.execute(
            f"insert into {quote(name)} ({self._list}) select {shown} from ({rows}) o "
            f"left join {quote(name)} n on {joined} where n.{stamp} is null"
        )
        self.client.wait_for(name)
        return missing

    def insert_unless_in(self, name: str, seen: Copy) -> int:
        """Insert the rows that are not in the source of `seen`, and return how many those are."""
        mine, theirs = self._rows(self.names, None), seen._rows(seen.names, None)
        new = self._except(mine, theirs)
        if new:
            self.client.execute(
                f"insert into {quote(name)} ({self._list}) "
                f"select * from (({mine}) except ({theirs}))"
            )
            self.client.wait_for(name)
        return new

    def missing_keys(self, name: str) -> int:
        """Return how many keys of the source the table `name` does not have."""
        return self._except(self._rows(self.keys, None), self._plain(name, self.keys, None))

    def differing(self, name: str, month: Month) -> int:
        """Return how many rows of one month `name` lacks or holds with other values."""
        columns = tuple(n for n in self.names if _comparable(self.target, n))
        return self._except(self._rows(columns, month), self._plain(name, columns, month))

    def summary(self, name: str, month: Month) -> tuple[dict[str, object], dict[str, object]]:
        """Return count, bounds and integer sums of one month: of the source and of `name`."""
        integers = [n for n in self.names[1:] if _is_integer(self.target, n)]
        stamp = quote(self.target.designated_timestamp)
        sums = "".join(f", sum({quote(n)}) {quote(n)}" for n in integers)
        select = f"select count() as rows, min({stamp}) first, max({stamp}) last{sums}"
        columns = (self.target.designated_timestamp, *integers)
        found = [
            self.client.query(f"{select} from ({rows})")
            for rows in (self._rows(columns, month), self._plain(name, columns, month))
        ]
        return found[0][0], found[1][0]

    def insert_moved(self, name: str) -> int:
        """Insert the rows with a time in another unit where they belong; returns how many keys."""
        if missing := self.missing_moved(name):
            shown = ", ".join(f"{self._expression(n, moved=True)} {quote(n)}" for n in self.names)
            self.client.execute(
                f"insert into {quote(name)} ({self._list}) select {shown} {self._suspects_of()}"
            )
            self.client.wait_for(name)
        return missing

    def missing_moved(self, name: str) -> int:
        """Return how many keys `name` lacks of the rows with a time in another unit."""
        if not self.fix:
            return 0
        moved = ", ".join(f"{self._expression(k, moved=True)} {quote(k)}" for k in self.keys)
        return self._except(
            f"select {moved} {self._suspects_of()}", self._plain(name, self.keys, None)
        )

    def _suspects_of(self) -> str:
        return f"from {quote(self.source.name)} where {self._suspect()}"

    def distinct_keys(self) -> tuple[int, int]:
        """Return the source's rows, and how many distinct keys they have."""
        counted = self.client.query(
            f"select count() as rows from {quote(self.source.name)}{self._rest(None)}"
        )
        keys = self.client.query(f"select count() keys from ({self._rows(self.keys, None)})")
        return counted[0]["rows"], keys[0]["keys"]

    def _plain(self, name: str, columns: tuple[str, ...], month: Month | None) -> str:
        shown = ", ".join(map(quote, columns))
        where = ""
        if month:
            where = f" where {month.condition.format(quote(self.target.designated_timestamp))}"
        return f"select {shown} from {quote(name)}{where}"

    def _except(self, left: str, right: str) -> int:
        rows = self.client.query(f"select count() as rows from (({left}) except ({right}))")
        return int(rows[0]["rows"])

    def lossy(self) -> Iterator[str]:
        """Yield, for each column whose type changes, what its new type would lose."""
        for name in self.names[1:]:
            found, wanted = self.source.column(name), self.target.column(name)
            if found is None or wanted is None or type(found.type) is type(wanted.type):
                continue
            column, old, new = quote(found.name), bare(found.type), bare(wanted.type)
            there = f"cast({column} as {new})"
            rows = self.client.query(
                f"select count() as rows from {quote(self.source.name)} where {column} is not null "
                f"and (cast({there} as {old}) is null or cast({there} as {old}) != {column})"
            )
            if count := rows[0]["rows"]:
                yield f"{count:,} values of {name} do not survive {old} becoming {new}"


def bare(column_type: ColumnType) -> str:
    """Return the type as CAST takes it: without a symbol's parameters."""
    return Symbol.keyword if isinstance(column_type, Symbol) else str(column_type)


def _comparable(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and not isinstance(column.type, Array | Binary | Other)


def _is_integer(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and isinstance(column.type, Byte | Short | Int | Long)
