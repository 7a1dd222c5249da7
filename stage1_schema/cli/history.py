"""`stage1 history`: what was applied, when and by whom."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from stage1_schema.alembic_plugin import history
from stage1_schema.cli import Stage1, console, pass_context
from stage1_schema.connect import reading


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, statements included.")
@pass_context
def command(context: Stage1, *, as_json: bool) -> None:
    """Show every step that was applied to the database, oldest first. Times are UTC.

    Example: stage1 history --json
    """
    with reading(context.settings.postgres) as connection:
        entries = history.read(connection)
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=2, default=str))
        return
    console.table(
        (
            "revision",
            "direction",
            "started (UTC)",
            "ms",
            "database user",
            "by",
            "version",
            "QuestDB",
        ),
        [
            (
                entry.revision,
                entry.direction,
                f"{entry.started_at:%Y-%m-%d %H:%M:%S}",
                entry.duration_ms,
                entry.db_user,
                f"{entry.os_user}@{entry.host}" if entry.host else "a script",
                entry.application_version or "",
                len(entry.questdb),
            )
            for entry in entries
        ],
    )
