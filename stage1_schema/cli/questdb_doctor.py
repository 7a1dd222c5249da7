"""`stage1 questdb doctor`: what the rows of the tables show."""

from __future__ import annotations

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import series


@click.command("doctor")
@pass_context
def command(context: Stage1) -> None:
    """Look for rows at a time in a wrong unit, in the future, or doubled; reads every row.

    The exit code is 1 when something was found. Changes nothing.

    Example: stage1 questdb doctor
    """
    with console.progress("questdb doctor") as progress:
        found = series.diagnose(context.settings, progress)
    ill = [diagnosis for diagnosis in found if not diagnosis.healthy]
    for table in ill:
        if table.repeated:
            click.echo(f"{table.table}: {table.repeated:,} of {table.rows:,} rows repeat a key")
        if table.times:
            click.echo(f"{table.table}: {table.times}")
        if table.unread:
            click.echo(f"{table.table}: not read in full: {table.unread}")
    if ill:
        click.echo("Next: stage1 questdb rebuild TABLE [--fix-timestamps] --dry-run")
    click.echo(f"{len(found)} tables read, {len(ill)} with findings.")
    click.get_current_context().exit(1 if ill else 0)
