"""Rebuild a table without some of its rows: QuestDB has no DELETE.

What goes is noted in a table before the new one is made, so that a trim which was killed leaves out
what it was begun for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from questdb_ddl import render
from questdb_ddl.errors import DeclarationError, PlanRefused, VerificationFailed
from questdb_ddl.introspect import live_tables, table_names
from questdb_ddl.names import literal, quote
from questdb_ddl.rebuild_names import Names
from questdb_ddl.rebuild_plan import plan_rebuild, resuming_refusals
from questdb_ddl.rebuild_run import Rebuilt, Run
from questdb_ddl.rebuild_state import other_under_way, state, under_way
from questdb_ddl.types import String, Symbol, Varchar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from questdb_ddl.client import Client
    from questdb_ddl.rebuild_plan import RebuildPlan
    from questdb_ddl.spec import Table


@dataclass(frozen=True, slots=True)
class UnfinishedTrim:
    """A trim of `table` that was begun: it leaves out the rows whose `key` is one of `values`."""

    table: str
    key: str
    values: tuple[str, ...]
    kept_as: str


def unfinished_trims(client: Client) -> tuple[UnfinishedTrim, ...]:
    """Return the trims that were begun and not finished, by table; `trim` finishes one."""
    suffix = Names("", "_trimmed").without
    listed = table_names(client, lambda name: name.endswith(suffix))
    tables = sorted(name.removesuffix(suffix) for name in listed)
    return tuple(found for table in tables if (found := _unfinished(client, table)))


def trim(
    client: Client,
    declared: Table,
    key: str,
    values: Iterable[str],
    on_step: Callable[[str], None] = lambda _: None,
    *,
    writers_stopped: bool = False,
    give_up_detached: Collection[str] = (),
) -> Rebuilt:
    """Rebuild a table without the rows whose column `key` is one of `values`.

    QuestDB has no DELETE. A trim of the table that was begun and not finished is finished instead,
    with the values noted then: `Rebuilt.values` says which went, and for others it is called
    again. The old table with all rows is kept as `Rebuilt.kept_as`. Raises what `rebuild` raises,
    and DeclarationError where `key` is no column of text.
    """
    names, stands = state(client, declared.name)
    begun = _unfinished(client, declared.name)
    if under_way(names, stands) and names.mode != "_trimmed":
        raise PlanRefused(other_under_way(names))
    if under_way(names, stands) and begun is None:
        raise VerificationFailed(
            f"{names.without}, which says what is left out of {names.table}, is gone: drop "
            f"{names.new}, rename {names.old} to {names.table} where that is gone, and begin again."
        )
    if begun is None:
        plan = plan_rebuild(
            client, declared, writers_stopped=writers_stopped, give_up_detached=give_up_detached
        )
        begun = _begin_trim(client, plan, key, values, on_step)
        names, stands = state(client, declared.name)
    if under_way(names, stands):
        refused = resuming_refusals(
            client,
            declared,
            names,
            stands,
            writers_stopped=writers_stopped,
            give_up_detached=give_up_detached,
        )
        if reasons := list(refused):
            raise PlanRefused(f"{names.table} is not rebuilt: {'; '.join(reasons)}.")
        gone = f"select {quote(begun.key)} from {quote(names.without)}"
        column = quote(begun.key)  # which a writer can have made a VARCHAR
        only = f"({column} is null or cast({column} as symbol) not in ({gone}))"
        done = Run(client, declared, names, on_step, only=only, kept_as=begun.kept_as).finish()
    else:  # only the notes were left to drop
        live = live_tables(client, [names.table], counts=True).get(names.table.lower())
        done = Rebuilt(names.table, begun.kept_as, (live and live.row_count) or 0)
    client.execute(render.drop_table(names.without))
    return replace(done, values=begun.values)


def _begin_trim(
    client: Client,
    plan: RebuildPlan,
    key: str,
    values: Iterable[str],
    on_step: Callable[[str], None],
) -> UnfinishedTrim:
    """Note what goes, and only then create the new table: from there on the notes are whole."""
    if plan.refusals or plan.target is None:
        raise PlanRefused(f"{plan.table} is not rebuilt: {'; '.join(plan.refusals)}.")
    column = live_tables(client, [plan.table])[plan.table.lower()].column(key)
    if column is None or not isinstance(column.type, Symbol | String | Varchar):
        raise DeclarationError(f"{plan.table} has no text column {key} to tell its rows apart by.")
    names = Names(plan.table, "_trimmed")
    noted = UnfinishedTrim(plan.table, key, tuple(sorted(values)), names.kept(datetime.now(UTC)))
    rows = [f"({literal(value)}, {literal(noted.kept_as)})" for value in noted.values]
    client.execute(render.drop_table(names.without))
    client.execute(f"CREATE TABLE {quote(names.without)} ({quote(key)} SYMBOL, kept_as SYMBOL)")
    for batch in _batches(rows):
        client.execute(f"INSERT INTO {quote(names.without)} VALUES {', '.join(batch)}")
    on_step(f"noted what goes in {names.without}")
    client.execute(render.create_table(plan.target.renamed(names.new)))
    on_step(f"created {names.new}")
    return noted


def _unfinished(client: Client, table: str) -> UnfinishedTrim | None:
    names = Names(table, "_trimmed")
    notes = live_tables(client, [names.without]).get(names.without.lower())
    rows = client.query(f"select * from {quote(names.without)}") if notes else []
    if notes is None or not rows:
        return None
    key, kept_as = notes.columns[0].name, rows[0]["kept_as"]
    # Without one of these the trim was killed while it noted its values, and changed nothing.
    if not live_tables(client, [names.new, names.old, kept_as]):
        return None
    return UnfinishedTrim(table, key, tuple(row[key] for row in rows), kept_as)


def _batches(values: list[str], size: int = 100) -> Iterator[list[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))
