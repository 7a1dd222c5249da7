"""`stage1 questdb plan`: what QuestDB lacks of its declarations."""

from __future__ import annotations

import json

import click

from stage1_schema.cli import Stage1, pass_context
from stage1_schema.ops import owned, series
from stage1_schema.questdb import client, plain_questdb_errors


@click.command("plan")
@click.option("--shared", is_flag=True, help="The four shared tables only; PostgreSQL is not read.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_context
def command(context: Stage1, *, shared: bool, as_json: bool) -> None:
    """Show the statements that `apply` would run, hazards, refusals, extra tables.

    Covers the shared tables and those of every dataset, run and simulation in PostgreSQL. Changes
    nothing.

    Example: stage1 questdb plan
    """
    declarations = owned.SHARED if shared else series.catalogue(context.settings)
    with plain_questdb_errors(), client(context.settings.questdb) as questdb:
        intent = series.plan(questdb, declarations)
    click.echo(json.dumps(intent.to_data(), indent=2) if as_json else str(intent))
