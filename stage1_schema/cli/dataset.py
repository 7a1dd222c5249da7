"""`stage1 dataset`: datasets in PostgreSQL together with their tables in QuestDB."""

from __future__ import annotations

import click

from stage1_schema.cli import dataset_create, dataset_drop, dataset_list, dataset_show


@click.group()
def command() -> None:
    """Register, show and take away datasets with their QuestDB tables."""


for _module in (dataset_create, dataset_drop, dataset_list, dataset_show):
    command.add_command(_module.command)
