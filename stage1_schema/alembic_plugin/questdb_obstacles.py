"""QuestDB tables in the place of one that a revision would create, and the commands that fix them.

In the field an exporter created the shared tables by its first line: by day, without
deduplication, counting nanoseconds where the client sent those (contract, part 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from questdb_ddl.names import quote
from questdb_ddl.rebuild_plan import endangered_writers
from questdb_ddl.spec import Kind
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.errors import QuestDBError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from questdb_ddl import Client, LiveTable, Table


@dataclass(frozen=True)
class Obstacle:
    """A table that differs from the one a revision would create under its name, and how.

    `live` is None where it is being rebuilt and has another name.
    """

    table: Table
    live: LiveTable | None
    difference: str

    def __str__(self) -> str:
        first, *more = self.difference.splitlines()
        return f"{first} (and {len(more)} more difference{'s'[: len(more) - 1]})" if more else first


def obstructed(client: Client, obstacles: Iterable[Obstacle]) -> QuestDBError:
    """Return the error that names every table, how it differs, and the commands that fix it."""
    found = tuple(obstacles)
    flag = " --writers-stopped" if any(endangered_writers(client)) else ""
    rebuilt = [f"stage1 questdb rebuild {each.table.name}{flag}" for each in found if _fits(each)]
    by_hand = [_by_hand(each) for each in found if not _fits(each)]
    steps = [f"in QuestDB's console run {sql}" for sql in by_hand]
    if rebuilt:
        stop = "stop the exporters and run " if flag else "run "
        steps.append(stop + " && ".join(rebuilt))
    return QuestDBError(
        "QuestDB has tables that differ from those that a revision would create:"
        f" {'; '.join(map(str, found))}. Nothing was changed.",
        next_step=f"{', then '.join(steps)}; then run the same command again.",
    )


def _fits(obstacle: Obstacle) -> bool:
    """Tell whether `stage1 questdb rebuild` makes the table what the revision would create."""
    live = obstacle.live
    alterable = live is None or (
        live.kind is Kind.TABLE and live.designated_timestamp is not None and not live.suspended
    )
    return alterable and obstacle.table in SHARED_TABLES


def _by_hand(obstacle: Obstacle) -> str:
    live, name = obstacle.live, obstacle.table.name
    if live is not None and live.suspended:
        return live.remedy or ""
    if live is not None and live.kind is not Kind.TABLE:
        return f"DROP {live.kind.upper()} {quote(live.name)}"
    return f"RENAME TABLE {quote(name)} TO {quote(f'{name}_before')}"
