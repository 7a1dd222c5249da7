"""`stage1 dataset placeholder`: stand in for one dataset."""

from __future__ import annotations

from uuid import UUID

import click

from stage1_schema.cli import Stage1, pass_context
from stage1_schema.ops import placeholders


@click.command()
@click.argument("name", metavar="SLUG|ID")
@click.option("--slug", help="Of an ID: a guess; it gives way to the real one.")
@click.option("--symbol", help="Such as BTCUSDT.")
@pass_context
def command(context: Stage1, name: str, slug: str | None, symbol: str | None) -> None:
    """Make a placeholder for the dataset SLUG, or ID, so that its runs can be recorded.

    The id of a SLUG is made from it, the same each time. Safe to repeat: where the dataset is
    there, as a placeholder or recorded, nothing changes and the exit code is 0. When the real
    dataset arrives, under this id or with this slug, it takes the place and the runs.

    Example: stage1 dataset placeholder btc25_4h --symbol BTCUSDT
    """
    try:
        dataset_id = UUID(name)
    except ValueError:
        if slug:
            raise click.UsageError(
                f"{name} is no id: give the slug once, without --slug."
            ) from None
        found = placeholders.ensure_slug(context.settings, name, symbol)
    else:
        found = placeholders.ensure_dataset(context.settings, dataset_id, slug, symbol)
    what = "is recorded: nothing was changed"
    if found.is_placeholder:
        what = "is now a placeholder" if found.made else "is a placeholder: nothing was changed"
    click.echo(f"Dataset {found.dataset_id} ({found.dataset_slug}) {what}.")
