"""`stage1 dataset list`: all datasets."""

from __future__ import annotations

import json

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import registration


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_context
def command(context: Stage1, *, as_json: bool) -> None:
    """List the datasets with their runs, simulations and tables.

    Example: stage1 dataset list --json
    """
    found = registration.read_all(context.settings)
    if as_json:
        click.echo(json.dumps([dataset.to_data() for dataset in found], indent=2))
        return
    rows = [
        (
            f"{d.slug} (placeholder)" if d.is_placeholder else d.slug,
            d.symbol or "-",
            d.granularity or "-",
            d.runs,
            d.simulations,
            f"{sum(t['stands'] for t in d.tables)} of {len(d.tables)}",
            sum(t["rows"] or 0 for t in d.tables),
        )
        for d in found
    ]
    console.table(
        ("dataset", "symbol", "granularity", "runs", "simulations", "tables stand", "rows"), rows
    )
