"""How far a rebuild came, told by the tables that stand, and whether those are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from questdb_ddl.diff import NEEDS_REBUILD, DifferenceKind, compare
from questdb_ddl.introspect import live_tables, table_names
from questdb_ddl.rebuild_names import MODES, Names, rebuilt_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from questdb_ddl.client import Client
    from questdb_ddl.spec import LiveTable, Table

_FOREIGN = NEEDS_REBUILD | {DifferenceKind.DEDUP_KEYS, DifferenceKind.EXTRA_COLUMN}
"""What tells that a table is not a rebuild's new one; columns and symbols grow meanwhile."""


def state(client: Client, table: str) -> tuple[Names, dict[str, LiveTable]]:
    """Return the names of the rebuild of `table` that is under way, and what of it stands."""
    modes = [Names(table, mode) for mode in MODES]
    wanted = [table, *(name for names in modes for name in (names.new, names.old))]
    stands = live_tables(client, wanted, parquet=True)
    return next((names for names in modes if under_way(names, stands)), modes[0]), stands


def under_way(names: Names, stands: dict[str, LiveTable]) -> bool:
    """Tell whether a rebuild with these names was begun and not finished."""
    return any(name.lower() in stands for name in (names.new, names.old))


def other_under_way(names: Names) -> str:
    """Say that the rebuild with these names is not the one that is asked for."""
    kind = {"": "", "_fixed": " that fixes timestamps", "_trimmed": " that leaves rows out"}
    return f"A rebuild{kind[names.mode]} of {names.table} is under way; finish it first."


def strangers(
    client: Client, names: Names, stands: dict[str, LiveTable], target: Table | None
) -> Iterator[str]:
    """Yield why a table that stands under a name of the rebuild is not one that it made.

    `target` is what the new table would be, None once the old one has made way.
    """
    if (old := stands.get(names.old.lower())) and old.wal:
        rows = client.query("select table_name, directoryName from tables()")
        directories = {r["table_name"]: str(r["directoryName"]) for r in rows}
        # A WAL table that was renamed keeps the directory of its first name.
        if directories.get(old.name, "").partition("~")[0].lower() == names.old.lower():
            yield f"{old.name} stands and no rebuild put it there; rename it first"
    new = stands.get(names.new.lower())
    if new is not None and target is not None:
        differences = compare(target.renamed(names.new), new).differences
        if differing := [str(d) for d in differences if d.kind in _FOREIGN]:
            yield (
                f"{new.name} stands and is not what a rebuild makes ({'; '.join(differing)}); "
                "rename it first"
            )


def in_its_way(client: Client, table: str) -> Iterator[str]:
    """Yield why a rebuild of `table` cannot begin: tables under names that it needs on its way."""
    notes = Names(table, "_trimmed").without.lower()  # a trim that was killed left them
    for name in table_names(client, lambda name: name.startswith(table.lower())):
        made = rebuilt_table(name)
        if made and made[0].lower() == table.lower() and name.lower() != notes:
            yield f"{name} stands in its way; rename it first"
