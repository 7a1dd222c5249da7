"""`stage1 upgrade`: show the plan and carry it out."""

from __future__ import annotations

import click

from stage1_schema.cli import Stage1, console, pass_context, show_plan
from stage1_schema.ops import plan
from stage1_schema.ops.effects import Hazard


@click.command()
@click.option(
    "--allow",
    type=click.Choice([str(hazard) for hazard in Hazard]),
    multiple=True,
    help="Accept a hazard by its name; repeatable.",
)
@click.option("--plan-fingerprint", metavar="F", help="Run only the plan that was approved.")
@click.option("-x", "arguments", metavar="NAME=VALUE", multiple=True, help="As for alembic -x.")
@pass_context
def command(
    context: Stage1,
    allow: tuple[str, ...],
    plan_fingerprint: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Bring both stores to head: show the plan, refuse what is hazardous, then run it.

    It stops when either store changed since the plan was made. `alembic upgrade head` does the
    same work without a plan.

    Example: stage1 upgrade --allow 'deletes data'
    """
    settings = context.stores(arguments)
    with console.progress("plan"):
        made = plan.make(settings, arguments)
    show_plan.plan(made, sql=False)
    if made.empty:
        return
    plan.carry_out(settings, made, allow=allow, expected=plan_fingerprint, progress=click.echo)
    click.echo(f"Both stores stand at {made.head}.")
