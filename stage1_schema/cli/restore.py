"""`stage1 restore`: the way back from a backup."""

from __future__ import annotations

from pathlib import Path

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import restore

DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("backup", type=DIRECTORY)
@click.option("--postgres-only", is_flag=True, help="Replace the PostgreSQL database.")
@click.option("--questdb-to", type=DIRECTORY, help="Copy QuestDB's root to this empty directory.")
@click.option("--confirm", metavar="DATABASE", help="The name of the database to replace.")
@click.option("--dry-run", is_flag=True, help="Verify and show what would go; change nothing.")
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
    with console.progress("restore") as progress:
        manifest = restore.read(backup)
        if questdb_to:
            restore.copy_questdb(backup, manifest, questdb_to, dry_run=dry_run, progress=progress)
    if questdb_to:
        click.echo(f"QuestDB of {manifest.finished}: {questdb_to}")
        click.echo(f"Next: start QuestDB as its user with -d {questdb_to.absolute()}; it recovers.")
        return
    intent = restore.plan(context.settings, backup, manifest)
    click.echo(f"{intent.where} would become {intent.backed_up} as of {intent.finished}")
    console.table(("table", "rows now", "rows in the backup"), intent.changes)
    for obstacle in intent.obstacles:
        click.echo(f"in the way: {obstacle}")
    if dry_run:
        return
    restore.confirm(intent, confirm)
    with console.progress("restore") as progress:
        restore.apply(context.settings, backup, intent, progress)
    kept = "" if intent.standing is None else f" What stood is kept as {intent.kept_as}."
    click.echo(f"{intent.database} is restored.{kept}")
