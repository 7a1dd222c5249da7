"""`stage1 questdb drop`: take tables away."""

from __future__ import annotations

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import dropping


@click.command("drop")
@click.argument("table", required=False)
@click.option("--dataset", metavar="SLUG", help="All tables of a dataset, its runs, simulations.")
@click.option("--registered", is_flag=True, help="Every table that Stage1 declares.")
@click.option("--everything", is_flag=True, help="Every table of the server.")
@click.option("--confirm", metavar="NAME", help="The name that the command asks for.")
@click.option("--keep", is_flag=True, help="Rename tables that hold rows instead of dropping them.")
@pass_context
def command(
    context: Stage1,
    table: str | None,
    dataset: str | None,
    confirm: str | None,
    *,
    registered: bool,
    everything: bool,
    keep: bool,
) -> None:
    """Drop TABLE, or the tables that an option names; shows the rows and wants a confirmation.

    Without --confirm nothing is changed. Afterwards it watches for writers that create one again.

    Example: stage1 questdb drop ohlcv_btc25_4h --keep --confirm ohlcv_btc25_4h
    """
    given = [bool(table), bool(dataset), registered, everything]
    if sum(given) != 1:
        raise Stage1Error("Name one thing to drop.", next_step="stage1 questdb drop --help.")
    settings = context.settings
    if table:
        intent, words = dropping.plan_table(settings, table), table
    elif dataset:
        intent, words = dropping.plan_dataset(settings, dataset), f"--dataset {dataset}"
    elif registered:
        intent, words = dropping.plan_registered(settings), "--registered"
    else:
        intent, words = dropping.plan_everything(settings), "--everything"
    dropping.confirm(intent, confirm, f"stage1 questdb drop {words}{' --keep' * keep}")
    with console.progress("questdb drop") as progress:
        done = dropping.carry_out(settings, intent, keep=keep, progress=progress)
    click.echo(f"{len(done.dropped)} tables dropped, {len(done.kept)} kept under another name.")
    for name in done.kept:
        click.echo(f"kept {name}")
    for name in intent.left:
        click.echo(f"left, because others claim it too: {name}")
    dropping.refuse_return(done)
