"""What several commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stage1_schema import terminal
from stage1_schema.cli import console

if TYPE_CHECKING:
    from stage1_schema.ops.status import PostgresStatus, QuestDBStatus, Status


def status(read: Status) -> None:
    """Print both stores."""
    _postgres(read.postgres)
    click.echo()
    _questdb(read.questdb)


def _postgres(side: PostgresStatus) -> None:
    _heading("PostgreSQL", side)
    if side.error:
        return
    if side.revision == side.head:
        revision = f"{side.revision} (head)"
    elif side.known:
        revision = f"{side.revision or 'none'}, head is {side.head}: alembic upgrade head"
    else:
        revision = f"{side.revision}, not in this checkout, whose head is {side.head}: update it"
    click.echo(f"revision  {revision}")
    if side.revision == side.head:
        _drift(side.drift)
    for line in side.changed:
        click.echo(f"changed   {line}")
    if side.tables:
        click.echo()
        console.table(
            ("table", "rows"),
            [(t.name, t.rows if t.exact else f"about {t.rows:,}") for t in side.tables],
        )


def _questdb(side: QuestDBStatus) -> None:
    _heading("QuestDB", side)
    if side.error:
        return
    if side.untested:
        click.echo(f"untested  {side.untested}")
    _drift(side.drift)
    if side.tables:
        click.echo()
        console.table(
            ("table", "rows", "partition", "WAL", "dedup", "TTL", "first (UTC)", "last (UTC)"),
            [
                (
                    table.name,
                    table.rows if not table.unread else "not known",
                    table.partition_by,
                    "yes" if table.wal else "no",
                    "yes" if table.dedup else "no",
                    f"{table.ttl_months} months" if table.ttl_months else "-",
                    _minute(table.first),
                    _minute(table.last),
                )
                for table in side.tables
            ],
        )
    for table in side.tables:
        if table.unread:
            click.echo(f"unread    {terminal.visible(table.name)}: {table.unread}")
        if table.detached:
            click.echo(f"detached  {table.name}: {', '.join(table.detached)}, in no count")


def _heading(store: str, side: PostgresStatus | QuestDBStatus) -> None:
    version = f" {side.version}" if side.version else ""
    click.echo(f"{store}{version} at {side.where}{' (local)' if side.local else ''}")
    if side.error:
        click.echo(f"error     {side.error}")


def _drift(lines: tuple[str, ...]) -> None:
    click.echo(f"drift     {lines[0] if lines else 'none'}")
    for line in lines[1:]:
        click.echo(f"          {line}")


def _minute(stamp: str | None) -> str:
    return stamp[:16].replace("T", " ") if stamp else "-"
