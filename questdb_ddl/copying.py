"""Copy one table into another of the same keys, month by month, and compare the two exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from questdb_ddl.client import SAFE_BYTES, sent_bytes
from questdb_ddl.names import quote
from questdb_ddl.rebuild_names import Names
from questdb_ddl.time_units import (
    MICROSECONDS,
    MILLISECONDS,
    SECONDS,
    TOO_LATE,
    US_PER_SECOND,
    as_timestamp,
    microseconds,
    nanoseconds,
)
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

_COLUMNS_PER_QUERY = 200


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
            f"case when {us} < {SECONDS} then {finer} * {US_PER_SECOND} "
            f"when {us} < {MILLISECONDS} then {finer} * 1000 "
            f"when {us} < {MICROSECONDS} then {finer} else {us} / 1000 end"
        )
        wanted = self.target.column(self.target.designated_timestamp)
        exact = wanted is not None and isinstance(wanted.type, TimestampNs)
        return f"cast(({moved}){' * 1000' if exact else ''} as {wanted.type if wanted else ''})"

    def _suspect(self) -> str:
        early = f"{self._stamp} < cast({MICROSECONDS} as timestamp)"
        if nanoseconds(self.source):  # they end in 2262
            return early
        return f"({early} or {self._stamp} >= cast({TOO_LATE} as timestamp))"

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
        if self._coarser:
            return True
        found = [self.source.column(key) for key in self.keys[1:]]
        wanted = {self.source.designated_timestamp, *(column.name for column in found if column)}
        return {key.lower() for key in self.source.dedup_keys} != {
            name.lower() for name in wanted if name
        }

    @cached_property
    def _coarser(self) -> bool:
        """Whether the target's time drops the digits below a microsecond."""
        wanted = self.target.column(self.target.designated_timestamp)
        exact = wanted is not None and isinstance(wanted.type, TimestampNs)
        return nanoseconds(self.source) and not exact

    def rounded(self) -> int:
        """Return how many rows have a time with digits below a microsecond that are dropped."""
        if not self._coarser:
            return 0
        rows = self.client.query(
            f"select count() as rows from {quote(self.source.name)} "
            f"where cast({self._stamp} as long) % 1000 != 0"
        )
        return int(rows[0]["rows"])

    def _rows(self, columns: tuple[str, ...], month: Month | None) -> str:
        """Return the SELECT of the source's rows, one for each key of the target."""
        source = f"from {quote(self.source.name)}{self._rest(month)}"
        rows = f"select {self._shown(columns)} {source}"
        if not self._may_repeat:
            return rows
        if self._coarser:
            all_columns = tuple(dict.fromkeys((*self.keys, *columns)))
            stamp, keys = quote(self.keys[0]), ", ".join(map(quote, self.keys))
            return (
                f"select {', '.join(map(quote, columns))} from (select {self._shown(all_columns)} "
                f"{source}) timestamp({stamp}) latest on {stamp} partition by {keys}"
            )
        found = [self.source.column(k) for k in self.keys[1:]]
        keys = ", ".join([self._stamp, *(quote(c.name) for c in found if c)])
        return f"{rows} latest on {self._stamp} partition by {keys}"

    def _shown(self, columns: tuple[str, ...], *, moved: bool = False) -> str:
        """Return the expressions of some columns; an alias only where it says something."""
        made = ((self._expression(n, moved=moved), quote(n)) for n in columns)
        return ", ".join(sql if sql == name else f"{sql} {name}" for sql, name in made)

    def months(self) -> list[Month]:
        """Return the months that the source has rows in, the oldest first."""
        floor = f"timestamp_floor('M', {as_timestamp(self.source)})"
        rows = self.client.query(
            f"select cast(lo as long) start, cast(dateadd('M', 1, lo) as long) stop, n from "
            f"(select {floor} lo, count() n from {quote(self.source.name)}{self._rest(None)})"
        )
        return sorted((Month(r["start"], r["stop"], r["n"]) for r in rows), key=lambda m: m.start)

    def insert(self, name: str, month: Month) -> None:
        """Insert one month of the source into the table `name` and wait until it is applied."""
        self._send(name, self._month_of(name, month))

    def _send(self, name: str, sql: str) -> None:
        self.client.execute(sql)
        self.client.wait_for(name)

    def _into(self, name: str, *, moved: bool = False) -> str:
        """Return the start of an INSERT: its columns, and the expressions they get."""
        shown = ", ".join(self._expression(n, moved=moved) for n in self.names)
        return f"insert into {quote(name)} ({self._list}) select {shown}"

    def _month_of(self, name: str, month: Month) -> str:
        return f"{self._into(name)} from {quote(self.source.name)}{self._rest(month)}"

    def insert_missing(self, name: str) -> int:
        """Insert the rows whose keys `name` does not have, and return how many those were."""
        missing = self.missing_keys(name)
        if missing:
            self._send(name, self._missing_of(name, self._rows(self.names, None)))
        moved = self.missing_moved(name)
        if moved:
            self._send(name, self._missing_of(name, self._moved_rows(self.names)))
        return missing + moved

    def _missing_of(self, name: str, rows: str) -> str:
        joined = " and ".join(f"o.{quote(k)} = n.{quote(k)}" for k in self.keys)
        there = self._plain(name, self.keys, None)
        return (
            f"insert into {quote(name)} ({self._list}) select o.* from ({rows}) o left join "
            f"({there}) n on {joined} where n.{quote(self.target.designated_timestamp)} is null"
        )

    def insert_unless_in(self, name: str, seen: str) -> int:
        """Insert the rows that are not in `seen`, an earlier copy of the source made by the server.

        Returns how many those are; `seen` must have the same columns.
        """
        there = f"((select * from {quote(self.source.name)}) except (select * from {quote(seen)}))"
        rows = f"from {there}{self._rest(None)}"
        new = int(self.client.query(f"select count() as rows {rows}")[0]["rows"])
        if new:
            self._send(name, f"{self._into(name)} {rows}")
        return new

    def missing_keys(self, name: str) -> int:
        """Return how many keys of the source the table `name` does not have."""
        return self._except(self._rows(self.keys, None), self._plain(name, self.keys, None))

    def differs(self, name: str, month: Month) -> bool:
        """Tell whether `name` lacks rows of one month or holds them with other values."""
        columns = [n for n in self.names if n not in self.keys and _comparable(self.target, n)]
        return any(
            self._except(self._rows(some, month), self._plain(name, some, month))
            for batch in self._batches(columns)
            for some in [(*self.keys, *batch)]
        )

    def _batches(self, columns: list[str]) -> Iterator[tuple[str, ...]]:
        """Split columns so that a query can name each thrice; yields one batch at least."""
        batch: list[str] = []
        length = 0
        for name in columns:
            more = sent_bytes(f"{self._expression(name)} {quote(name)}, ")
            if batch and (length + more > SAFE_BYTES // 4 or len(batch) == _COLUMNS_PER_QUERY):
                yield tuple(batch)
                batch, length = [], 0
            batch.append(name)
            length += more
        yield tuple(batch)

    def summary(self, name: str, month: Month) -> tuple[dict[str, object], dict[str, object]]:
        """Return count, bounds and integer sums of one month: of the source and of `name`."""
        stamp = quote(self.target.designated_timestamp)
        integers = [n for n in self.names[1:] if _is_integer(self.target, n)]
        found: tuple[dict[str, object], dict[str, object]] = ({}, {})
        for batch in self._batches(integers):
            columns = (self.target.designated_timestamp, *batch)
            sums = "".join(f", sum({quote(n)}) {quote(n)}" for n in batch)
            select = f"select count() as rows, min({stamp}) first, max({stamp}) last{sums}"
            for held, rows in zip(
                found, (self._rows(columns, month), self._plain(name, columns, month)), strict=True
            ):
                held.update(self.client.query(f"{select} from ({rows})")[0])
        return found

    def insert_moved(self, name: str) -> int:
        """Insert the rows with a time in another unit where they belong; returns how many keys."""
        if missing := self.missing_moved(name):
            self._send(name, self._moved_of(name))
        return missing

    def missing_moved(self, name: str) -> int:
        """Return how many keys `name` lacks of the rows with a time in another unit."""
        if not self.fix:
            return 0
        return self._except(self._moved_rows(self.keys), self._plain(name, self.keys, None))

    def _moved_of(self, name: str) -> str:
        return f"{self._into(name, moved=True)} {self._suspects_of()}"

    def _moved_rows(self, columns: tuple[str, ...]) -> str:
        return f"select {self._shown(columns, moved=True)} {self._suspects_of()}"

    def _suspects_of(self) -> str:
        return f"from {quote(self.source.name)} where {self._suspect()}"

    def longest(self) -> str:
        """Return the longest statement that the copy into a table may send."""
        name = Names(self.source.name, "_trimmed").new
        month = Month(10**17, 10**17, 0)
        inserts = [
            self._month_of(name, month),
            self._missing_of(name, self._rows(self.names, None)),
        ]
        if self.fix:
            inserts += [self._moved_of(name), self._missing_of(name, self._moved_rows(self.names))]
        return max(inserts, key=sent_bytes)

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
