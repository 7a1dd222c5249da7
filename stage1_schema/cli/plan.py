"""`stage1 plan`: what an upgrade would do."""

from __future__ import annotations

import json

import click

from stage1_schema.cli import Stage1, console, pass_context, show_plan
from stage1_schema.ops import plan


@click.command()
@click.option("-x", "arguments", metavar="NAME=VALUE", multiple=True, help="As for alembic -x.")
@click.option("--sql", is_flag=True, help="Show the statements too.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, statements included.")
@pass_context
def command(context: Stage1, arguments: tuple[str, ...], *, sql: bool, as_json: bool) -> None:
    """Show what an upgrade would do to both stores: locks, rows, hazards. Changes nothing.

    Example: stage1 plan --sql
    """
    settings = context.stores(arguments)
    with console.progress("plan"):
        made = plan.make(settings, arguments)
    if as_json:
        click.echo(json.dumps(made.to_data(), indent=2))
    else:
        show_plan.plan(made, sql=sql)
