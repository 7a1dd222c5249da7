"""Carry out plans: every change is waited for, then verified by reading the structure back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
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
from questdb_ddl.introspect import live_tables
from questdb_ddl.names import MAX_NAME_LENGTH, check_table_name
from questdb_ddl.plan import Hazard, Plan, Step, fingerprint, make_plan
from questdb_ddl.spec import Kind, check_distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from questdb_ddl.client import Client
    from questdb_ddl.diff import Difference
    from questdb_ddl.spec import LiveTable, Table


def plan_for(client: Client, tables: Iterable[Table], *, drop_extra_columns: bool = False) -> Plan:
    """Return the plan that brings the server to the declarations; see `plan.make_plan`.

    Parquet partitions are looked for only in tables that are there and differ.
    """
    declared = check_distinct(tables)
    live = live_tables(client, [table.name for table in declared])
    altered = [
        table.name
        for table in declared
        if table.name.lower() in live and not compare(table, live[table.name.lower()]).equal
    ]
    if altered:
        # After a restart the log can hold changes that are not applied yet.
        for name in altered:
            if not live[name.lower()].suspended:
                client.wait_for(name)
        live |= live_tables(client, altered, parquet=True)
    return make_plan(declared, live, drop_extra_columns=drop_extra_columns)


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
    was made from, when a hazard is not in `allow`, when the plan has refusals (`skip_refused`
    carries out the rest). Raises VerificationFailed when a table read back differs from its
    declaration, TableSuspended when one stops applying. Killed at any point, a new plan goes on
    from there.
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
    _verify(client, plan)
    return plan.steps


def _check(
    client: Client, plan: Plan, allow: Collection[Hazard | str], *, skip_refused: bool
) -> None:
    if plan.refusals and not skip_refused:
        raise PlanRefused("The plan refuses " + "; ".join(map(str, plan.refusals)) + ".")
    forbidden = [hazard for hazard in plan.hazards if hazard not in allow]
    if forbidden:
        first = next(s for s in plan.steps if forbidden[0] in s.hazards)
        raise PlanRefused(
            f"The plan {' and '.join(forbidden)} (first in {first.table}); allow that by name."
        )
    now = live_tables(client, [table.name for table in plan.tables])
    if fingerprint(plan.tables, now) != plan.fingerprint:
        raise PlanRefused("The tables changed since the plan was made; make a new plan.")


def _verify(client: Client, plan: Plan) -> None:
    touched = {step.table for step in plan.steps}
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
        raise TableSuspended(table.name)
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
    the name, and TableSuspended when its structure cannot be trusted.
    """
    before = live_tables(client, [table.name]).get(table.name.lower())
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


def retire(client: Client, name: str, now: datetime) -> Retired:
    """Take the table `name` out of use: drop it if it is empty, else keep it under another name.

    It is renamed first and counted then, so that no writer can add a row between the count and
    the drop. Safe to repeat: a table that is gone is ABSENT, and so is one that was renamed.
    Raises TableSuspended for a suspended table, whose log can hold rows that no count shows, and
    QueryError when something stands under the new name.
    """
    check_table_name(name)
    found = live_tables(client, [name]).get(name.lower())
    if found is None:
        return Retired(name, RetireAction.ABSENT)
    target = retired_name(found.name, now)
    client.wait_for(found.name)
    client.execute(render.rename_table(found.name, target))
    client.wait_for(target)
    rows = live_tables(client, [target], counts=True)[target.lower()].row_count or 0
    if rows:
        return Retired(found.name, RetireAction.RENAMED, target, rows)
    client.execute(render.drop_table(target))
    return Retired(found.name, RetireAction.DROPPED)


def drop(client: Client, name: str) -> bool:
    """Drop the table `name` for good; tells whether it stood. Safe to repeat.

    It is renamed first: an ILP connection over HTTP that is kept open goes on writing into a
    dropped table and is told that all is well, even when a new one stands under the name. After a
    rename it looks the name up again. Tried on QuestDB 9.3.4.
    """
    found = live_tables(client, [name]).get(name.lower())
    if found is None:
        return False
    target = retired_name(found.name, datetime.now(UTC))
    if found.kind is Kind.TABLE and not found.suspended:
        client.execute(render.rename_table(found.name, target))
        client.wait_for(target)
        client.execute(render.drop_table(target))
    else:
        client.execute(render.drop_table(found.name))
    return True
