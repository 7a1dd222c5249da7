"""The names of the tables that a rebuild makes: how far it came stands in them alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Mode = Literal["", "_fixed", "_trimmed"]
MODES: tuple[Mode, ...] = ("", "_fixed", "_trimmed")

_MADE = re.compile(r"(.+)__(?:new|old|new_fixed|old_fixed|gap\d+|seen\d+)", re.IGNORECASE)
_TRIMMED = re.compile(r"(.+)__(?:new_trimmed|old_trimmed|without)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Names:
    """The names that say how far a rebuild of `table` came.

    `new` alone: the copy is being made. `new` and `old`: the old table has made way. `old` alone:
    the new table stands under its name, late rows are looked for. A `gap` is a table that a writer
    created while the name was free. Two underscores in a row are in no slug.
    """

    table: str
    mode: Mode = ""

    @property
    def fixed(self) -> bool:
        """Whether times in a wrong unit move."""
        return self.mode == "_fixed"

    @property
    def new(self) -> str:
        """The new table before it takes the name."""
        return f"{self.table}__new{self.mode}"

    @property
    def old(self) -> str:
        """The old table before its rows are all known to be in the new one."""
        return f"{self.table}__old{self.mode}"

    @property
    def without(self) -> str:
        """A table of the values whose rows a trimming rebuild leaves out."""
        return f"{self.table}__without"

    def gap(self, number: int) -> str:
        """Return the name of what a writer created while the name was free, the oldest 0."""
        return f"{self.table}__gap{number}"

    def seen(self, number: int) -> str:
        """Return the name of what was merged of a gap before the new table took the name."""
        return f"{self.table}__seen{number}"

    def kept(self, now: datetime) -> str:
        """Return `<table>_old_<YYYYMMDDTHHMMSSZ>`, the old table's name for good."""
        return f"{self.table}_old_{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def in_the_way(table: str) -> tuple[str, ...]:
    """Return the names that hold the rows of `table` while a rebuild of it is unfinished."""
    modes = [Names(table, mode) for mode in MODES]
    return tuple(name for names in modes for name in (names.old, names.new))


def rebuilt_table(name: str) -> tuple[str, bool] | None:
    """Return whose unfinished rebuild made the table `name`, and whether it is a trim.

    None where the name is not that of a rebuild.

    >>> rebuilt_table("bars__old"), rebuilt_table("bars__without"), rebuilt_table("bars_old")
    (('bars', False), ('bars', True), None)
    """
    for pattern, trims in ((_MADE, False), (_TRIMMED, True)):
        if found := pattern.fullmatch(name):
            return found[1], trims
    return None
