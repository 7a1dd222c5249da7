"""`stage1 questdb`: QuestDB's tables against their declarations."""

from __future__ import annotations

import click

from stage1_schema.cli import (
    questdb_apply,
    questdb_doctor,
    questdb_drop,
    questdb_plan,
    questdb_rebuild,
    questdb_server_check,
)


@click.group()
def command() -> None:
    """Compare QuestDB with its declarations, bring it there, repair it."""


for _module in (
    questdb_apply,
    questdb_doctor,
    questdb_drop,
    questdb_plan,
    questdb_rebuild,
    questdb_server_check,
):
    command.add_command(_module.command)
