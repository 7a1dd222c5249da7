"""`stage1 down`: stop the local servers."""

from __future__ import annotations

import click

from stage1_schema import settings
from stage1_schema.cli import console
from stage1_schema.ops import local


@click.command()
@click.option("--clean", is_flag=True, help="Also remove the servers with their data.")
def command(*, clean: bool) -> None:
    """Stop the local servers of `stage1 up`; their data stays unless --clean is given.

    Example: stage1 down
    """
    with console.progress("down"):
        open_still = local.down(clean=clean)
    done = "stopped and removed with their data" if clean else "stopped; make up starts them again"
    click.echo(f"The local servers in {settings.local_directory()} are {done}.")
    if open_still:
        click.echo(f"Still open, since servers elsewhere use it: {', '.join(open_still)}")
