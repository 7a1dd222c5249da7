"""`stage1 dataset backfill`: stand in for every parent that was never recorded."""

from __future__ import annotations

import json
from pathlib import Path

import click

from stage1_schema import terminal
from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import orphans, placeholders

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--from", "spool", type=EXISTING_FILE, help="A spool file of INSERT statements.")
@click.option("--log", type=EXISTING_FILE, help="A PostgreSQL log with foreign key errors.")
@click.option("--dry-run", is_flag=True, help="Show what is missing and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@pass_context
def command(
    context: Stage1, spool: Path | None, log: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    """Make placeholders for the datasets and runs that a spool file or a log misses.

    Missing is what neither the database nor the spool file itself holds.

    Example: stage1 dataset backfill --log postgresql.log --dry-run
    """
    if (path := spool or log) is None or (spool and log):
        raise click.UsageError("Give either --from FILE or --log FILE.")
    settings = context.settings
    with console.progress("backfill"):
        found = _references(path, is_spool=spool is not None)
        result = placeholders.backfill(settings, found, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(result.to_data(), indent=2, default=str))
        return
    _show(result)


def _references(path: Path, *, is_spool: bool) -> orphans.References:
    if not is_spool:
        return orphans.of_log(path.read_text(encoding="utf-8", errors="replace"))
    with path.open("rb") as file:
        return orphans.of_spool(file, terminal.visible(str(path)))


def _show(result: placeholders.Backfill) -> None:
    missing = [("dataset", each.dataset_id, each.slug or "-") for each in result.datasets]
    missing += [("run", each.run_id, each.measurement or "-") for each in result.runs]
    if missing:
        console.table(("missing", "id", "name"), missing)
    done = "would get" if result.dry_run else "now have"
    click.echo(
        f"{len(result.datasets)} datasets and {len(result.runs)} runs {done} a placeholder."
        if missing
        else "Nothing is missing."
    )
    if result.unreadable:
        click.echo(f"{result.unreadable} statements could not be read.")
    for each in result.unresolved:
        click.echo(f"No placeholder can stand in for {each}.")
