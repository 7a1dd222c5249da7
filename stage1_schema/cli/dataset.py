"""`stage1 dataset`: datasets in PostgreSQL together with their tables in QuestDB."""

from __future__ import annotations

import click

from stage1_schema.cli import (
    dataset_backfill,
    dataset_create,
    dataset_drop,
    dataset_list,
    dataset_placeholder,
    dataset_restore,
    dataset_show,
)


@click.group()
def command() -> None:
    """Register, show and take away datasets with their QuestDB tables."""


command.add_command(dataset_backfill.command, "backfill")
command.add_command(dataset_create.command, "create")
command.add_command(dataset_drop.command, "drop")
command.add_command(dataset_list.command, "list")
command.add_command(dataset_placeholder.command, "placeholder")
command.add_command(dataset_restore.command, "restore")
command.add_command(dataset_show.command, "show")
