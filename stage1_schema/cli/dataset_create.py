"""`stage1 dataset create`: a dataset in both stores."""

from __future__ import annotations

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import registration


@click.command("create")
@click.argument("slug")
@click.option("--symbol", help="Such as BTCUSDT.")
@click.option("--granularity", help="Such as 4h.")
@click.option("--source", help="Where the bars come from.")
@click.option("--bar-interval-ms", type=click.IntRange(min=0), help="In milliseconds.")
@click.option(
    "--lookback-rows", type=click.IntRange(min=0), help="Rows that the indicators look back to."
)
@click.option(
    "--indicator",
    multiple=True,
    help="Declare an indicator as DOUBLE, in indicator_bars too; remembered; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show the statements and change nothing.")
@pass_context
def command(
    context: Stage1,
    slug: str,
    *,
    symbol: str | None,
    granularity: str | None,
    source: str | None,
    bar_interval_ms: int | None,
    lookback_rows: int | None,
    indicator: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Register dataset SLUG and create its QuestDB tables; safe to repeat.

    Names that are recorded with the dataset win over ohlcv_SLUG and indicators_SLUG. Columns that
    a table lacks are added; what costs more is left to `questdb apply` or `rebuild`.

    Example: stage1 dataset create btc25_4h --symbol BTCUSDT --granularity 4h
    """
    given = registration.Attributes(symbol, granularity, source, bar_interval_ms, lookback_rows)
    if dry_run:
        click.echo(str(registration.plan_create(context.settings, slug, given, indicator)))
        return
    with console.progress("dataset create") as progress:
        intent, done = registration.create(context.settings, slug, given, indicator, progress)
    click.echo(f"Dataset {intent.slug} ({intent.dataset_id}) is registered.")
    for table, outcome in zip(intent.tables, done, strict=True):
        click.echo(f"{table.name}: {outcome}")
    for told in intent.collisions:
        click.echo(f"Collision: {told}")
