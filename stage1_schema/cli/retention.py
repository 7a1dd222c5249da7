"""`stage1 retention`: what the policy lets go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from questdb_ddl import Hazard
from stage1_schema.cli import Stage1, console, pass_context, table_options
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import retention, retention_apply

if TYPE_CHECKING:
    from stage1_schema.ops.retention import RetentionPlan


_csv = click.option("--csv", is_flag=True, help="Archive as gzipped CSV: for QuestDB before 9.1.")
_writers_stopped = click.option(
    "--writers-stopped",
    is_flag=True,
    help="No writer over TCP is connected; before QuestDB 9.3.2 none over HTTP either.",
)


@click.group()
def command() -> None:
    """Archive and take away what the retention policy lets go."""


@command.command("plan")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@_csv
@_writers_stopped
@table_options.give_up_detached
@table_options.allow_invalid_views
@pass_context
def plan(context: Stage1, /, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - see _plan
    """Show what goes, what is refused, and rows of unknown runs; changes nothing.

    Give it the options of the `apply` that it is for.

    Example: stage1 retention plan
    """
    intent = _plan(context, **options)
    if as_json:
        click.echo(json.dumps(intent.to_data(), indent=2))
    else:
        _show(intent)


@command.command("apply")
@click.option("--confirm", metavar="DATABASE", help="The database's name; else nothing happens.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("archive"),
    show_default=True,
    help="Where the archive and its record go.",
)
@_csv
@_writers_stopped
@table_options.give_up_detached
@table_options.allow_invalid_views
@pass_context
def apply(
    context: Stage1,
    /,
    confirm: str | None,
    directory: Path,
    **options: Any,  # noqa: ANN401 - see _plan
) -> None:
    """Archive what goes, check the archive, then drop it from QuestDB.

    The exit code is 1 where something was refused; the rest goes all the same.

    Example: stage1 retention apply --confirm stage1_trading --directory /backup/stage1
    """
    intent = _plan(context, **options)
    _show(intent)
    retention.confirm(intent, confirm)
    with console.progress("retention") as progress:
        done = retention_apply.apply(
            context.settings,
            intent,
            directory,
            parquet=not options["csv"],
            writers_stopped=options["writers_stopped"],
            progress=progress,
        )
    for entry in done:
        click.echo(f"{entry.table}: {entry.rows:,} rows went, kept in {directory / entry.archive}")
    if intent.refusals:
        raise Stage1Error(
            f"Nothing old goes of what was refused: {'; '.join(intent.refusals)}.",
            next_step="mend that and run the same command again.",
        )


def _plan(
    context: Stage1,
    *,
    csv: bool,
    writers_stopped: bool,
    give_up_detached: tuple[str, ...],
    allow: tuple[str, ...],
) -> RetentionPlan:
    return retention.plan(
        context.settings,
        give_up_detached=give_up_detached,
        allow=allow,
        parquet=not csv,
        writers_stopped=writers_stopped,
    )


def _show(intent: RetentionPlan) -> None:
    for trim in intent.unfinished:
        click.echo(f"{trim.table}: finish leaving out {len(trim.values)} runs, then archive them")
    for going in intent.going:
        click.echo(f"{going.table}: {going.how}, {going.rows:,} rows: {going.why}")
        if going.views:
            click.echo(f"  {Hazard.INVALIDATES_VIEWS}: {', '.join(going.views)}")
    for refusal in intent.refusals:
        click.echo(f"refused: {refusal}")
    for kept in (*intent.unknown, *intent.foreign):
        click.echo(f"kept: {kept}")
    if intent.empty:
        click.echo("Nothing goes.")
