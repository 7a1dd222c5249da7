"""`stage1 status`: what stands in both stores."""

from __future__ import annotations

import json

import click

from stage1_schema.cli import Stage1, console, pass_context, show
from stage1_schema.ops import status


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_context
def command(context: Stage1, *, as_json: bool) -> None:
    """Show both stores: where, version, revision and head, tables with rows, drift.

    The exit code is 0 when both stand at head without drift, else 1.

    Example: stage1 status --json
    """
    settings = context.settings
    with console.progress("status"):
        read = status.read(settings)
    if as_json:
        click.echo(json.dumps(read.to_data(), indent=2))
    else:
        show.status(read)
    click.get_current_context().exit(0 if read.healthy else 1)
