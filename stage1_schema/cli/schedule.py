"""`stage1 schedule`: what should run every night."""

from __future__ import annotations

from pathlib import Path

import click

from stage1_schema import settings
from stage1_schema.ops import schedule


@click.command()
@click.option("--systemd", is_flag=True, help="Timers of systemd instead of cron lines.")
@click.option("--cron", is_flag=True, help="Cron lines (the default).")
@click.option(
    "--spool",
    type=click.Path(path_type=Path),
    default=Path("pending_postgres_inserts.sql"),
    show_default=True,
    help="The spool file on this machine.",
)
@click.option("--pull", metavar="HOST:PATH", help="Fetch the file from there by rsync beforehand.")
@click.option("--install", is_flag=True, help="Install it for the user who runs this.")
@click.option("--remove", is_flag=True, help="Remove what --install installed.")
@click.option("--dry-run", is_flag=True, help="With --install or --remove: only say what it does.")
def command(
    *,
    systemd: bool,
    cron: bool,
    spool: Path,
    pull: str | None,
    install: bool,
    remove: bool,
    dry_run: bool,
) -> None:
    """Print what should run every night: replay, validation, retention, backup.

    Jobs run in the current directory, where .env holds the settings. Installing again replaces
    what was installed.

    Example: stage1 schedule --pull desktop:stage1/pending_postgres_inserts.sql --install
    """
    if (systemd and cron) or (install and remove):
        raise click.UsageError("These options exclude each other.")
    kind = schedule.Systemd() if systemd else schedule.Cron()
    jobs = []
    if not remove:
        jobs = schedule.jobs(settings.load().postgres.database, spool=spool, pull=pull)
    if install or remove:
        for line in kind.change(jobs, dry_run=dry_run):
            click.echo(line)
    else:
        click.echo(kind.text(jobs))
    if jobs and (names := settings.of_this_process()):
        click.echo(
            f"stage1: only this shell has {', '.join(names)}; the nightly jobs do not."
            f" Next: write them into {Path.cwd() / '.env'}.",
            err=True,
        )
