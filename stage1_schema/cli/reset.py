"""`stage1 reset`: both stores empty and at head."""

from __future__ import annotations

import json

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.errors import VerificationError
from stage1_schema.ops import reset

MARKS = {True: "ok", False: "FAILED", None: "skipped"}


@click.command()
@click.option("--confirm", metavar="DATABASE", help="The name of the database to reset.")
@click.option("--dry-run", is_flag=True, help="Show what would go and change nothing.")
@click.option("--keep/--drop", default=None, help="Move rows aside, or delete them for good.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@pass_context
def command(
    context: Stage1, confirm: str | None, *, dry_run: bool, keep: bool | None, as_json: bool
) -> None:
    """Empty both stores, rebuild them at head, and verify the result.

    On the local servers it runs straight and drops. Anywhere else it wants the database's name
    and moves rows aside (--keep) unless --drop is given.

    Example: stage1 reset --confirm stage1_trading
    """
    intent = reset.plan(context.settings)
    if dry_run:
        click.echo(json.dumps(intent.to_data(), indent=2) if as_json else intent.summary)
        return
    reset.confirm(intent, confirm)
    kept = not intent.local if keep is None else keep
    if not as_json:
        click.echo(f"Taking away: {intent.summary}")
    with console.progress("reset") as progress:
        result = reset.run(context.settings, intent, keep=kept, progress=progress)
    if as_json:
        click.echo(json.dumps(result.to_data(), indent=2))
    else:
        console.table(
            ("check", "result", "detail"),
            [(check.what, MARKS[check.passed], check.detail) for check in result.checks],
        )
        click.echo(f"\nFor the application team:\n{result.message}")
    if not result.passed:
        raise VerificationError(
            "The reset is not complete.", next_step="mend what the checklist says and run it again."
        )
