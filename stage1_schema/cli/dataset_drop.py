"""`stage1 dataset drop`: take a dataset from both stores."""

from __future__ import annotations

from pathlib import Path

import click

from stage1_schema.cli import Stage1, console, pass_context, table_options
from stage1_schema.ops import dropping, registration_drop


@click.command("drop")
@click.argument("slug")
@click.option("--confirm", metavar="SLUG", help="The slug once more; without it nothing happens.")
@click.option("--drop", "for_good", is_flag=True, help="Delete for good instead of keeping aside.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("retired"),
    show_default=True,
    help="Where PostgreSQL's rows are kept.",
)
@table_options.give_up_detached
@table_options.allow_invalid_views
@pass_context
def command(
    context: Stage1,
    slug: str,
    confirm: str | None,
    directory: Path,
    *,
    give_up_detached: tuple[str, ...],
    allow: tuple[str, ...],
    for_good: bool,
) -> None:
    """Take dataset SLUG with its runs, simulations and tables away.

    Tables with rows are renamed to <table>_retired_<time>, and PostgreSQL's rows are written to a
    file, unless --drop is given. The shared tables keep its rows.

    Example: stage1 dataset drop btc25_4h --confirm btc25_4h
    """
    intent = registration_drop.plan_drop(
        context.settings, slug, give_up_detached=give_up_detached, allow=allow
    )
    registration_drop.confirm(intent, confirm)
    click.echo(f"Taking away {intent.summary}")
    with console.progress("dataset drop") as progress:
        done, path = registration_drop.drop(
            context.settings, intent, keep=not for_good, directory=directory, on_step=progress
        )
    for left in intent.series.left:
        click.echo(f"QuestDB: left {left}")
    for name in done.kept:
        click.echo(f"QuestDB: kept {name}")
    if path:
        click.echo(f"PostgreSQL: rows kept in {path}")
        click.echo(f"To bring it back: stage1 dataset restore {path}")
    dropping.refuse_return(done)
