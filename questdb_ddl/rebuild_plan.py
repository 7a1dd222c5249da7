"""What a rebuild would do to a table, why it must not, and how far an earlier one came."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from questdb_ddl import render
from questdb_ddl.client import HEADER_BUFFER, SAFE_BYTES, sent_bytes
from questdb_ddl.copying import Copy
from questdb_ddl.detached import unseen
from questdb_ddl.diff import compare
from questdb_ddl.errors import DeclarationError
from questdb_ddl.introspect import parameter
from questdb_ddl.names import MAX_NAME_LENGTH, literal
from questdb_ddl.rebuild_names import Names
from questdb_ddl.rebuild_state import in_its_way, other_under_way, state, strangers, under_way
from questdb_ddl.spec import Column, Kind
from questdb_ddl.time_units import Suspects, suspects
from questdb_ddl.types import Symbol
from questdb_ddl.views import read_views, readers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from questdb_ddl.client import Client
    from questdb_ddl.spec import LiveTable, Table


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What a rebuild would do: `rows` in the old table, `keys` that the new one will hold.

    `reasons` say what differs (empty: nothing to do), `refusals` why it is not done, `target` is
    the new table with the columns that writers added. `under_way` tells an unfinished rebuild.
    `rounded` rows lose digits of their time.
    """

    table: str
    target: Table | None
    rows: int
    keys: int
    disk_bytes: int
    suspects: Suspects
    reasons: tuple[str, ...]
    refusals: tuple[str, ...]
    under_way: bool = False
    fix_timestamps: bool = False
    rounded: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.reasons and not self.under_way

    def __str__(self) -> str:
        if self.under_way:
            refused = "".join(f"\n-- refused: {refusal}" for refusal in self.refusals)
            ends = refused or " and will be finished"
            return f"{self.table}: a rebuild is under way{ends}"
        lines = [f"{self.table}: {reason}" for reason in self.reasons]
        lines.append(f"-- {self.rows:,} rows, {self.disk_bytes / 2**20:,.0f} MiB on disk")
        if double := self.rows - self.keys:
            lines.append(
                f"-- {double:,} rows repeat the keys of another row: the new table holds the last "
                f"one of each, {self.keys:,} rows"
            )
        if self.rounded:
            lines.append(
                f"-- {self.rounded:,} rows have a time finer than a microsecond: the digits below "
                "it are dropped"
            )
        if str(self.suspects):
            moves = self.fix_timestamps and self.suspects.movable
            lines.append(f"-- {self.suspects}: " + ("moved" if moves else "left where they are"))
        lines += [f"-- refused: {refusal}" for refusal in self.refusals]
        if self.empty:
            lines.append("-- nothing to do")
        return "\n".join(lines)


HTTP_NOTICES_RENAMES = (9, 3, 2)
"""From this version on a kept HTTP connection looks the table up again after a rename.

Tried on 8.2.0, 9.0.3, 9.1, 9.2, 9.3.0 and 9.3.1, which do not, and on 9.3.2 and 9.3.4.
"""


def plan_rebuild(
    client: Client,
    declared: Table,
    *,
    fix_timestamps: bool = False,
    writers_stopped: bool = False,
    give_up_detached: Collection[str] = (),
) -> RebuildPlan:
    """Return what `rebuild` would do to the table called like `declared`; changes nothing.

    It reads every row once, for duplicates and for times in a wrong unit. A table with detached
    partitions is refused, as none of their rows is copied, unless it is in `give_up_detached`.
    """
    names, stands = state(client, declared.name)
    live = stands.get(declared.name.lower())
    if under_way(names, stands):
        refused = list(
            resuming_refusals(
                client,
                declared,
                names,
                stands,
                writers_stopped=writers_stopped,
                give_up_detached=give_up_detached,
            )
        )
        if names.mode == "_trimmed" or (fix_timestamps and not names.fixed):
            refused.insert(0, other_under_way(names))
        return RebuildPlan(
            declared.name, None, 0, 0, 0, Suspects(), (), tuple(refused),
            under_way=True, fix_timestamps=names.fixed,
        )  # fmt: skip
    if live is None:
        raise DeclarationError(f"There is no table {declared.name} to rebuild.")
    reasons, refusals = [], list(_refusals(client, declared, live))
    refusals += in_its_way(client, live.name)
    refusals += filter(None, [unseen(live, give_up_detached)])
    if not writers_stopped:
        refusals += endangered_writers(client)
    found = Suspects()
    target = None
    rows = keys = rounded = 0
    if live.kind is Kind.TABLE and live.designated_timestamp:
        found = suspects(client, live)
        target = _target_or_reason(declared, live, refusals)
    if target is not None:
        copy = Copy(client, live, target)
        rows, keys = copy.distinct_keys()
        rounded = copy.rounded()
        refusals += copy.lossy()
        refusals += _too_wide(client, copy)
        if fix_timestamps:
            refusals += _unfixable(live, found)
    comparison = compare(target or declared, live)
    reasons += [str(difference) for difference in comparison.differences]
    if rows > keys:
        reasons.append(f"{rows - keys:,} rows repeat the keys of another row")
    if fix_timestamps and found.movable:
        reasons.append(f"{found.movable:,} rows stand at a time in a wrong unit")
    return RebuildPlan(
        live.name, target, rows, keys, _disk_bytes(client, live), found,
        tuple(reasons), tuple(refusals), fix_timestamps=fix_timestamps, rounded=rounded,
    )  # fmt: skip


def resuming_refusals(
    client: Client,
    declared: Table,
    names: Names,
    stands: dict[str, LiveTable],
    *,
    writers_stopped: bool,
    give_up_detached: Collection[str] = (),
) -> Iterator[str]:
    """Yield why the rebuild that is under way must not go on: what held when it began may not."""
    given_up = {name.lower() for name in give_up_detached}
    for each in () if names.table.lower() in given_up else stands.values():
        if found := unseen(each):
            yield found
    live = stands.get(names.table.lower())
    copying = live if names.old.lower() not in stands else None  # nothing was renamed yet
    target = target_for(declared, copying) if copying else None
    yield from strangers(client, names, stands, target)
    if copying and target:
        yield from _refusals(client, declared, copying)
        yield from Copy(client, copying, target).lossy()
    if not writers_stopped:
        yield from endangered_writers(client)


def target_for(declared: Table, live: LiveTable) -> Table:
    """Return the declaration of the new table: declared, and what writers and operators added.

    Columns that only the live table has stay, whether or not the declaration is extensible. A
    symbol keeps its capacity where that is larger, and its index. A shorter TTL, which deletes
    rows, is left to a plan that shows so.
    """
    columns = []
    for column in declared.columns:
        found = live.column(column.name)
        kind = column.type
        if isinstance(kind, Symbol) and found is not None and isinstance(found.type, Symbol):
            kind = replace(
                kind,
                capacity=max(kind.capacity or 0, found.type.capacity or 0) or None,
                index=kind.index or found.type.index,
                index_capacity=kind.index_capacity or found.type.index_capacity,
            )
        columns.append(Column(column.name, kind))
    stamp = (live.designated_timestamp or "").lower()
    columns += [
        Column(extra.name, extra.type)
        for extra in live.columns
        if declared.column(extra.name) is None and extra.name.lower() != stamp
    ]
    ttl = live.ttl_months if _expires_sooner(declared, live) else declared.ttl_months
    return replace(declared, columns=tuple(columns), ttl_months=ttl)


def _target_or_reason(declared: Table, live: LiveTable, reasons: list[str]) -> Table | None:
    try:
        return target_for(declared, live)
    except DeclarationError as error:  # a writer can send a column in any letters
        reasons.append(f"{str(error).rstrip('.')}; rename or drop it in {live.name} first")
        return None


def _refusals(client: Client, declared: Table, live: LiveTable) -> Iterator[str]:
    if not declared.dedup_keys:
        yield (
            "the declaration has no deduplication keys, so rows written meanwhile could not be "
            "carried over without doubling some; declare keys"
        )
    if live.kind is not Kind.TABLE:
        yield f"it is a {live.kind}; only tables are rebuilt"
        return
    if live.designated_timestamp is None:
        yield "it has no designated timestamp; only a table with one is rebuilt"
        return
    stamp = declared.designated_timestamp
    if live.designated_timestamp.lower() != stamp.lower() and live.column(stamp) is not None:
        yield (
            f"its column {stamp} is not its designated timestamp, which is "
            f"{live.designated_timestamp}, and has no place in the new table; rename that column "
            "first"
        )
    if live.suspended:
        yield f"it is suspended and holds rows that no copy sees; {live.remedy}"
    if views := readers(read_views(client), live.name, invalid=True):
        yield (
            f"the materialized view {', '.join(views)} reads it and would stay with the old table; "
            "drop it first and create it again afterwards"
        )
    if live.has_parquet:
        yield (
            "it has Parquet partitions, which the new table would not have; "
            f'ALTER TABLE "{live.name}" CONVERT PARTITION TO NATIVE WHERE … first'
        )
    if len(live.name) > MAX_NAME_LENGTH - len("_old_20250101T000000Z"):
        yield "its name is too long for the names of a rebuild"


def _disk_bytes(client: Client, live: LiveTable) -> int:
    if live.kind is not Kind.TABLE:
        return 0
    sizes = client.query(f"select sum(diskSize) size from table_partitions({literal(live.name)})")
    return (sizes[0]["size"] or 0) if sizes else 0


def _expires_sooner(declared: Table, live: LiveTable) -> bool:
    if declared.ttl_months is None:
        return False
    if live.ttl_months is None:
        return live.ttl_text == "none"
    return declared.ttl_months < live.ttl_months


def endangered_writers(client: Client) -> Iterator[str]:
    """Yield why a writer that goes on while a table is renamed could lose rows."""
    if parameter(client, "line.tcp.enabled") == "true":
        yield (
            "the server takes ILP over TCP (line.tcp.enabled), and rows of such a writer that are "
            "not committed are lost by a rename; stop these writers, then say so "
            "(--writers-stopped)"
        )
    if client.version_numbers() < HTTP_NOTICES_RENAMES:
        yield (
            f"on QuestDB {client.server_version()} an HTTP connection that is kept open writes on "
            "into the renamed table; stop the writers, then say so (--writers-stopped)"
        )


def _too_wide(client: Client, copy: Copy) -> Iterator[str]:
    """Yield why a statement that names every column could not be sent."""
    found = parameter(client, "http.request.header.buffer.size") or ""
    size = _bytes(found) or HEADER_BUFFER
    longer = len(Names("", "_trimmed").new)
    create = sent_bytes(render.create_table(copy.target)) + longer
    length = max(create, sent_bytes(copy.longest()))
    if length > size // 2 - (HEADER_BUFFER // 2 - SAFE_BYTES):
        yield (
            f"its {len(copy.names):,} columns make a statement of {length:,} bytes, and the server "
            f"takes half of http.request.header.buffer.size, which is {size:,}; set that to "
            f"{(length + 2048) // 512 + 1}k in server.conf and restart it"
        )


def _bytes(text: str) -> int | None:
    """Return the bytes of a size as server.conf has it, such as `64448` or `128k`."""
    found = re.fullmatch(r"(\d+)([km]?)", text.strip().lower())
    return int(found[1]) * {"": 1, "k": 2**10, "m": 2**20}[found[2]] if found else None


def _unfixable(live: LiveTable, found: Suspects) -> Iterator[str]:
    column = live.column(live.designated_timestamp or "")
    if found.seconds and column is not None and str(column.type) == "TIMESTAMP":
        yield (
            f"{found.seconds:,} rows were sent in seconds, and the last three digits of their time "
            "were lost when they were stored; delete or export them again"
        )
