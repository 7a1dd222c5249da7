"""`stage1 backup`: both stores into one directory."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import click

from stage1_schema import terminal
from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import backup

KEEP = "How many to keep; older ones go when the new one stands."
DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option(
    "--directory", type=DIRECTORY, default="backups", show_default=True, help="Where it goes."
)
@click.option("--keep", type=click.IntRange(min=1), default=14, show_default=True, help=KEEP)
@click.option("--questdb-root", type=DIRECTORY, help="QuestDB's root, where it is not found.")
@click.option("--skip-questdb", is_flag=True, help="Back up PostgreSQL only.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@pass_context
def command(
    context: Stage1,
    *,
    directory: Path,
    keep: int,
    questdb_root: Path | None,
    skip_questdb: bool,
    as_json: bool,
) -> None:
    """Back both stores up into DIRECTORY/stage1_<time>; run it on QuestDB's machine.

    Example: stage1 backup --directory /backup/stage1 --keep 14
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the checkpoint is released
    options = backup.Options(directory, keep, questdb_root, skip_questdb)
    with console.progress("backup") as progress:
        result = backup.run(context.settings, options, progress)
    if as_json:
        click.echo(json.dumps(result.to_data(), indent=2))
        _refuse_to_be_silent(result)
        return
    manifest, questdb = result.manifest, result.manifest.questdb
    click.echo(f"{result.path} stands and was verified.")
    for store in (manifest.postgres, questdb):
        if store:
            rows = sum(store.tables.values())
            click.echo(f"{store.where}: {len(store.tables)} tables, {rows:,} rows")
    for name in questdb.suspended if questdb else ():
        click.echo(f'suspended, backed up as it is: {name}; ALTER TABLE "{name}" RESUME WAL')
    for name, partitions in questdb.detached.items() if questdb else ():
        click.echo(f"detached partitions, copied and not counted: {name} {', '.join(partitions)}")
    for name in questdb.left_out if questdb else ():
        click.echo(f"left out, since it is neither a file nor a directory: {name}")
    for name in result.removed:
        click.echo(f"removed: {name}")
    _refuse_to_be_silent(result)


def _refuse_to_be_silent(result: backup.Result) -> None:
    """Raise Stage1Error for a backup with tables that nobody can say anything about."""
    questdb = result.manifest.questdb
    if questdb and questdb.unread:
        listed = "; ".join(f"{terminal.visible(n)}: {why}" for n, why in questdb.unread.items())
        raise Stage1Error(
            f"{result.path} holds everything else, but these tables of QuestDB cannot be read and "
            f"were copied unverified: {listed}.",
            next_step="repair them, then run the backup again.",
        )
