"""`stage1 validate`: whether the data of both stores keeps its promises."""

from __future__ import annotations

import json

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import validation


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="Run this check only; repeatable.")
@click.option("--list", "list_them", is_flag=True, help="List the checks, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@pass_context
def command(context: Stage1, *, only: tuple[str, ...], list_them: bool, as_json: bool) -> None:
    """Look for rows in both stores that cannot be right: lost, left over, stuck, at wrong times.

    Nothing is changed; any role that may read the tables can run it. The exit code is 0 when
    nothing is found, 3 when something is, 1 when a check could not be run.

    Example: stage1 validate --only folds_missing
    """
    if list_them:
        listed = [(each.name, each.store, each.finds) for each in validation.checks(only)]
        console.table(("name", "store", "finds"), listed)
        return
    with console.progress("validate") as progress:
        done = validation.validate(context.settings, only, progress=progress)
    if as_json:
        click.echo(json.dumps(done.to_data(), indent=2))
    else:
        _show(done)
    if done.not_run:
        raise Stage1Error(
            f"{len(done.not_run)} of {len(done.outcomes)} checks could not be run, the first"
            f" because: {done.not_run[0].not_run}",
            next_step="mend that and run the same command again.",
        )
    click.get_current_context().exit(3 if done.found else 0)


def _show(done: validation.Validation) -> None:
    for each in done.found:
        click.echo(f"{each.check.name}: {each.count:,} found. {each.check.finds}")
        for example in each.examples:
            click.echo(f"    {example.id}: {example.detail}")
    for each in done.not_run:
        click.echo(f"{each.check.name}: not run: {each.not_run}")
    click.echo(f"{len(done.outcomes)} checks, {len(done.found)} found something.")
    if done.found:
        click.echo("Next: docs/validation.md says what to do about each.")
