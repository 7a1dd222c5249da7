"""`stage1 replay`: the desktop's spool file into PostgreSQL."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stage1_schema.cli import Stage1, console, pass_context, show_replay
from stage1_schema.ops import spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_IDS = re.compile(r"[0-9]{1,18}(,[0-9]{1,18})*")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Do it all, say what came of it, and undo it.")
@click.option("--again", is_flag=True, help="Read the file from its start, whatever was read.")
@click.option("--prune", is_flag=True, help="Remove surplus trades of earlier saves; reads again.")
@click.option(
    "--missing-parents",
    type=click.Choice(["placeholder", "quarantine"]),
    default="placeholder",
    show_default=True,
    help="What becomes of rows whose dataset or run was never recorded.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another replay or an upgrade.",
)
@click.option("--quarantine", "list_them", is_flag=True, help="List what is held back, and end.")
@click.option(
    "--discard",
    multiple=True,
    metavar="ID|KIND|FILE|all",
    help="Give up what is in quarantine; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@pass_context
def command(
    context: Stage1,
    file: Path | None,
    *,
    dry_run: bool,
    again: bool,
    prune: bool,
    missing_parents: str,
    wait: float,
    list_them: bool,
    discard: tuple[str, ...],
    as_json: bool,
) -> None:
    """Replay the spool FILE of a desktop into PostgreSQL.

    Only the statements that a spool may contain are run. What cannot be applied is kept in
    quarantine; what may be applied later is tried again by the next replay. The exit code is 0
    when all is in, 3 when something is in quarantine, 1 when the replay failed.

    Example: stage1 replay pending_postgres_inserts.sql
    """
    if list_them or discard:
        _quarantine(context, discard, as_json=as_json)
        return
    if file is None:
        raise click.UsageError("FILE is missing: stage1 replay pending_postgres_inserts.sql")
    options = spool.Options(
        placeholders=missing_parents == "placeholder",
        prune=prune,
        again=again,
        dry_run=dry_run,
        wait_s=wait,
    )
    with _bar() as told:
        report = spool.replay(context.settings, file, options, told)
    if as_json:
        click.echo(json.dumps(report.to_data(), indent=2))
    else:
        show_replay.report(report)
    click.get_current_context().exit(report.exit_code)


def _quarantine(context: Stage1, discard: tuple[str, ...], *, as_json: bool) -> None:
    with spool.session(context.settings) as connection:
        if discard:
            spool.discard(connection, _which(discard))
        kept, left_out = spool.listing(connection), spool.left_out(connection)
    if as_json:
        click.echo(json.dumps([vars(each) for each in kept], indent=2, default=str))
    else:
        show_replay.quarantine(kept, left_out)


def _which(words: tuple[str, ...]) -> spool.Which:
    """Return what the user wants to give up: ids, with commas or not, kinds, files, or all."""
    ids = [int(each) for word in words if _IDS.fullmatch(word) for each in word.split(",")]
    rest = [word for word in words if not _IDS.fullmatch(word) and word != spool.ALL]
    sources = {spool.source_of(Path(word)): word for word in rest if word not in spool.KINDS}
    return spool.Which(
        ids=ids,
        kinds=[word for word in rest if word in spool.KINDS],
        sources=[*sources],
        all=spool.ALL in words,
        names=sources,
    )


@contextmanager
def _bar() -> Iterator[Callable[[float, str], None] | None]:
    """Show a progress bar where a person looks on."""
    stderr = console.person()
    if stderr is None:
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - cron needs none
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(file=stderr), transient=True) as progress:
        task = progress.add_task("connecting", total=1.0)
        yield lambda part, what: progress.update(task, completed=part, description=what)
