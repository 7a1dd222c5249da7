"""How a command talks: tables and plain lines, progress on a terminal, errors as one line."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from stage1_schema.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WIDEST = 1_000
"""Characters of the widest table."""


def person() -> TextIO | None:
    """Return the terminal on which a person looks on: what is live there has to steer it."""
    stderr = sys.__stderr__
    return stderr if stderr is not None and stderr.isatty() else None


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show what is going on while the block runs: a live line on a terminal, else nothing."""
    stderr = person()
    if stderr is None:
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.markup import escape  # noqa: PLC0415

    with Console(file=stderr).status(title) as live:
        yield lambda text: live.update(f"{title}: {escape(visible(text))}")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns; numbers stand to the right, with thousands.

    Nothing is cut off where a terminal is narrow.
    """
    from rich import box  # noqa: PLC0415 - rich is slow to import
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    texts = [[f"{v:,}" if isinstance(v, int) else visible(str(v)) for v in row] for row in rows]
    for number, heading in enumerate(headings):
        numeric = bool(rows) and all(isinstance(row[number], int) for row in rows)
        grid.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for row in texts:
        grid.add_row(*map(escape, row))
    console = Console(highlight=False, color_system=None)
    # As wide as it is: a narrow terminal breaks lines by itself, rich would cut cells off.
    unbounded = console.options.update(width=WIDEST)
    console.width = max(console.width, console.measure(grid, options=unbounded).maximum)
    console.print(grid)


def fail(message: str, detail: str = "") -> None:
    """Print an error: one line, then where there is one the end of a server's log."""
    lines = (visible(line) for line in message.split("\n"))
    click.echo("stage1: " + "\n".join(lines), err=True)
    if detail:
        click.echo(detail, err=True)
