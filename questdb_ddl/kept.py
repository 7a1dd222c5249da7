"""Old tables that rebuilds kept: found by name, dropped once nothing of them is missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from questdb_ddl import render
from questdb_ddl.copying import Copy
from questdb_ddl.detached import unseen
from questdb_ddl.errors import DetachedPartitions, PlanRefused
from questdb_ddl.introspect import live_tables, table_names

if TYPE_CHECKING:
    from collections.abc import Collection

    from questdb_ddl.client import Client

_OLD = re.compile(r"_old_\d{8}T\d{6}Z")


def old_tables(client: Client, table: str) -> list[str]:
    """Return the old tables that rebuilds of `table` kept, the oldest first."""
    stem = table.lower()
    names = table_names(client, lambda name: name.startswith(stem))
    return sorted(name for name in names if _OLD.fullmatch(name[len(stem) :]))


def drop_old(
    client: Client, table: str, old: str, *, give_up_detached: Collection[str] = ()
) -> int:
    """Drop `old`, a table that a rebuild of `table` kept; returns how many rows it had.

    Raises PlanRefused when it is no such table, or holds rows whose keys `table` does not have,
    and DetachedPartitions when it has some and is not among `give_up_detached`.
    """
    if old not in old_tables(client, table):
        raise PlanRefused(f"{old} is no old table of {table}.")
    stands = live_tables(client, [table, old], counts=True)
    live, kept = stands.get(table.lower()), stands[old.lower()]
    if live is None:
        raise PlanRefused(f"{table} does not stand, and {old} may be all there is of it.")
    if found := unseen(kept, give_up_detached):
        raise DetachedPartitions(kept.name, found)
    plain = Copy(client, kept, live.to_table())
    fixed = Copy(client, kept, live.to_table(), fix_timestamps=True)
    missing = plain.missing_keys(live.name)
    if missing and fixed.missing_keys(live.name) + fixed.missing_moved(live.name):
        raise PlanRefused(
            f"{missing:,} rows of {old} are not in {table}; bring them over, or drop it as any "
            "other table."
        )
    client.execute(render.drop_table(kept.name))
    return kept.row_count or 0
