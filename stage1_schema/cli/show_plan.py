"""How a plan is printed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from stage1_schema.ops.effects import Hazard

if TYPE_CHECKING:
    from stage1_schema.ops.plan import Plan, RevisionPlan


def plan(made: Plan, *, sql: bool) -> None:
    """Print `made`; with `sql`, every statement of it."""
    click.echo(f"PostgreSQL {made.postgres_where}, QuestDB {made.questdb_where}")
    if made.empty:
        click.echo(f"revision {made.revision} is head: nothing to do")
        return
    click.echo(f"from {made.revision or 'nothing'} to {made.head}: {len(made.revisions)} revisions")
    for each in made.revisions:
        _revision(each, sql=sql)
    click.echo()
    if not made.squawk:
        click.echo("lint         squawk is not installed (pip install squawk-cli)")
    click.echo(f"hazards      {', '.join(made.hazards) or 'none'}")
    click.echo(f"fingerprint  {made.fingerprint}")


def _revision(each: RevisionPlan, *, sql: bool) -> None:
    click.echo()
    click.echo(f"{each.revision}  {each.title}")
    locks = dict.fromkeys(lock for s in each.postgres for lock in s.locks)
    for held in locks:
        rows = f", about {held.rows:,} rows" if held.rows else ""
        click.echo(f"  lock     {held.lock} on {held.table}{rows}")
    kinds = Counter(statement.kind for statement in each.postgres)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    click.echo(f"  runs     {counted or 'nothing in PostgreSQL'}")
    if each.questdb:
        click.echo(f"  QuestDB  {len(each.questdb)} statements")
    for hazard in each.hazards:
        named = f": {', '.join(each.views)}" if hazard == Hazard.INVALIDATES_VIEWS else ""
        click.echo(f"  hazard   {hazard}{named}")
    for note in each.notes:
        click.echo(f"  note     {note}")
    for finding, count in Counter(each.lint).items():
        click.echo(f"  squawk   {finding}{f' ({count} times)' if count > 1 else ''}")
    if sql:
        for statement in each.postgres:
            click.echo(f"\n{statement.sql};")
        for text in each.questdb:
            click.echo(f"\n-- QuestDB\n{text};")
