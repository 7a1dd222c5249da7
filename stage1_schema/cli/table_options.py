"""Options of every command that drops, renames or copies QuestDB tables."""

from __future__ import annotations

import click

from questdb_ddl import Hazard

allow_invalid_views = click.option(
    "--allow",
    type=click.Choice([Hazard.INVALIDATES_VIEWS.value]),
    multiple=True,
    help="Accept this hazard by its name.",
)

give_up_detached = click.option(
    "--give-up-detached",
    metavar="TABLE",
    multiple=True,
    help="Lose the detached partitions of TABLE, whose rows no count shows; repeatable.",
)
