"""Carry out plans: every change is waited for, then verified by reading the structure back."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING

from questdb_ddl import render
from questdb_ddl.diff import NEEDS_REBUILD, DifferenceKind, compare
from questdb_ddl.errors import PlanRefused, TableSuspended, VerificationFailed
from questdb_ddl.introspect import live_tables, parameter
from questdb_ddl.plan import (
    CUT_OFF,
    Hazard,
    Plan,
    Step,
    make_plan,
    unfinished_rebuild,
)
from questdb_ddl.rebuild_names import in_the_way
from questdb_ddl.spec import check_distinct

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
        first = [next(s for s in plan.steps if hazard in s.hazards) for hazard in forbidden]
        costs = " and ".join(
            step.cost(hazard) for step, hazard in zip(first, forbidden, strict=True)
        )
        raise PlanRefused(f"The plan {costs} (first in {first[0].table}); allow that by name.")


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
    if comparison.skipped is not None and live is not None and not live.suspended:
        raise VerificationFailed(f"The table {table.name} {comparison.skipped}.")
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
