"""`stage1 check`: how both stores differ from the declarations."""

from __future__ import annotations

import json

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import drift


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print every comparison as JSON.")
@pass_context
def command(context: Stage1, *, as_json: bool) -> None:
    """Compare both stores with what is declared, a line for each difference.

    It takes no lock that a reader or writer could feel. The exit code is 0 when nothing differs
    and no QuestDB table is suspended, else 1.

    Example: stage1 check --json
    """
    settings = context.settings
    with console.progress("check"):
        found = drift.check(settings)
    if as_json:
        click.echo(json.dumps(found.to_data(), indent=2))
    else:
        for line in (*found.different, *found.skipped):
            click.echo(str(line))
        compared = len(found.postgres) + len(found.questdb) - len(found.skipped)
        click.echo(f"{len(found.different)} of {compared:,} compared differ.")
    click.get_current_context().exit(0 if found.equal else 1)
