"""`stage1 dataset show`: one dataset."""

from __future__ import annotations

import json
from typing import Any

import click

from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.ops import registration


@click.command("show")
@click.argument("slug")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_context
def command(context: Stage1, slug: str, *, as_json: bool) -> None:
    """Show dataset SLUG with the tables of its bars, indicators, runs and simulations.

    Example: stage1 dataset show btc25_4h
    """
    (found,) = registration.read_all(context.settings, slug)
    if as_json:
        click.echo(json.dumps(found.to_data(), indent=2))
        return
    about = ", ".join(filter(None, (found.symbol, found.granularity, found.source)))
    click.echo(f"{found.slug} {found.dataset_id} {about}")
    if found.is_placeholder:
        click.echo("A placeholder: nobody recorded this dataset yet.")
    click.echo(f"{found.runs} runs, {found.simulations} simulations\n")
    console.table(
        ("table", "holds", "rows", "first (UTC)", "last (UTC)"),
        [
            (
                t["name"],
                t["role"],
                _rows(t),
                (t["first"] or "-")[:16],
                (t["last"] or "-")[:16],
            )
            for t in found.tables
        ],
    )
    for t in found.tables:
        if t["unread"]:
            click.echo(f"\n{t['name']} cannot be read: {t['unread']}.")
        if t["detached"]:
            click.echo(f"\n{t['name']} has detached partitions too: {', '.join(t['detached'])}.")
    if not all(t["stands"] for t in found.tables):
        if found.is_placeholder:
            click.echo(f"\nNext: export it again, or stage1 dataset create {found.slug}.")
        else:
            click.echo("\nNext: stage1 questdb apply creates what is missing.")


def _rows(table: dict[str, Any]) -> str:
    if not table["stands"]:
        return "missing"
    if table["unread"]:
        return "not known"
    return f"{table['rows'] or 0:,}{', suspended' * table['suspended']}"
