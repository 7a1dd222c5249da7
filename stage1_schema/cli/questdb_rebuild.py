"""`stage1 questdb rebuild`: repair a table that no ALTER can mend."""

from __future__ import annotations

import click

from stage1_schema.cli import Stage1, console, pass_context, table_options
from stage1_schema.ops import series


@click.command("rebuild")
@click.argument("table")
@click.option("--dry-run", is_flag=True, help="Show what would be done and change nothing.")
@click.option("--fix-timestamps", is_flag=True, help="Move rows sent in a wrong unit of time.")
@click.option(
    "--writers-stopped",
    is_flag=True,
    help="No writer over TCP is connected; before QuestDB 9.3.2 none over HTTP either.",
)
@click.option("--drop-old", metavar="NAME", help="Drop this old table, kept by a rebuild.")
@table_options.give_up_detached
@pass_context
def command(
    context: Stage1,
    table: str,
    drop_old: str | None,
    give_up_detached: tuple[str, ...],
    *,
    dry_run: bool,
    fix_timestamps: bool,
    writers_stopped: bool,
) -> None:
    """Copy TABLE into one as declared, compare the two, and swap them.

    For a table that an exporter created by day, without deduplication or with nanoseconds.
    Writers over HTTP may go on. The old table stays as TABLE_old_<date>. Killed at any point,
    run it again: it goes on where it stopped.

    Example: stage1 questdb rebuild ohlcv_btc25_4h --dry-run
    """
    settings = context.settings
    if drop_old is not None:
        rows = series.drop_old(settings, table, drop_old, give_up_detached=give_up_detached)
        click.echo(f"Dropped {drop_old} with {rows:,} rows; each has its row in {table}.")
        return
    click.echo(
        str(
            series.plan_rebuild(
                settings,
                table,
                fix_timestamps=fix_timestamps,
                writers_stopped=writers_stopped,
                give_up_detached=give_up_detached,
            )
        )
    )
    if dry_run:
        return
    with console.progress(f"rebuild {table}") as progress:
        done = series.rebuild(
            settings,
            table,
            fix_timestamps=fix_timestamps,
            writers_stopped=writers_stopped,
            give_up_detached=give_up_detached,
            progress=progress,
        )
    if done.kept_as:
        moved = f", {done.moved:,} moved to their time" if done.moved else ""
        click.echo(
            f"{table} was rebuilt with {done.rows:,} rows{moved}. The old table is kept as "
            f"{done.kept_as}. When all is well: stage1 questdb rebuild {table} --drop-old "
            f"{done.kept_as}"
        )
