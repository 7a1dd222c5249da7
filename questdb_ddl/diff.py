"""Compare a declaration with a live table, as objects and never as SQL text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from questdb_ddl.names import MAX_NAME_LENGTH
from questdb_ddl.spec import Kind
from questdb_ddl.types import Symbol, effective_capacity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from questdb_ddl.spec import Column, LiveColumn, LiveTable, Table


class DifferenceKind(StrEnum):
    """What a difference is about."""

    MISSING_TABLE = "missing table"
    NOT_A_TABLE = "not a table"
    DESIGNATED_TIMESTAMP = "designated timestamp"
    PARTITION_BY = "partitioning"
    WAL = "WAL"
    MISSING_COLUMN = "missing column"
    EXTRA_COLUMN = "extra column"
    COLUMN_TYPE = "column type"
    SYMBOL_CAPACITY = "symbol capacity"
    SYMBOL_CACHE = "symbol cache"
    SYMBOL_INDEX = "symbol index"
    DEDUP_KEYS = "deduplication keys"
    TTL = "TTL"
    MAX_UNCOMMITTED_ROWS = "maxUncommittedRows"
    O3_MAX_LAG = "o3MaxLag"


NEEDS_REBUILD = frozenset(
    {
        DifferenceKind.NOT_A_TABLE,
        DifferenceKind.DESIGNATED_TIMESTAMP,
        DifferenceKind.PARTITION_BY,
        DifferenceKind.WAL,
    }
)
"""Differences that no ALTER can close."""

RETIRED = re.compile(r"_retired_\d{8}T\d{6}Z$")
"""How `dropping.retired_name` ends what is kept under another name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a live table is not what was declared; `column` where it is about one."""

    table: str
    kind: DifferenceKind
    declared: str
    live: str
    column: str | None = None

    def __str__(self) -> str:
        where = self.table if self.column is None else f"{self.table}.{self.column}"
        return f"{where}: {self.kind}: declared {self.declared}, live {self.live}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result for one table: equal, different with reasons, or skipped with a reason."""

    table: str
    differences: tuple[Difference, ...] = ()
    skipped: str | None = None

    @property
    def equal(self) -> bool:
        """Whether the table was compared and nothing differs."""
        return not self.differences and self.skipped is None

    def __str__(self) -> str:
        if self.skipped is not None:
            return f"{self.table}: skipped: {self.skipped}"
        return "\n".join(map(str, self.differences)) or f"{self.table}: equal"


def compare(table: Table, live: LiveTable | None) -> Comparison:
    """Compare one declaration with what stands under its name (None: nothing).

    Not compared: the order of the columns, letter case, retired columns, whatever the declaration
    leaves to the server (a symbol without capacity, WAL parameters that are None). A symbol may be
    larger than declared, because QuestDB grows it by itself. A suspended table is skipped: its
    structure is that of before the changes it did not apply.
    """
    if live is None:
        missing = Difference(table.name, DifferenceKind.MISSING_TABLE, "a table", "nothing")
        return Comparison(table.name, (missing,))
    if live.kind is not Kind.TABLE:
        other = Difference(table.name, DifferenceKind.NOT_A_TABLE, "a table", f"a {live.kind}")
        return Comparison(table.name, (other,))
    if live.unread and not live.columns:
        return Comparison(table.name, skipped=f"cannot be read: {live.unread}")
    if live.suspended:
        return Comparison(table.name, skipped=f"suspended; {live.remedy}")
    return Comparison(table.name, (*_storage(table, live), *_columns(table, live)))


def newest_retired(name: str, standing: Iterable[str]) -> str | None:
    """Return the name under which `name` was kept last, of the names that stand; None for none.

    >>> newest_retired("t", ["t", "t_retired_20250301T120000Z", "t2_retired_20260301T120000Z"])
    't_retired_20250301T120000Z'
    """
    kept = []
    for each in standing:
        suffix = RETIRED.search(each)
        # A name that gets too long was cut.
        if (
            suffix
            and each[: suffix.start()].lower() == name[: MAX_NAME_LENGTH - len(suffix[0])].lower()
        ):
            kept.append((suffix[0], each))
    return max(kept)[1] if kept else None


def compare_all(tables: Iterable[Table], live: Mapping[str, LiveTable]) -> tuple[Comparison, ...]:
    """Compare declarations with `introspect.live_tables`, whose keys are in lower case."""
    return tuple(compare(table, live.get(table.name.lower())) for table in tables)


def _storage(table: Table, live: LiveTable) -> Iterator[Difference]:
    def when(kind: DifferenceKind, declared: object, found: object) -> Iterator[Difference]:
        if declared != found:
            yield Difference(table.name, kind, str(declared), str(found))

    stamp = live.designated_timestamp or "none"
    if stamp.lower() != table.designated_timestamp.lower():
        yield from when(DifferenceKind.DESIGNATED_TIMESTAMP, table.designated_timestamp, stamp)
    yield from when(DifferenceKind.PARTITION_BY, table.partition_by, live.partition_by)
    yield from when(DifferenceKind.WAL, *(("WAL" if w else "none") for w in (table.wal, live.wal)))
    ttl = "none" if table.ttl_months is None else f"{table.ttl_months} MONTHS"
    yield from when(DifferenceKind.TTL, ttl, live.ttl_text)
    if _keys(table.dedup_keys) != _keys(live.dedup_keys):
        declared, found = (
            ", ".join(keys) or "none" for keys in (table.dedup_keys, live.dedup_keys)
        )
        yield from when(DifferenceKind.DEDUP_KEYS, declared, found)
    if table.max_uncommitted_rows is not None:
        kind = DifferenceKind.MAX_UNCOMMITTED_ROWS
        yield from when(kind, table.max_uncommitted_rows, live.max_uncommitted_rows)
    if table.o3_max_lag_ms is not None:
        yield from when(DifferenceKind.O3_MAX_LAG, table.o3_max_lag_ms, live.o3_max_lag_ms)


def _keys(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _columns(table: Table, live: LiveTable) -> Iterator[Difference]:
    live_columns = {column.name.lower(): column for column in live.columns}
    for column in table.columns:
        found = live_columns.pop(column.name.lower(), None)
        if found is None:
            kind = DifferenceKind.MISSING_COLUMN
            yield Difference(table.name, kind, str(column.type), "nothing", column.name)
        else:
            yield from _column(table, column, found)
    if not table.extensible:
        for extra in live_columns.values():
            if RETIRED.search(extra.name) is None:
                kind = DifferenceKind.EXTRA_COLUMN
                yield Difference(table.name, kind, "nothing", str(extra.type), extra.name)


def _column(table: Table, column: Column, found: LiveColumn) -> Iterator[Difference]:
    def differ(kind: DifferenceKind, declared: object, live: object) -> Difference:
        return Difference(table.name, kind, str(declared), str(live), column.name)

    declared, live = column.type, found.type
    if column.name == table.designated_timestamp and declared != live:
        yield differ(DifferenceKind.DESIGNATED_TIMESTAMP, declared, live)
    elif not isinstance(declared, Symbol) or not isinstance(live, Symbol):
        if declared != live:
            yield differ(DifferenceKind.COLUMN_TYPE, declared, live)
    else:
        if (declared.capacity or 0) > effective_capacity(live.capacity or 1):
            yield differ(DifferenceKind.SYMBOL_CAPACITY, declared.capacity, live.capacity)
        if declared.cache != live.cache:
            yield differ(DifferenceKind.SYMBOL_CACHE, declared.cache, live.cache)
        if _index(declared, declared) != _index(declared, live):
            kind = DifferenceKind.SYMBOL_INDEX
            yield differ(kind, _index(declared, declared), _index(declared, live))


def _index(declared: Symbol, symbol: Symbol) -> str:
    if not symbol.index:
        return "none"
    if declared.index_capacity is None or symbol.index_capacity is None:
        return "an index"
    return f"an index of capacity {effective_capacity(symbol.index_capacity)}"
