"""The QuestDB tables that should stand: the shared ones, and those of datasets that do stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from questdb_ddl import Client, Hazard, Plan, Step, apply, plan_for
from questdb_ddl.tables import SHARED_TABLES, indicators_table, ohlcv_table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from questdb_ddl import Table


def declared(recorded: Iterable[str], standing: Collection[str]) -> tuple[Table, ...]:
    """Return the declarations: shared tables always, a dataset's where it stands.

    `recorded` are the names that PostgreSQL knows, `standing` the names in QuestDB, lower case.
    """
    kinds = {"ohlcv": ohlcv_table, "indicators": indicators_table}
    tables = list(SHARED_TABLES)
    for name in recorded:
        declare = kinds.get(name.partition("_")[0])
        if declare and name.lower() in standing:
            tables.append(declare(name, name=name))
    return tuple(tables)


def plan(questdb: Client) -> Plan:
    """Return what brings the shared tables to their declarations; changes nothing."""
    return plan_for(questdb, SHARED_TABLES)


def carry_out(
    questdb: Client,
    intent: Plan,
    *,
    allow: Collection[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Step, ...]:
    """Apply `intent` and return its steps. `allow` names hazards such as `deletes data`.

    Raises questdb_ddl's PlanRefused when the tables changed since, or a hazard was not allowed.
    """
    allowed = [hazard for hazard in Hazard if hazard in allow]
    return apply(questdb, intent, lambda step: progress(step.table), allow=allowed)
