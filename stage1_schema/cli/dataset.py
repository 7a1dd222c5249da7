"""`stage1 dataset`: what concerns one dataset, or the datasets that were never recorded."""

from __future__ import annotations

import click

from stage1_schema.cli import dataset_backfill, dataset_placeholder


@click.group()
def command() -> None:
    """Look after datasets.

    Example: stage1 dataset backfill --from pending_postgres_inserts.sql --dry-run
    """


command.add_command(dataset_backfill.command, "backfill")
command.add_command(dataset_placeholder.command, "placeholder")
