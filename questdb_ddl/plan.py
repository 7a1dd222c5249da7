"""A plan: the statements that bring live tables to their declarations, as a value to review."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from questdb_ddl import render
from questdb_ddl.diff import NEEDS_REBUILD, Difference, DifferenceKind, compare
from questdb_ddl.rebuild_names import in_the_way
from questdb_ddl.spec import Kind, Table, check_distinct
from questdb_ddl.types import Symbol, is_widening

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from questdb_ddl.spec import Column, LiveTable


class Hazard(StrEnum):
    """What a step may cost; `apply` wants each one allowed by name."""

    DELETES_DATA = "deletes data"
    DROPS_DEDUPLICATION = "drops deduplication"
    KEEPS_DUPLICATES = "keeps duplicates that are already there"
    MERGES_ROWS = "makes one row of rows that a key told apart"
    REWRITES_COLUMN = "rewrites a column"
    INVALIDATES_VIEWS = "invalidates materialized views"


_OF_VIEWS = {Hazard.INVALIDATES_VIEWS}
CUT_OFF = "an ALTER without rows that a kill cut off is given up; the rest is planned after it"


@dataclass(frozen=True, slots=True)
class Step:
    """One statement: which table it changes, why, and what it may cost.

    `views` are the materialized views that it invalidates.
    """

    table: str
    sql: str
    reason: str
    hazards: tuple[Hazard, ...] = ()
    views: tuple[str, ...] = ()

    def __str__(self) -> str:
        costs = f" [{', '.join(map(self.cost, self.hazards))}]" if self.hazards else ""
        return f"{self.sql};{costs}"

    def cost(self, hazard: Hazard) -> str:
        """Return a hazard of the step in words; of views it names them."""
        return f"{hazard} ({', '.join(self.views)})" if hazard in _OF_VIEWS else str(hazard)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A table that the plan does not touch, and why; nothing of it is among the steps."""

    table: str
    reason: str

    def __str__(self) -> str:
        return f"{self.table}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Ordered steps, refusals, and differences that are left as they are (extra columns).

    `fingerprint` is a sha256 over the declarations and the structure of the tables when the plan
    was made; `apply` computes it again and refuses a plan that no longer fits. What
    `drop_extra_columns` was is kept for what `apply` plans once a table was resumed.
    """

    tables: tuple[Table, ...]
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]
    left: tuple[Difference, ...]
    fingerprint: str
    drop_extra_columns: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do and nothing to refuse."""
        return not self.steps and not self.refusals

    @property
    def hazards(self) -> tuple[Hazard, ...]:
        """Every hazard of the steps, once each, in the order they are declared in."""
        found = {hazard for step in self.steps for hazard in step.hazards}
        return tuple(hazard for hazard in Hazard if hazard in found)

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps]
        lines += [f"-- refused: {refusal}" for refusal in self.refusals]
        lines += [f"-- left: {difference}" for difference in self.left]
        return "\n".join(lines) or "-- nothing to do"


def fingerprint(tables: Iterable[Table], live: Mapping[str, LiveTable]) -> str:
    """Return the sha256 over declarations and live structure; rows do not count."""
    content = [
        [table.to_data(), found.structure() if found else unfinished_rebuild(table.name, live)]
        for table in sorted(tables, key=lambda t: t.name.lower())
        for found in [live.get(table.name.lower())]
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def unfinished_rebuild(table: str, live: Mapping[str, LiveTable]) -> str | None:
    """Return the table that holds the rows of `table` while a rebuild of it is unfinished."""
    return next((name for name in in_the_way(table) if name.lower() in live), None)


def make_plan(
    tables: Iterable[Table],
    live: Mapping[str, LiveTable],
    *,
    drop_extra_columns: bool = False,
    ttl_by_wall_clock: bool = False,
) -> Plan:
    """Plan what brings `live` (of `introspect.live_tables`) to the declarations.

    `live` should hold the tables of unfinished rebuilds too, because none is created in the place
    of one that is being rebuilt.
    A table with a difference that cannot or must not be altered gets a refusal and no steps:
    partitioning, designated timestamp and WAL need a rebuild; a narrowing type, a change to a
    deduplication key and a table with Parquet partitions would lose data; a suspended table
    would answer OK and change nothing (one that an ALTER suspended when a kill cut it off is
    resumed, and the rest is planned once it has been); and a TTL of a table with a row of the
    future would count back from that row, unless the server's `cairo.ttl.use.wall.clock` is known
    to be true (`ttl_by_wall_clock`). Columns that are not declared are left, unless
    `drop_extra_columns`.
    Raises DeclarationError when QuestDB takes two declared names for one.
    """
    declared = check_distinct(tables)
    steps: list[Step] = []
    refusals: list[Refusal] = []
    left: list[Difference] = []
    for table in declared:
        found = live.get(table.name.lower())
        comparison = compare(table, found)
        if found is not None and found.cut_off:
            steps.append(Step(table.name, found.remedy or "", CUT_OFF))
        elif comparison.skipped is not None:
            refusals.append(Refusal(table.name, comparison.skipped))
        elif found is None and (made := unfinished_rebuild(table.name, live)):
            refusals.append(Refusal(table.name, f"{made} has its rows: finish the rebuild"))
        elif found is None:
            steps.append(Step(table.name, render.create_table(table), "the table is missing"))
        else:
            extra = [d for d in comparison.differences if d.kind is DifferenceKind.EXTRA_COLUMN]
            wanted = [d for d in comparison.differences if drop_extra_columns or d not in extra]
            left += [] if drop_extra_columns else extra
            reasons = list(_refused(table, found, wanted))
            if not ttl_by_wall_clock:
                reasons += _endangered_by_ttl(table, found, wanted)
            refusals += [Refusal(table.name, reason) for reason in reasons]
            if not reasons:
                steps += _alterations(table, found, wanted)
    seen = fingerprint(declared, live)
    return Plan(declared, tuple(steps), tuple(refusals), tuple(left), seen, drop_extra_columns)


def _refused(table: Table, live: LiveTable, differences: list[Difference]) -> Iterator[str]:
    keys = {key.lower() for key in live.dedup_keys}
    for difference in differences:
        change = f"{difference.kind} {difference.live} instead of {difference.declared}"
        if difference.kind in NEEDS_REBUILD:
            yield f"{change} cannot be altered; rebuild the table"
        if difference.column is None or difference.kind not in {
            DifferenceKind.COLUMN_TYPE,
            DifferenceKind.EXTRA_COLUMN,
        }:
            continue
        if difference.column.lower() in keys:
            yield f"{difference.column} is a deduplication key; rebuild the table to change it"
        elif difference.kind is DifferenceKind.COLUMN_TYPE and not _widens(table, live, difference):
            yield (
                f"{difference.column} from {difference.live} to {difference.declared} would lose "
                "values without a word; rebuild the table"
            )
    if differences and live.kind is Kind.TABLE and live.has_parquet is not False:
        danger = "and altering those can stop the server"
        if live.has_parquet:
            native = f'ALTER TABLE "{live.name}" CONVERT PARTITION TO NATIVE WHERE … first'
            yield f"the table has Parquet partitions, {danger}; {native}"
        else:
            yield f"the table was not asked for Parquet partitions, {danger}"


def _endangered_by_ttl(
    table: Table, live: LiveTable, differences: list[Difference]
) -> Iterator[str]:
    ttl = any(difference.kind is DifferenceKind.TTL for difference in differences)
    if ttl and table.ttl_months is not None and ahead_of(live, datetime.now(UTC)):
        yield (
            f"it holds a row of {(live.max_timestamp or '')[:10]}, and a TTL that counts back from "
            "there deletes the rest; first drop its partition, or rebuild with fix_timestamps "
            "where its unit is wrong"
        )


def ahead_of(live: LiveTable, now: datetime) -> bool:
    """Tell whether the newest row of `live` is known to lie more than a day after `now` (UTC)."""
    last = live.max_timestamp or ""
    limit = f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%S}"
    return last > limit or last.find("-") > len("2025")  # a year beyond 9999


def _widens(table: Table, live: LiveTable, difference: Difference) -> bool:
    old, new = live.column(difference.column or ""), table.column(difference.column or "")
    return old is not None and new is not None and is_widening(old.type, new.type)


_ORDER = (
    DifferenceKind.MISSING_COLUMN,
    DifferenceKind.COLUMN_TYPE,
    DifferenceKind.SYMBOL_CAPACITY,
    DifferenceKind.SYMBOL_CACHE,
    DifferenceKind.SYMBOL_INDEX,
    DifferenceKind.DEDUP_KEYS,
    DifferenceKind.MAX_UNCOMMITTED_ROWS,
    DifferenceKind.O3_MAX_LAG,
    DifferenceKind.TTL,
    DifferenceKind.EXTRA_COLUMN,
)
"""Columns before the keys that may need them; what deletes comes last."""


INVALIDATING = frozenset({DifferenceKind.COLUMN_TYPE, DifferenceKind.EXTRA_COLUMN})
"""Differences that are closed by a change which invalidates the table's materialized views."""


def _alterations(table: Table, live: LiveTable, differences: list[Difference]) -> Iterator[Step]:
    for difference in sorted(differences, key=lambda d: _ORDER.index(d.kind)):
        statements = (
            _table_statements(table, live, difference)
            if difference.column is None
            else _column_statements(table, live, difference)
        )
        views = (live.views or ()) if difference.kind in INVALIDATING else ()
        more = (Hazard.INVALIDATES_VIEWS,) if views else ()
        for sql, hazards in statements:
            yield Step(table.name, sql, str(difference), (*hazards, *more), views)


_Statements = list[tuple[str, tuple[Hazard, ...]]]


def _table_statements(table: Table, live: LiveTable, difference: Difference) -> _Statements:
    name = live.name
    if difference.kind is DifferenceKind.DEDUP_KEYS:
        if not table.dedup_keys:
            return [(render.dedup_disable(name), (Hazard.DROPS_DEDUPLICATION,))]
        kept = () if live.row_count == 0 else (Hazard.KEEPS_DUPLICATES,)
        declared = {key.lower() for key in table.dedup_keys}
        fewer = any(key.lower() not in declared for key in live.dedup_keys)
        merged = (Hazard.MERGES_ROWS,) if fewer else ()
        return [(render.dedup_enable(name, table.dedup_keys), (*kept, *merged))]
    if difference.kind is DifferenceKind.TTL:
        shorter = table.ttl_months is not None and table.ttl_months < (live.ttl_months or 2**31)
        hazards = (Hazard.DELETES_DATA,) if shorter and live.row_count != 0 else ()
        return [(render.set_ttl(name, table.ttl_months), hazards)]
    if difference.kind is DifferenceKind.MAX_UNCOMMITTED_ROWS:
        return [(render.set_max_uncommitted_rows(name, table.max_uncommitted_rows or 0), ())]
    return [(render.set_o3_max_lag(name, table.o3_max_lag_ms or 0), ())]


def _column_statements(table: Table, live: LiveTable, difference: Difference) -> _Statements:
    column = table.column(difference.column or "")
    if column is None:
        return [(render.drop_column(live.name, difference.column or ""), (Hazard.DELETES_DATA,))]
    if difference.kind is DifferenceKind.MISSING_COLUMN:
        return [(render.add_column(live.name, column), ())]
    if difference.kind is DifferenceKind.COLUMN_TYPE:
        sql = render.alter_column_type(live.name, column.name, column.type)
        return [(sql, (Hazard.REWRITES_COLUMN,))]
    return [(sql, ()) for sql in _symbol_statements(live, column, difference.kind)]


def _symbol_statements(live: LiveTable, column: Column, kind: DifferenceKind) -> Iterator[str]:
    declared = column.type
    found = live.column(column.name)
    if not isinstance(declared, Symbol) or found is None or not isinstance(found.type, Symbol):
        return
    if kind is DifferenceKind.SYMBOL_CAPACITY and declared.capacity is not None:
        yield render.symbol_capacity(live.name, column.name, declared.capacity)
    elif kind is DifferenceKind.SYMBOL_CACHE:
        yield from render.symbol_cache(live.name, column.name, cache=declared.cache)
    elif kind is DifferenceKind.SYMBOL_INDEX:
        if found.type.index:
            yield render.drop_index(live.name, column.name)
        if declared.index:
            yield render.add_index(live.name, column.name, declared.index_capacity)
