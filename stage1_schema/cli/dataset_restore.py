"""`stage1 dataset restore`: bring a dropped dataset back into both stores."""

from __future__ import annotations

from pathlib import Path

import click

from stage1_schema import terminal
from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import registration_restore


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Try all of it, then undo it.")
@pass_context
def command(context: Stage1, file: Path, *, dry_run: bool) -> None:
    """Bring back the dataset that stage1 dataset drop wrote to FILE.

    Its rows are inserted into PostgreSQL, and its tables in QuestDB get their names back from
    <table>_retired_<time>. Where anything is in the way, nothing is changed.

    Example: stage1 dataset restore retired/btc25_4h_retired_20251125T031500Z.jsonl
    """
    with console.progress("dataset restore") as progress:
        done = registration_restore.restore(
            context.settings, file, dry_run=dry_run, on_step=progress
        )
    counted = ", ".join(f"{table} {count:,}" for table, count in done.rows.items())
    verb = "Would restore" if dry_run else "Restored"
    click.echo(f"{verb} dataset {terminal.visible(done.slug)}: {counted}")
    for kept, name in done.renamed.items():
        click.echo(f"QuestDB: {'would rename' if dry_run else 'renamed'} {kept} to {name}")
    if dry_run:
        click.echo("Dry run: nothing was changed.")
