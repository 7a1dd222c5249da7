"""Options of every command that drops, renames or copies QuestDB tables."""

from __future__ import annotations

import click

give_up_detached = click.option(
    "--give-up-detached",
    metavar="TABLE",
    multiple=True,
    help="Lose the detached partitions of TABLE, whose rows no count shows; repeatable.",
)
