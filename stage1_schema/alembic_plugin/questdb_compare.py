"""The declared QuestDB tables against the server, for `alembic check` and a new revision.

Tables of datasets, runs and simulations are made by commands and not by revisions: they are
compared, and `stage1 questdb apply` repairs them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from questdb_ddl import Difference, DifferenceKind, Refusal, live_tables, make_plan
from questdb_ddl import compare as compare_table
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.alembic_plugin.comparison import NOT_MADE, Comparison
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

    from questdb_ddl import Client, LiveTable, Table

_CREATED = re.compile(r"op\.create_questdb_table\(\s*[\"']([^\"']+)[\"']")
_OF_TABLE = {
    DifferenceKind.TTL: "ttl_months",
    DifferenceKind.DEDUP_KEYS: "dedup_keys",
    DifferenceKind.MAX_UNCOMMITTED_ROWS: "max_uncommitted_rows",
    DifferenceKind.O3_MAX_LAG: "o3_max_lag_ms",
}


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
    found: list[Comparison] = []
    for table in SHARED_TABLES:
        stands = live.get(table.name.lower())
        plan = make_plan([table], live, drop_extra_columns=True)
        found += compared(table, stands, plan.refusals)
        if not plan.refusals:
            upgrade_ops.ops += _operations(table, stands)
    for stands in (live[name] for name in undeclared if name in live):
        found.append(Comparison(f"QuestDB table {stands.name}", "there, no longer declared"))
        declaration = stands.to_table().to_data()
        upgrade_ops.ops.append(RetireQuestDBTableOp(**declaration))
    told = {str(each) for each in found}
    for each in recorded_tables(recorded, live):
        if str(each) not in told:
            repair = each.difference and f"{each.difference}; stage1 questdb apply repairs it"
            found.append(replace(each, difference=repair))
    return tuple(found)


def recorded_tables(tables: Iterable[Table], live: Mapping[str, LiveTable]) -> Iterator[Comparison]:
    """Compare the tables that PostgreSQL records; those that do not stand are one line."""
    missing = []
    for table in tables:
        if stands := live.get(table.name.lower()):
            yield from compared(table, stands)
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
    table: Table, stands: LiveTable | None, refusals: tuple[Refusal, ...] = ()
) -> Iterator[Comparison]:
    """Yield one value for each difference of a table, with the reason where it is refused."""
    result = compare_table(table, stands)
    what = f"QuestDB table {table.name}"
    if result.skipped is not None:
        yield Comparison(what, skipped=result.skipped)
    elif result.equal:
        yield Comparison(what)
    refused = "; ".join(refusal.reason for refusal in refusals)
    for each in result.differences:
        said = str(each).partition(": ")[2]
        where = what if each.column is None else f"QuestDB column {table.name}.{each.column}"
        yield Comparison(where, f"{said}; refused: {refused}" if refused else said)


def refuse(found: tuple[Comparison, ...]) -> None:
    """Raise QuestDBError where a new revision would have to make a refused change."""
    refused = [str(each) for each in found if each.difference and "; refused: " in each.difference]
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
