"""`stage1 questdb`: what QuestDB lacks of its declarations, and making it so."""

from __future__ import annotations

import click

from questdb_ddl import Hazard
from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import series
from stage1_schema.questdb import client, plain_questdb_errors


@click.group()
def command() -> None:
    """Compare QuestDB with its declarations, and bring it there."""


@command.command()
@pass_context
def plan(context: Stage1) -> None:
    """Show the statements that `apply` would run; changes nothing.

    Example: stage1 questdb plan
    """
    with plain_questdb_errors(), client(context.settings.questdb) as questdb:
        click.echo(str(series.plan(questdb)))


@command.command()
@click.option(
    "--allow",
    type=click.Choice([hazard.value for hazard in Hazard]),
    multiple=True,
    help="Accept a hazard by its name; repeatable.",
)
@pass_context
def apply(context: Stage1, allow: tuple[str, ...]) -> None:
    """Create missing shared tables and alter those that differ.

    Needed after an upgrade with `-x questdb=skip`. A second run changes nothing.

    Example: stage1 questdb apply
    """
    with plain_questdb_errors(), client(context.settings.questdb) as questdb:
        intent = series.plan(questdb)
        click.echo(str(intent))
        with console.progress("questdb apply") as progress:
            done = series.carry_out(questdb, intent, allow=allow, progress=progress)
    click.echo(f"{len(done)} statement{'s' * (len(done) != 1)} applied.")
