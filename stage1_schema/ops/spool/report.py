"""What a replay did, as a value."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from typing import Any

IN_QUARANTINE = 3
"""The exit code when something was held back."""
EXAMPLES = 50
"""Statements in quarantine that a report names."""


@dataclass
class Counts:
    """Statements of one table; `placeholders` are rows that stand in for missing ones."""

    applied: int = 0
    unchanged: int = 0
    placeholders: int = 0
    mended: int = 0
    quarantined: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Entry:
    """A statement in quarantine; `line` is that of its file, from 1."""

    line: int
    kind: str
    reason: str
    target: str | None
    row_key: str | None


@dataclass(frozen=True)
class Incomplete:
    """A run with fewer folds than its summary says."""

    run_id: str
    expected: int
    found: int


@dataclass(frozen=True)
class Surplus:
    """Trades that an earlier save of a simulation left behind.

    While it `waits` for a trade in quarantine they are not pruned.
    """

    simulation_id: str
    trades: int
    pruned: bool
    waits: bool


@dataclass
class Report:
    """The outcome of one replay. Statements of unknown target count under the table `-`.

    `left_out` are statements that should be in quarantine and found no room there.
    """

    source: str
    mode: str = "full"
    dry_run: bool = False
    file_bytes: int = 0
    read_bytes: int = 0
    statements: int = 0
    tables: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    entries: list[Entry] = field(default_factory=list)
    incomplete_runs: list[Incomplete] = field(default_factory=list)
    surplus_trades: list[Surplus] = field(default_factory=list)
    open_quarantine: int = 0
    left_out: int = 0
    duration_s: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 when all is in, 3 when something is in quarantine."""
        return IN_QUARANTINE if self.open_quarantine or self.left_out else 0

    def touched(self) -> list[tuple[str, Counts]]:
        """Return the tables that anything was counted for, by name."""
        return sorted(
            (name, counts) for name, counts in self.tables.items() if any(vars(counts).values())
        )

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json` and for the history."""
        tables = {name: asdict(counts) for name, counts in self.touched()}
        return asdict(replace(self, tables={})) | {"tables": tables, "exit_code": self.exit_code}
