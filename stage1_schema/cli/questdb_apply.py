"""`stage1 questdb apply`: bring QuestDB to its declarations."""

from __future__ import annotations

import click

from questdb_ddl import Hazard
from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import owned, series
from stage1_schema.questdb import client, plain_questdb_errors


@click.command("apply")
@click.option(
    "--allow",
    type=click.Choice([hazard.value for hazard in Hazard]),
    multiple=True,
    help="Accept a hazard by its name; repeatable.",
)
@click.option("--fingerprint", help="That of the reviewed plan: refuse when something changed.")
@click.option("--skip-refused", is_flag=True, help="Leave refused tables and do the rest.")
@click.option("--shared", is_flag=True, help="The four shared tables only; PostgreSQL is not read.")
@pass_context
def command(
    context: Stage1,
    allow: tuple[str, ...],
    fingerprint: str | None,
    *,
    skip_refused: bool,
    shared: bool,
) -> None:
    """Create missing tables and alter those that differ; a second run changes nothing.

    Creates the tables of datasets, of runs and of simulations too, monthly and with
    deduplication, before an exporter creates them otherwise.

    Example: stage1 questdb apply
    """
    declarations = owned.SHARED if shared else series.catalogue(context.settings)
    with plain_questdb_errors(), client(context.settings.questdb) as questdb:
        intent = series.plan(questdb, declarations)
        click.echo(str(intent))
        with console.progress("questdb apply") as progress:
            done = series.carry_out(
                questdb,
                intent,
                allow=allow,
                fingerprint=fingerprint,
                skip_refused=skip_refused,
                progress=progress,
            )
    click.echo(f"{len(done)} statement{'s' * (len(done) != 1)} applied.")
