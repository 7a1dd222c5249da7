"""Take tables out of use: dropped for good, or kept under another name where they hold rows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from questdb_ddl import render
from questdb_ddl.detached import unseen
from questdb_ddl.errors import DeclarationError, DetachedPartitions, PlanRefused
from questdb_ddl.introspect import live_tables
from questdb_ddl.names import MAX_NAME_LENGTH, check_table_name, quote
from questdb_ddl.spec import Kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from questdb_ddl.client import Client
    from questdb_ddl.spec import LiveTable


class RetireAction(StrEnum):
    """What `retire` did."""

    ABSENT = "was not there"
    DROPPED = "dropped, it was empty"
    RENAMED = "renamed, it held rows"
    VIEW = "dropped, it was a view"


@dataclass(frozen=True, slots=True)
class Retired:
    """The result of `retire`: what was done, the rows kept and the name they are kept under."""

    table: str
    action: RetireAction
    kept_as: str | None = None
    rows: int = 0


def retired_name(name: str, now: datetime) -> str:
    """Return `<name>_retired_<YYYYMMDDTHHMMSSZ>` in UTC, the name cut where it gets too long.

    Raises DeclarationError when `now` has no time zone.

    >>> retired_name("indicator_bars", datetime(2025, 3, 1, 12, tzinfo=UTC))
    'indicator_bars_retired_20250301T120000Z'
    """
    if now.tzinfo is None:
        raise DeclarationError("The time of retirement has no time zone.")
    suffix = f"_retired_{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return name[: MAX_NAME_LENGTH - len(suffix)] + suffix


def dropping_name(name: str) -> str:
    """Return `<name>__dropping`, what a table is called between the two steps of its drop.

    A name that gets too long by it is cut and told apart by a checksum.

    >>> dropping_name("indicator_bars")
    'indicator_bars__dropping'
    """
    if len(name) + len(_DROPPING) <= MAX_NAME_LENGTH:
        return name + _DROPPING
    suffix = f"_{zlib.crc32(name.lower().encode()):08x}{_DROPPING}"
    return name[: MAX_NAME_LENGTH - len(suffix)] + suffix


_DROPPING = "__dropping"


def retire(
    client: Client, name: str, now: datetime, *, give_up_detached: Collection[str] = ()
) -> Retired:
    """Take the table `name` out of use: drop it if it is empty, else keep it under another name.

    An empty one is renamed first and counted once more then, so that no writer can add a row
    between the count and the drop. A view is dropped: it has no rows of its own. Safe to repeat: a
    table that is gone is ABSENT, and so is one that was renamed; what a killed call left as
    `dropping_name` is dropped or kept as the table would have been. Raises TableSuspended for a
    suspended table, whose log can hold rows that no count shows, DetachedPartitions for one with
    such partitions unless `name` is among `give_up_detached`, and QueryError when something
    stands under the new name.
    """
    check_table_name(name)
    found, left = _standing(client, name, give_up_detached)
    result = Retired(name, RetireAction.ABSENT)
    if left is not None:
        result = _settle(client, name, left.name, now)
        now += timedelta(seconds=1)  # another name, should the table itself be kept too
    if found is None:
        return result
    if found.kind is not Kind.TABLE:
        client.execute(_drop(found))
        return Retired(found.name, RetireAction.VIEW)
    client.wait_for(found.name)
    if _may_hold_rows(client, found.name):
        return _keep(client, found.name, found.name, now)
    if not found.wal:
        client.execute(_drop(found))
        return Retired(found.name, RetireAction.DROPPED)
    made = dropping_name(found.name)
    client.execute(render.rename_table(found.name, made))
    return _settle(client, found.name, made, now)


def _settle(client: Client, name: str, made: str, now: datetime) -> Retired:
    client.wait_for(made)
    if _may_hold_rows(client, made):
        return _keep(client, name, made, now)
    client.execute(render.drop_table(made))
    return Retired(name, RetireAction.DROPPED)


def _keep(client: Client, name: str, stands_as: str, now: datetime) -> Retired:
    target = retired_name(name, now)
    client.execute(render.rename_table(stands_as, target))
    client.wait_for(target)
    return Retired(name, RetireAction.RENAMED, target, _rows(client, target))


def _rows(client: Client, name: str) -> int:
    return live_tables(client, [name], counts=True)[name.lower()].row_count or 0


def _may_hold_rows(client: Client, name: str) -> bool:
    """Tell whether a table has rows, or cannot be read and so may have some."""
    found = live_tables(client, [name], counts=True)[name.lower()]
    return bool(found.row_count) or found.unread is not None


def _standing(
    client: Client, name: str, given_up: Collection[str]
) -> tuple[LiveTable | None, LiveTable | None]:
    """Return what stands as `name`, and what a killed drop or retirement of it left.

    A renamed WAL table keeps the directory of its first name. What was created as
    `<name>__dropping` is somebody's own: PlanRefused. Detached partitions of either that are not
    given up: DetachedPartitions.
    """
    made = dropping_name(name)
    stands = live_tables(client, [name, made], parquet=True)
    if name.lower() not in {each.lower() for each in given_up}:
        for each in stands.values():
            if found := unseen(each):
                raise DetachedPartitions(each.name, found)
    left = stands.get(made.lower())
    if left is not None:
        rows = client.query("select table_name, directoryName from tables()")
        directory = next(r["directoryName"] for r in rows if r["table_name"] == left.name)
        if directory.partition("~")[0].lower() == made.lower():
            raise PlanRefused(
                f"{left.name} stands and was not put there by a drop of {name}; rename it first."
            )
    return stands.get(name.lower()), left


def _drop(found: LiveTable) -> str:
    return f"DROP {found.kind.upper()} IF EXISTS {quote(found.name)}"


def drop(client: Client, name: str, *, give_up_detached: Collection[str] = ()) -> bool:
    """Drop the table or view `name` for good; tells whether it stood.

    A WAL table is renamed first: an ILP connection over HTTP that is kept open goes on writing into
    a dropped table and is told that all is well, even when a new one stands under the name. After a
    rename it looks the name up again. Tried on QuestDB 9.3.4. Killed between the two, a second
    call finishes it: `dropping_name` tells. Raises PlanRefused where that is somebody's own table,
    and DetachedPartitions where rows of `name` are in such partitions, unless it is among
    `give_up_detached`.
    """
    found, left = _standing(client, name, give_up_detached)
    if left is not None:
        client.execute(_drop(left))
    if found is not None and found.kind is Kind.TABLE and found.wal and not found.suspended:
        made = dropping_name(found.name)
        client.execute(render.rename_table(found.name, made))
        client.wait_for(made)
        client.execute(render.drop_table(made))
    elif found is not None:
        client.execute(_drop(found))
    return found is not None or left is not None
