"""The command line `stage1`. Each command is a file: parse, call the library, print."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import click

from stage1_schema import settings, terminal
from stage1_schema.cli import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stage1_schema.settings import Settings

COMMANDS = (
    "backup",
    "check",
    "down",
    "duplicates",
    "history",
    "plan",
    "release",
    "replay",
    "reset",
    "restore",
    "schedule",
    "status",
    "up",
    "upgrade",
    "validate",
)
GROUPS = ("dataset", "questdb", "retention", "roles")


class Stage1:
    """What every command gets: the settings, read when first asked for."""

    @cached_property
    def settings(self) -> Settings:
        """The settings in force, which stderr names; raises SettingsError."""
        return self.stores()

    def stores(self, arguments: Sequence[str] = ()) -> Settings:
        """Return the settings for a run with `-x` `arguments`, which stderr names."""
        found = settings.load()
        targets = found.targets(skip_questdb="questdb=skip" in arguments)
        click.echo(terminal.visible(targets), err=True)
        return found


pass_context = click.make_pass_decorator(Stage1, ensure=True)


class Commands(click.Group):
    """A group that imports a command when it is called: `stage1 --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted((*COMMANDS, *GROUPS))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"stage1_schema.cli.{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stage1-schema")
def group() -> None:
    """Look after the PostgreSQL and QuestDB schemas of Stage1.

    Example: stage1 status
    """


def main() -> None:
    """Run the command line; an error becomes one line and an exit code, never a traceback."""
    terminal.prepare()
    code = _run()
    sys.exit(terminal.flush() or code)


def _run() -> int:
    try:
        return int(group.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        console.fail("interrupted. Next: run the same command again, it goes on where it stopped.")
        return 130
    except terminal.OutputError:  # `flush` says it
        return 1
    except SystemExit:  # click's word for a reader that has enough, such as `head`
        return terminal.NO_READER
    except Exception as error:
        if os.environ.get(terminal.DEBUG):
            raise
        told = terminal.explain(error)
        console.fail(str(told), getattr(error, "log_tail", ""))
        return told.exit_code
