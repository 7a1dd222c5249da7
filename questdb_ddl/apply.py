"""Carry out plans: every change is waited for, then verified by reading the structure back."""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from questdb_ddl import render
from questdb_ddl.diff import NEEDS_REBUILD, DifferenceKind, compare
from questdb_ddl.errors import (
    DeclarationError,
    PlanRefused,
    TableSuspended,
    VerificationFailed,
)
from questdb_ddl.introspect import live_tables, parameter
from questdb_ddl.names import MAX_NAME_LENGTH, check_table_name, quote
from questdb_ddl.plan import (
    CUT_OFF,
    Hazard,
    Plan,
    Step,
    make_plan,
    unfinished_rebuild,
)
from questdb_ddl.rebuild_names import in_the_way
from questdb_ddl.spec import Kind, check_distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from questdb_ddl.client import Client
    from questdb_ddl.diff import Difference
    from questdb_ddl.plan import Refusal
    from questdb_ddl.spec import LiveTable, Table


WALL_CLOCK = "cairo.ttl.use.wall.clock"


def plan_for(client: Client, tables: Iterable[Table], *, drop_extra_columns: bool = False) -> Plan:
    """Return the plan that brings the server to the declarations; see `plan.make_plan`.

    Parquet partitions are looked for only in tables that are there and differ.

    >>> from questdb_ddl import Column, Long, Table, drop
    >>> ticks = Table("ticks", (Column("n", Long()),))
    >>> plan = plan_for(client, [ticks])
    >>> [step.table for step in apply(client, plan)], plan_for(client, [ticks]).empty
    (['ticks'], True)
    >>> drop(client, "ticks")
    True
    """
    declared = check_distinct(tables)
    live = live_tables(client, _with_rebuilds(declared))
    altered = [
        table.name
        for table in declared
        if table.name.lower() in live and not compare(table, live[table.name.lower()]).equal
    ]
    if altered:
        # After a restart the log can hold changes that are not applied yet.
        for name in altered:
            _settled(client, live[name.lower()])
        live |= live_tables(client, altered, parquet=True)
    counted = _with_rows(client, declared, live)
    return make_plan(
        declared,
        live | counted,
        drop_extra_columns=drop_extra_columns,
        ttl_by_wall_clock=bool(counted) and parameter(client, WALL_CLOCK) == "true",
    )


def _settled(client: Client, table: LiveTable) -> None:
    """Wait for what is in the table's log; a plan says what to do where that cannot be applied."""
    if not table.suspended:
        with suppress(TableSuspended):
            client.wait_for(table.name)


_BY_ROWS = {DifferenceKind.TTL, DifferenceKind.DEDUP_KEYS}


def _with_rows(
    client: Client, declared: Iterable[Table], live: Mapping[str, LiveTable]
) -> dict[str, LiveTable]:
    """Return the tables whose rows make a hazard, counted: old servers do not keep that."""
    names = [
        table.name
        for table in declared
        if (found := live.get(table.name.lower())) is not None
        and any(d.kind in _BY_ROWS for d in compare(table, found).differences)
    ]
    return live_tables(client, names, counts=True, parquet=True) if names else {}


def _with_rebuilds(tables: Iterable[Table]) -> list[str]:
    return [name for table in tables for name in (table.name, *in_the_way(table.name))]


def apply(
    client: Client,
    plan: Plan,
    on_step: Callable[[Step], None] | None = None,
    *,
    allow: Collection[Hazard | str] = (),
    skip_refused: bool = False,
) -> tuple[Step, ...]:
    """Carry out `plan`, calling `on_step` after each step; returns the steps.

    Raises PlanRefused before anything is changed: when the tables are no longer those the plan
    was made from, when a hazard is not in `allow` (one that came with rows since then too), when
    the plan has refusals (`skip_refused` carries out the rest). Raises VerificationFailed when a
    table read back differs from its declaration, TableSuspended when one stops applying. Killed at
    any point, a new plan goes on from there; what is only known once a table was resumed is planned
    here, with the same hazards allowed.
    """
    _check(client, plan, allow, skip_refused=skip_refused)
    created = {step.table for step in plan.steps if step.sql.startswith("CREATE")}
    for step in plan.steps:
        client.execute(step.sql)
        # A CREATE is complete when it returns; an ALTER is only in the log.
        if step.table not in created:
            client.wait_for(step.table)
        if on_step is not None:
            on_step(step)
    resumed = {step.table for step in plan.steps if step.reason == CUT_OFF}
    _verify(client, plan, resumed)
    if not resumed:
        return plan.steps
    rest = plan_for(
        client,
        [table for table in plan.tables if table.name in resumed],
        drop_extra_columns=plan.drop_extra_columns,
    )
    return plan.steps + apply(client, rest, on_step, allow=allow, skip_refused=skip_refused)


def _check(
    client: Client, plan: Plan, allow: Collection[Hazard | str], *, skip_refused: bool
) -> None:
    if plan.refusals and not skip_refused:
        raise _refused(plan.refusals)
    _check_hazards(plan, allow)
    now = plan_for(client, plan.tables, drop_extra_columns=plan.drop_extra_columns)
    if now.fingerprint != plan.fingerprint:
        raise PlanRefused("The tables changed since the plan was made; make a new plan.")
    # What a step costs depends on rows too, which make no plan stale.
    if refused := [refusal for refusal in now.refusals if refusal not in plan.refusals]:
        raise _refused(refused)
    _check_hazards(now, allow)


def _refused(refusals: Iterable[Refusal]) -> PlanRefused:
    return PlanRefused("The plan refuses " + "; ".join(map(str, refusals)) + ".")


def _check_hazards(plan: Plan, allow: Collection[Hazard | str]) -> None:
    forbidden = [hazard for hazard in plan.hazards if hazard not in allow]
    if forbidden:
        first = next(s for s in plan.steps if forbidden[0] in s.hazards)
        raise PlanRefused(
            f"The plan {' and '.join(forbidden)} (first in {first.table}); allow that by name."
        )


def _verify(client: Client, plan: Plan, resumed: Collection[str]) -> None:
    touched = {step.table for step in plan.steps}.difference(resumed)
    if not touched:
        return
    live = live_tables(client, touched)
    left = set(plan.left)
    for table in plan.tables:
        if table.name in touched:
            found = live.get(table.name.lower())
            _raise_for(table, found, ignore=left)


def _raise_for(table: Table, live: LiveTable | None, ignore: Collection[Difference] = ()) -> None:
    comparison = compare(table, live)
    if comparison.skipped is not None:
        raise TableSuspended(table.name, remedy=live.remedy if live else None)
    differences = tuple(d for d in comparison.differences if d not in ignore)
    if not differences:
        return
    kinds = {difference.kind for difference in differences}
    if kinds & NEEDS_REBUILD:
        remedy = "rebuild the table"
    elif DifferenceKind.EXTRA_COLUMN in kinds:
        remedy = "declare the extra columns, or make a plan that drops them"
    else:
        remedy = "make a plan and apply it"
    listed = "; ".join(map(str, differences))
    raise VerificationFailed(
        f"The table {table.name} is not what was declared ({listed}): {remedy}.", differences
    )


class Ensured(StrEnum):
    """What `ensure_table` found."""

    CREATED = "created"
    UNCHANGED = "already there"


def ensure_table(client: Client, table: Table) -> Ensured:
    """Create `table`, or see that it stands as declared; safe to repeat, changes nothing there.

    Raises VerificationFailed with the differences and the remedy when another table stands under
    the name, TableSuspended when its structure cannot be trusted, and PlanRefused while a rebuild
    of it is unfinished.
    """
    live = live_tables(client, _with_rebuilds([table]))
    before = live.get(table.name.lower())
    if before is None and (made := unfinished_rebuild(table.name, live)):
        raise PlanRefused(f"{made} has the rows of {table.name}: finish the rebuild.")
    if before is None:
        # IF NOT EXISTS says OK to whatever a writer created meanwhile: hence the reading back.
        client.execute(render.create_table(table))
        _raise_for(table, live_tables(client, [table.name]).get(table.name.lower()))
        return Ensured.CREATED
    _raise_for(table, before)
    return Ensured.UNCHANGED


class RetireAction(StrEnum):
    """What `retire` did."""

    ABSENT = "was not there"
    DROPPED = "dropped, it was empty"
    RENAMED = "renamed, it held rows"
    VIEW = "dropped, it was a view"


@dataclass(frozen=True, slots=True)
class Retired:
    """The result of `retire`: what was done, the rows kept and the name they are kept under."""

    table: str
    action: RetireAction
    kept_as: str | None = None
    rows: int = 0


def retired_name(name: str, now: datetime) -> str:
    """Return `<name>_retired_<YYYYMMDDTHHMMSSZ>` in UTC, the name cut where it gets too long.

    Raises DeclarationError when `now` has no time zone.

    >>> retired_name("indicator_bars", datetime(2025, 3, 1, 12, tzinfo=UTC))
    'indicator_bars_retired_20250301T120000Z'
    """
    if now.tzinfo is None:
        raise DeclarationError("The time of retirement has no time zone.")
    suffix = f"_retired_{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return name[: MAX_NAME_LENGTH - len(suffix)] + suffix


def dropping_name(name: str) -> str:
    """Return `<name>__dropping`, what a table is called between the two steps of its drop.

    A name that gets too long by it is cut and told apart by a checksum.

    >>> dropping_name("indicator_bars")
    'indicator_bars__dropping'
    """
    if len(name) + len(_DROPPING) <= MAX_NAME_LENGTH:
        return name + _DROPPING
    suffix = f"_{zlib.crc32(name.lower().encode()):08x}{_DROPPING}"
    return name[: MAX_NAME_LENGTH - len(suffix)] + suffix


_DROPPING = "__dropping"


def retire(client: Client, name: str, now: datetime) -> Retired:
    """Take the table `name` out of use: drop it if it is empty, else keep it under another name.

    An empty one is renamed first and counted once more then, so that no writer can add a row
    between the count and the drop. A view is dropped: it has no rows of its own. Safe to repeat: a
    table that is gone is ABSENT, and so is one that was renamed; what a killed call left as
    `dropping_name` is dropped or kept as the table would have been. Raises TableSuspended for a
    suspended table, whose log can hold rows that no count shows, and QueryError when something
    stands under the new name.
    """
    check_table_name(name)
    found, left = _standing(client, name)
    result = Retired(name, RetireAction.ABSENT)
    if left is not None:
        result = _settle(client, name, left.name, now)
        now += timedelta(seconds=1)  # another name, should the table itself be kept too
    if found is None:
        return result
    if found.kind is not Kind.TABLE:
        client.execute(_drop(found))
        return Retired(found.name, RetireAction.VIEW)
    client.wait_for(found.name)
    if _rows(client, found.name):
        return _keep(client, found.name, found.name, now)
    if not found.wal:
        client.execute(_drop(found))
        return Retired(found.name, RetireAction.DROPPED)
    made = dropping_name(found.name)
    client.execute(render.rename_table(found.name, made))
    return _settle(client, found.name, made, now)


def _settle(client: Client, name: str, made: str, now: datetime) -> Retired:
    client.wait_for(made)
    if _rows(client, made):
        return _keep(client, name, made, now)
    client.execute(render.drop_table(made))
    return Retired(name, RetireAction.DROPPED)


def _keep(client: Client, name: str, stands_as: str, now: datetime) -> Retired:
    target = retired_name(name, now)
    client.execute(render.rename_table(stands_as, target))
    client.wait_for(target)
    return Retired(name, RetireAction.RENAMED, target, _rows(client, target))


def _rows(client: Client, name: str) -> int:
    return live_tables(client, [name], counts=True)[name.lower()].row_count or 0


def _standing(client: Client, name: str) -> tuple[LiveTable | None, LiveTable | None]:
    """Return what stands as `name`, and what a killed drop or retirement of it left.

    A renamed WAL table keeps the directory of its first name. What was created as
    `<name>__dropping` is somebody's own: PlanRefused.
    """
    made = dropping_name(name)
    stands = live_tables(client, [name, made])
    left = stands.get(made.lower())
    if left is not None:
        rows = client.query("select table_name, directoryName from tables()")
        directory = next(r["directoryName"] for r in rows if r["table_name"] == left.name)
        if directory.partition("~")[0].lower() == made.lower():
            raise PlanRefused(
                f"{left.name} stands and was not put there by a drop of {name}; rename it first."
            )
    return stands.get(name.lower()), left


def _drop(found: LiveTable) -> str:
    return f"DROP {found.kind.upper()} IF EXISTS {quote(found.name)}"


def drop(client: Client, name: str) -> bool:
    """Drop the table or view `name` for good; tells whether it stood.

    A WAL table is renamed first: an ILP connection over HTTP that is kept open goes on writing into
    a dropped table and is told that all is well, even when a new one stands under the name. After a
    rename it looks the name up again. Tried on QuestDB 9.3.4. Killed between the two, a second
    call finishes it: `dropping_name` tells. Raises PlanRefused where that is somebody's own table.
    """
    found, left = _standing(client, name)
    if left is not None:
        client.execute(_drop(left))
    if found is not None and found.kind is Kind.TABLE and found.wal and not found.suspended:
        made = dropping_name(found.name)
        client.execute(render.rename_table(found.name, made))
        client.wait_for(made)
        client.execute(render.drop_table(made))
    elif found is not None:
        client.execute(_drop(found))
    return found is not None or left is not None
