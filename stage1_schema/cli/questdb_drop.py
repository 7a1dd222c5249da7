"""`stage1 questdb drop`: take tables away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from stage1_schema.cli import Stage1, console, pass_context, table_options
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import dropping

if TYPE_CHECKING:
    from collections.abc import Callable


@click.command("drop")
@click.argument("table", required=False)
@click.option("--dataset", metavar="SLUG", help="All tables of a dataset, its runs, simulations.")
@click.option("--registered", is_flag=True, help="Every table that Stage1 declares.")
@click.option("--everything", is_flag=True, help="Every table of the server.")
@click.option("--confirm", metavar="NAME", help="The name that the command asks for.")
@click.option("--keep", is_flag=True, help="Rename tables that hold rows instead of dropping them.")
@table_options.give_up_detached
@table_options.allow_invalid_views
@pass_context
def command(
    context: Stage1,
    table: str | None,
    dataset: str | None,
    confirm: str | None,
    *,
    give_up_detached: tuple[str, ...],
    allow: tuple[str, ...],
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
    plan: Callable[..., dropping.DropPlan]
    if table:
        plan, words = partial(dropping.plan_table, settings, table), table
    elif dataset:
        plan, words = partial(dropping.plan_dataset, settings, dataset), f"--dataset {dataset}"
    elif registered:
        plan, words = partial(dropping.plan_registered, settings), "--registered"
    else:
        plan, words = partial(dropping.plan_everything, settings), "--everything"
    intent = plan(give_up_detached=give_up_detached, allow=allow)
    words += "".join(f" --give-up-detached {name}" for name in give_up_detached)
    words += "".join(f" --allow '{hazard}'" for hazard in allow)
    dropping.confirm(intent, confirm, f"stage1 questdb drop {words}{' --keep' * keep}")
    with console.progress("questdb drop") as progress:
        done = dropping.carry_out(settings, intent, keep=keep, progress=progress)
    click.echo(f"{len(done.dropped)} tables dropped, {len(done.kept)} kept under another name.")
    for name in done.kept:
        click.echo(f"kept {name}")
    for name in intent.left:
        click.echo(f"left: {name}")
    dropping.refuse_return(done)
