"""Rebuild a table whose partitioning, timestamp type or deduplication no ALTER can mend.

The old table is copied month by month into a new one, both change names, and what was written
meanwhile follows before the new one is visible. How far a rebuild came stands in the names alone
(`Names`), so one that was killed at any point is finished by calling `rebuild` again.

A writer over HTTP may go on all the time, from QuestDB 9.3.2 on. Between the two renames the table
does not exist: a server that creates tables by itself makes one there, which is merged too; a
server that does not refuses the writer's request, which has to be sent again. Before 9.3.2 a kept
connection writes on into the renamed table: writers have to be stopped there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from questdb_ddl import render
from questdb_ddl.errors import PlanRefused
from questdb_ddl.rebuild_names import Names
from questdb_ddl.rebuild_plan import plan_rebuild
from questdb_ddl.rebuild_run import Rebuilt, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from questdb_ddl.client import Client
    from questdb_ddl.spec import Table


def rebuild(
    client: Client,
    declared: Table,
    on_step: Callable[[str], None] = lambda _: None,
    *,
    fix_timestamps: bool = False,
    writers_stopped: bool = False,
    give_up_detached: Collection[str] = (),
) -> Rebuilt:
    """Rebuild the table called like `declared`, or finish what was begun; `on_step` is told each.

    With `fix_timestamps`, rows that were sent in a wrong unit move to where they belong. Detached
    partitions of a table in `give_up_detached` stay with the old table. Raises
    PlanRefused with the reasons where it would lose something, VerificationFailed when the new
    table does not hold what the old one does (the old one then stands untouched under its name
    or `Names.old`), TableSuspended when a table stops applying.

    >>> from questdb_ddl import Column, Long, Table, drop, drop_old, live_tables
    >>> client.execute("CREATE TABLE ticks (timestamp TIMESTAMP, n LONG) TIMESTAMP(timestamp)"
    ...                " PARTITION BY DAY WAL")
    >>> ticks = Table("ticks", (Column("n", Long()),), dedup_keys=("timestamp", "n"))
    >>> rebuilt = rebuild(client, ticks, writers_stopped=True)
    >>> str(live_tables(client, ["ticks"])["ticks"].partition_by)
    'MONTH'
    >>> dropped = drop_old(client, "ticks", rebuilt.kept_as), drop(client, "ticks")
    """
    plan = plan_rebuild(
        client,
        declared,
        fix_timestamps=fix_timestamps,
        writers_stopped=writers_stopped,
        give_up_detached=give_up_detached,
    )
    if plan.refusals:
        raise PlanRefused(f"{plan.table} is not rebuilt: {'; '.join(plan.refusals)}.")
    if plan.empty:
        return Rebuilt(plan.table)
    names = Names(plan.table, "_fixed" if plan.fix_timestamps else "")
    if plan.target is not None:
        client.execute(render.create_table(plan.target.renamed(names.new)))
        on_step(f"created {names.new}")
    return Run(client, declared, names, on_step).finish()
