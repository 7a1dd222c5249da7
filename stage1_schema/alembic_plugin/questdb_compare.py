"""The declared QuestDB tables against the server, for `alembic check` and a new revision.

Tables of datasets, runs and simulations are made by commands and not by revisions: they are
compared, and each line says what `stage1 questdb apply` does about it, or what to do instead.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from questdb_ddl import Difference, DifferenceKind, live_tables, make_plan, plan_for, render
from questdb_ddl import compare as compare_table
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.alembic_plugin.comparison import NOT_MADE, REFUSED, Comparison
from stage1_schema.alembic_plugin.questdb_alter import (
    AlterQuestDBColumnOp,
    AlterQuestDBTableOp,
    QuestDBColumnOp,
)
from stage1_schema.alembic_plugin.questdb_ops import (
    CreateQuestDBTableOp,
    QuestDBTarget,
    RetireQuestDBTableOp,
)
from stage1_schema.errors import QuestDBError
from stage1_schema.questdb import plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation, UpgradeOps

    from questdb_ddl import Client, LiveTable, Plan, Table

    WayOut = Callable[[Difference], str]

_CREATED = re.compile(r"op\.create_questdb_table\(\s*[\"']([^\"']+)[\"']")
_OF_TABLE = {
    DifferenceKind.TTL: "ttl_months",
    DifferenceKind.DEDUP_KEYS: "dedup_keys",
    DifferenceKind.MAX_UNCOMMITTED_ROWS: "max_uncommitted_rows",
    DifferenceKind.O3_MAX_LAG: "o3_max_lag_ms",
}


def _no_way_out(_: Difference) -> str:
    return ""


def compare(context: AutogenContext, upgrade_ops: UpgradeOps) -> tuple[Comparison, ...]:
    """Compare the shared tables, append operations, and return what was found.

    Raises QuestDBError when the server does not answer. A table that cannot be altered, or must
    not, gets the reason in its comparison and no operation: see `refuse`.
    """
    target: QuestDBTarget | None = (context.opts or {}).get("questdb")
    if target is None:
        return ()  # the caller compares PostgreSQL alone
    if target.skip:
        return (Comparison("QuestDB", skipped="-x questdb=skip"),)
    target.require()
    undeclared = _undeclared(context)
    recorded: list[Table] = []

    def wanted(standing: list[str]) -> Iterator[str]:
        recorded[:] = (context.opts or {})["questdb_recorded"](context.connection, standing)
        yield from undeclared
        yield from (table.name for table in (*SHARED_TABLES, *recorded))

    with plain_questdb_errors():
        live = _live(target.client, wanted)
        by_apply = _what_apply_does(target.client, recorded, live)
    found: list[Comparison] = []
    told: set[str] = set()
    for table in SHARED_TABLES:
        stands = live.get(table.name.lower())
        plan = make_plan([table], live, drop_extra_columns=True)
        found += compared(table, stands, partial(_refused, plan))
        told.update(map(str, compared(table, stands)))
        if not plan.refusals:
            upgrade_ops.ops += _operations(table, stands)
    for stands in (live[name] for name in undeclared if name in live):
        found.append(Comparison(f"QuestDB table {stands.name}", "there, no longer declared"))
        declaration = stands.to_table().to_data()
        upgrade_ops.ops.append(RetireQuestDBTableOp(**declaration))
    # A shared table is recorded as well where a dataset adds indicators to it.
    both = zip(
        recorded_tables(recorded, live), recorded_tables(recorded, live, by_apply), strict=True
    )
    found += [each for plain, each in both if str(plain) not in told]
    return tuple(found)


def recorded_tables(
    tables: Iterable[Table], live: Mapping[str, LiveTable], way_out: WayOut = _no_way_out
) -> Iterator[Comparison]:
    """Compare the tables that PostgreSQL records; those that do not stand are one line."""
    missing = []
    for table in tables:
        if stands := live.get(table.name.lower()):
            yield from compared(table, stands, way_out)
        else:
            missing.append(table.name)
    if missing:
        told = f"{len(missing):,}, such as {missing[0]}; stage1 questdb apply creates them"
        yield Comparison(f"QuestDB tables {NOT_MADE}", skipped=told)


def _live(client: Client, wanted: Callable[[list[str]], Iterable[str]]) -> dict[str, LiveTable]:
    """Return what stands; Parquet partitions are looked for only where a revision alters."""
    shared = {table.name.lower(): table for table in SHARED_TABLES}
    live = live_tables(client, wanted)
    altered = [
        name
        for name, table in shared.items()
        if name in live and not compare_table(table, live[name]).equal
    ]
    return live | live_tables(client, altered, parquet=True) if altered else live


def compared(
    table: Table, stands: LiveTable | None, way_out: WayOut = _no_way_out
) -> Iterator[Comparison]:
    """Yield one value for each difference of a table, each with its `way_out`."""
    result = compare_table(table, stands)
    what = f"QuestDB table {table.name}"
    if result.skipped is not None:
        yield Comparison(what, skipped=result.skipped)
    elif result.equal:
        yield Comparison(what)
    for each in result.differences:
        said = str(each).partition(": ")[2]
        where = what if each.column is None else f"QuestDB column {table.name}.{each.column}"
        yield Comparison(where, said + way_out(each))


def _what_apply_does(
    client: Client, recorded: Iterable[Table], live: Mapping[str, LiveTable]
) -> WayOut:
    """Ask the planner of `stage1 questdb apply`, where a recorded table differs."""
    standing = [table for table in recorded if table.name.lower() in live]
    if all(compare_table(table, live[table.name.lower()]).equal for table in standing):
        return _no_way_out
    # It carries out all or nothing: what is refused anywhere counts.
    tables = {table.name.lower(): table for table in (*SHARED_TABLES, *recorded)}.values()
    plan = plan_for(client, tables)
    extended = {difference.table for difference in plan.left}
    dropping = plan_for(
        client, [table for table in tables if table.name in extended], drop_extra_columns=True
    )
    return partial(_by_apply, plan, dropping)


def _by_apply(plan: Plan, dropping: Plan, difference: Difference) -> str:
    apply = "; stage1 questdb apply"
    if difference in plan.left:
        if reasons := _reasons(dropping, difference.table):
            return f"{apply} leaves it, and dropping it is refused: {reasons}"
        sql = render.drop_column(difference.table, difference.column or "")
        return (
            f"{apply} leaves it: if it is a column that is missing now, rename it back before, "
            f"else drop it with its values: {sql}"
        )
    if reasons := _reasons(plan, difference.table):
        return f"{apply} refuses it: {reasons}"
    steps = (step for step in plan.steps if step.reason == str(difference))
    hazards = dict.fromkeys(hazard for step in steps for hazard in step.hazards)
    options = " --skip-refused" if plan.refusals else ""
    options += "".join(f' --allow "{hazard}"' for hazard in hazards)
    does = "adds it" if difference.kind is DifferenceKind.MISSING_COLUMN else "repairs it"
    return f"{apply}{options} {does}"


def _refused(plan: Plan, difference: Difference) -> str:
    reasons = _reasons(plan, difference.table)
    return f"{REFUSED}{reasons}" if reasons else ""


def _reasons(plan: Plan, table: str) -> str:
    reasons = "; ".join(each.reason for each in plan.refusals if each.table == table)
    rebuild = (
        f": stage1 questdb rebuild {table} --dry-run" if "rebuild the table" in reasons else ""
    )
    return reasons + rebuild


def refuse(found: tuple[Comparison, ...]) -> None:
    """Raise QuestDBError where a new revision would have to make a refused change."""
    refused = [str(each) for each in found if each.difference and REFUSED in each.difference]
    if refused:
        raise QuestDBError(
            f"No revision can make this change: {' / '.join(refused)}.",
            next_step="bring the declaration to what stands, or rebuild the table.",
        )


def _operations(table: Table, stands: LiveTable | None) -> Iterator[MigrateOperation]:
    if stands is None:
        data = table.to_data()
        yield CreateQuestDBTableOp(data.pop("name"), **data)
        return
    result = compare_table(table, stands)
    changed: dict[str, list[Difference]] = {}
    for each in result.differences:
        changed.setdefault(each.column or "", []).append(each)
    table_level = changed.pop("", [])
    for column, differences in changed.items():
        yield _column(table, stands, column, differences)
    if table_level:
        names = [_OF_TABLE[each.kind] for each in table_level]
        yield AlterQuestDBTableOp(
            table.name,
            existing={name: _plain(getattr(stands, name)) for name in names},
            **{name: _plain(getattr(table, name)) for name in names},
        )


def _column(
    table: Table, stands: LiveTable, name: str, differences: list[Difference]
) -> MigrateOperation:
    declared, live = table.column(name), stands.column(name)
    if declared is None and live is not None:
        return QuestDBColumnOp(table.name, name, str(live.type), "retire")
    if declared is None or live is None:
        return QuestDBColumnOp(table.name, name, differences[0].declared)
    return AlterQuestDBColumnOp(table.name, name, str(declared.type), existing=str(live.type))


def _plain(value: Any) -> Any:  # noqa: ANN401 - of several kinds
    return list(value) if isinstance(value, tuple) else value


def _undeclared(context: AutogenContext) -> list[str]:
    """Return the names, in lower case, that a revision once made a table of and none declares."""
    versions = Path((context.opts or {})["script"].dir) / "versions"
    made = {
        name.lower()
        for path in versions.glob("*.py")
        for name in _CREATED.findall(path.read_text(encoding="utf-8"))
    }
    return sorted(made - {table.name.lower() for table in SHARED_TABLES})
