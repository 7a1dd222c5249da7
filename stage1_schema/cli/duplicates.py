"""`stage1 duplicates`: rows that share a name which must be unique."""

from __future__ import annotations

import json

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import duplicates


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_context
def command(context: Stage1, *, as_json: bool) -> None:
    """List the datasets, runs and simulations whose names are taken twice, oldest row first.

    These stop the revision that makes the names unique. Nothing is changed. The exit code is 0
    when there are none, else 1.

    Example: stage1 duplicates --json
    """
    found = duplicates.find(context.settings)
    if as_json:
        click.echo(json.dumps(found.to_data(), indent=2))
    elif not found.groups:
        click.echo(f"PostgreSQL {found.where}: every name is unique.")
    else:
        console.table(
            ("table", "name", "id", "created"),
            [
                (
                    group.table,
                    ", ".join(f"{column}={value}" for column, value in group.name.items()),
                    row.id,
                    row.created_at or "",
                )
                for group in found.groups
                for row in group.rows
            ],
        )
    click.get_current_context().exit(1 if found.groups else 0)
