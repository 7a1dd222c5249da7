"""What `stage1 replay` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stage1_schema.cli import console
from stage1_schema.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stage1_schema.ops.spool import Kept, Report

_COLUMNS = ("applied", "unchanged", "placeholders", "mended", "quarantined", "refused")
_LONGEST = 100
_NAMED = 10


def report(done: Report) -> None:
    """Print what a replay did: few words where there was nothing to do."""
    rows = done.touched()
    if rows:
        shown = [
            column
            for column in _COLUMNS
            if column in _COLUMNS[:2] or any(getattr(counts, column) for _, counts in rows)
        ]
        console.table(
            ("table", *shown),
            [(name, *(getattr(counts, column) for column in shown)) for name, counts in rows],
        )
        click.echo()
    for entry in done.entries[:_NAMED]:
        click.echo(f"line {entry.line}: {entry.kind}: {visible(entry.reason)}")
    if len(done.entries) > _NAMED:
        click.echo("more: stage1 replay --quarantine")
    for run in done.incomplete_runs:
        click.echo(f"run {run.run_id} has {run.found} folds, its summary says {run.expected}")
    for left in done.surplus_trades:
        fate = "left; --prune removes them"
        if left.pruned or left.waits:
            fate = "removed" if left.pruned else "left: it waits for a trade in quarantine"
        click.echo(f"simulation {left.simulation_id}: {left.trades} surplus trades {fate}")
    what = {
        "unchanged": "nothing new",
        "append": "new part read",
        "full": "read from its start",
    }[done.mode]
    undone = "; dry run, all of it undone" if done.dry_run else ""
    done_in = f"{done.statements:,} statements in {done.duration_s} s{undone}"
    click.echo(f"{visible(done.source)}: {what}, {done_in}")
    if done.left_out:
        click.echo(f"{_more(done.left_out)} not kept: the quarantine is full.")
    if done.open_quarantine:
        click.echo(f"{done.open_quarantine:,} in quarantine: stage1 replay --quarantine")


def _more(count: int) -> str:
    return "1 more was" if count == 1 else f"{count:,} more were"


def quarantine(kept: Sequence[Kept], left_out: Mapping[str, int]) -> None:
    """Print every statement in quarantine, and how many of each file found no room there."""
    for each in kept:
        source, reason = visible(each.source), visible(each.reason)
        click.echo(f"{each.id}  {source}:{each.line}  {each.kind}: {reason}")
        text = " ".join(each.statement.split())
        shown = visible(text[:_LONGEST])
        click.echo(f"    {shown}{'…' if len(text) > _LONGEST else ''}")
        click.echo(
            f"    first {each.first_seen_at:%Y-%m-%d %H:%M}, last tried"
            f" {each.last_tried_at:%Y-%m-%d %H:%M} UTC, {each.attempts} times"
        )
    click.echo(f"{len(kept):,} in quarantine.")
    if kept:
        click.echo(
            "A replay tries again what may be applied later. Give up by --discard with an id,"
            " a kind, a file, or all."
        )
    for source, count in left_out.items():
        click.echo(f"{visible(source)}: {_more(count)} not kept.")
