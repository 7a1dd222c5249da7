"""Detached partitions: rows that no query sees and that DROP TABLE deletes.

Whatever drops, renames or copies a table refuses while it has some, until they are attached again
or the table is among those whose detached partitions are given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from questdb_ddl.errors import DetachedPartitions
from questdb_ddl.introspect import live_tables
from questdb_ddl.names import literal, quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from questdb_ddl.client import Client
    from questdb_ddl.spec import LiveTable

LISTED = 3
"""A table can have thousands of them; a message names so many."""


def unseen(live: LiveTable, given_up: Collection[str] = ()) -> str | None:
    """Return what `live` holds in detached partitions and what to do, None for nothing.

    None too when the table is among those `given_up`, in any letter case. `live` is read by
    `live_tables` with `counts` or `parquet`.
    """
    if not live.detached or live.name.lower() in {name.lower() for name in given_up}:
        return None
    shown = ", ".join(map(str, live.detached[:LISTED]))
    if more := len(live.detached) - LISTED:
        shown += f" and {more:,} more" if more > 0 else ""
    listed = ", ".join(literal(each.name) for each in live.detached[:LISTED])
    attach = f"ALTER TABLE {quote(live.name)} ATTACH PARTITION LIST {listed}"
    return (
        f"{live.name} has detached partitions, {shown}: no count shows their rows, and a drop "
        "deletes them. To attach them, rename <partition>.detached to <partition>.attachable in "
        f"the table's directory, then {attach}; to lose them, give them up by name "
        f"(--give-up-detached {live.name})"
    )


def refuse_detached(client: Client, names: Iterable[str], given_up: Collection[str] = ()) -> None:
    """Raise DetachedPartitions for the first of the tables that has some and is not `given_up`."""
    for live in live_tables(client, names, parquet=True).values():
        if found := unseen(live, given_up):
            raise DetachedPartitions(live.name, found)
