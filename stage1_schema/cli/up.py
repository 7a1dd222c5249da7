"""`stage1 up`: local servers, migrated, with the sample."""

from __future__ import annotations

import click

from stage1_schema import settings
from stage1_schema.cli import console, show
from stage1_schema.ops import local, status

NEXT_COMMANDS = """\
Next:
  .venv/bin/stage1 status             what stands in both stores
  .venv/bin/alembic upgrade head      migrate (nothing to do now)
  make revision m="add a column"      generate a revision from changed declarations
  make reset                          empty both stores and rebuild them
  make down                           stop the servers, keep the data"""


@click.command()
@click.option("--postgres-port", type=click.IntRange(1, settings.MAX_PORT), help="Default: free.")
@click.option("--questdb-port", type=click.IntRange(1, settings.MAX_PORT), help="Default: free.")
@click.option("--no-sample", is_flag=True, help="Leave the sample dataset out.")
@click.option(
    "--login/--no-login", default=None, help="Whether QuestDB wants a login; else as the last time."
)
def command(
    postgres_port: int | None, questdb_port: int | None, *, no_sample: bool, login: bool | None
) -> None:
    """Start local PostgreSQL and QuestDB, migrate them, and load the sample.

    Run again it changes nothing. The data stays in .stage1/ until make clean.

    Example: stage1 up
    """
    with console.progress("up") as progress:
        result = local.up(
            postgres_port=postgres_port,
            questdb_port=questdb_port,
            with_sample=not no_sample,
            login=login,
            progress=progress,
        )
        read = status.read(result.settings)
    show.status(read)
    click.echo()
    if result.sample_loaded:
        click.echo("The sample was loaded.")
    click.echo(_who_may(result))
    click.echo(NEXT_COMMANDS)


def _who_may(result: local.Up) -> str:
    """Return what other users of this machine may do."""
    questdb = result.settings.questdb
    if questdb.user:
        lines = [f"QuestDB wants a login (user {questdb.user}, password in servers.json)."]
    else:
        what = f"read, change and drop all of QuestDB at {questdb.url}: it has no login"
        lines = [f"Every user of this machine can {what}. stage1 up --login gives it one."]
    if result.opened:
        lines.append(
            "Opened until stage1 down, so that the servers' users pass through: "
            + ", ".join(result.opened)
        )
    return "\n".join(lines)
