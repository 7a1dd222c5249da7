"""`stage1 reset`: both stores empty and at head."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from stage1_schema import terminal
from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.errors import VerificationError
from stage1_schema.ops import reset

if TYPE_CHECKING:
    from stage1_schema.settings import Settings

MARKS = {True: "ok", False: "FAILED", None: "skipped"}


@click.command()
@click.option("--confirm", metavar="DATABASE", help="The name of the database to reset.")
@click.option("--dry-run", is_flag=True, help="List what would happen and change nothing.")
@click.option("--keep/--drop", default=None, help="Keep rows under another name, or delete them.")
@click.option("--everything", is_flag=True, help="Drop QuestDB's tables of other software too.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@pass_context
def command(
    context: Stage1,
    confirm: str | None,
    *,
    dry_run: bool,
    keep: bool | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Empty both stores, rebuild them at head, and verify the result.

    In QuestDB it drops the shared tables, those that PostgreSQL records, and those with a name of
    Stage1: ohlcv_*, indicators_*, *_ohlcv, *_ind, *_wf<N>, *_run<N>, run_<N>, *_sim<N>. It lists
    the others and leaves them. Copies that an earlier reset or rebuild kept (*_retired_<time>,
    *_old_<time>) are left too; --everything --drop deletes these with all the rest.

    On the local servers it needs no name and drops. Anywhere else it needs the database's name
    and keeps rows (--keep) unless --drop is given. A wrong name is refused everywhere.

    Example: stage1 reset --confirm stage1_trading
    """
    intent = reset.plan(context.settings, everything=everything)
    keep = not intent.local if keep is None else keep
    if not (as_json and not dry_run):
        _show(context.settings, intent, keep=keep, as_json=as_json)
    if dry_run:
        return
    reset.confirm(intent, confirm, keep=keep)
    with console.progress("reset") as progress:
        result = reset.run(context.settings, intent, keep=keep, progress=progress)
    if as_json:
        click.echo(json.dumps(result.to_data(), indent=2))
    else:
        console.table(
            ("result", "check", "detail"),
            [(MARKS[c.passed], c.what, terminal.visible(c.detail)) for c in result.checks],
        )
    if not result.passed:
        raise VerificationError(
            "The reset is not complete.",
            next_step="stop what still writes and fix what the checklist says, then run the same"
            " command again.",
        )
    if not as_json:
        click.echo(f"\nFor the application team:\n{result.message}")


def _show(settings: Settings, intent: reset.Plan, *, keep: bool, as_json: bool) -> None:
    """Print every table with its rows and what happens to it, and what refuses the reset."""
    refused = reset.refusals(settings, intent, keep=keep)
    if as_json:
        data = intent.to_data(keep=keep) | {"refusals": list(refused)}
        click.echo(json.dumps(data, indent=2))
        return
    heading = ("store", "table", "rows", "what happens")
    listed = [heading, *intent.rows(keep=keep)]
    number, fate = (max(len(row[column]) for row in listed) for column in (2, 3))
    for store, name, rows, what in listed:  # a long name does not spread the columns
        click.echo(f"{store:<10}  {rows:>{number}}  {what:<{fate}}  {terminal.visible(name)}")
    if objects := len(intent.postgres.objects):
        click.echo(f"With PostgreSQL's tables: {objects} views and functions of Stage1.")
    click.echo(f"In all: {intent.summary(keep=keep)}.")
    for refusal in refused:
        click.echo(f"refused: {terminal.visible(refusal)}")
