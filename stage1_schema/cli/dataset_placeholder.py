"""`stage1 dataset placeholder`: stand in for one dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stage1_schema.cli import Stage1, pass_context
from stage1_schema.ops import placeholders

if TYPE_CHECKING:
    from uuid import UUID


@click.command()
@click.argument("dataset_id", metavar="ID", type=click.UUID)
@click.option("--slug", help="A guess; it gives way to the real one.")
@click.option("--symbol", help="Such as BTCUSDT.")
@pass_context
def command(context: Stage1, dataset_id: UUID, slug: str | None, symbol: str | None) -> None:
    """Make a placeholder for dataset ID, so that its runs can be recorded.

    Where the dataset stands nothing changes. When its real row arrives it takes the place.

    Example: stage1 dataset placeholder 0f0e0d0c-0000-4000-8000-000000000001 --slug btc25_4h
    """
    found = placeholders.ensure_dataset(context.settings, dataset_id, slug, symbol)
    what = "is a placeholder" if found.is_placeholder else "is recorded; nothing was changed"
    click.echo(f"Dataset {found.dataset_id} ({found.dataset_slug}) {what}.")
