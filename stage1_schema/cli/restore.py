"""`stage1 restore`: the way back from a backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import restore

if TYPE_CHECKING:
    from stage1_schema.ops.backup_files import Manifest
    from stage1_schema.settings import Settings

DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("backup", type=DIRECTORY)
@click.option("--postgres-only", is_flag=True, help="Replace the PostgreSQL database.")
@click.option("--questdb-to", type=DIRECTORY, help="Copy QuestDB's root to this empty directory.")
@click.option("--confirm", metavar="DATABASE", help="The name of the database to replace.")
@click.option("--dry-run", is_flag=True, help="Verify, show what would be done, change nothing.")
@pass_context
def command(
    context: Stage1,
    backup: Path,
    *,
    postgres_only: bool,
    questdb_to: Path | None,
    confirm: str | None,
    dry_run: bool,
) -> None:
    """Verify BACKUP and bring one of its stores back; nothing is dropped or written over.

    PostgreSQL is restored beside the database and takes its name; what stood keeps another one.
    QuestDB's files go into an empty directory, for a server to be started on.

    Example: stage1 restore backups/stage1_20251125T031500Z --postgres-only --confirm stage1_trading
    """
    if postgres_only == bool(questdb_to):
        raise click.UsageError("Say which store: --postgres-only, or --questdb-to DIRECTORY.")
    with console.progress("restore"):
        manifest = restore.read(backup)
    if questdb_to:
        _questdb(backup, manifest, questdb_to, dry_run=dry_run)
    else:
        _postgres(context.settings, backup, manifest, confirm, dry_run=dry_run)


def _questdb(backup: Path, manifest: Manifest, target: Path, *, dry_run: bool) -> None:
    of = f"of QuestDB as of {manifest.finished}"
    if dry_run:
        would = restore.plan_questdb(backup, manifest, target)
        click.echo(f"Would copy {would} {of} to {target}. Nothing was changed.")
        return
    with console.progress("restore") as progress:
        copied = restore.copy_questdb(backup, manifest, target, progress=progress)
    click.echo(f"Copied {copied} {of} to {target}.")
    click.echo(f"Next: start QuestDB as its user with -d {target.absolute()}; it recovers.")


def _postgres(
    settings: Settings, backup: Path, manifest: Manifest, confirm: str | None, *, dry_run: bool
) -> None:
    intent = restore.plan(settings, backup, manifest)
    if dry_run or intent.obstacles or confirm != intent.database:
        click.echo(f"{intent.where} would become {intent.backed_up} as of {intent.finished}")
        console.table(("table", "rows now", "rows in the backup"), intent.changes)
        for obstacle in intent.obstacles:
            click.echo(f"in the way: {obstacle}")
    if dry_run:
        restore.refuse_obstacles(intent)
        click.echo("Dry run: nothing was changed.")
        return
    restore.confirm(intent, confirm)
    with console.progress("restore") as progress:
        restore.apply(settings, backup, intent, progress)
    rows = sum(intent.tables.values())
    click.echo(f"{intent.where} is restored: {len(intent.tables)} tables, {rows:,} rows.")
    if intent.standing is not None:
        click.echo(f"The database before it is kept as {intent.kept_as}.")
