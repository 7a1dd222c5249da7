"""Materialized views: what reads a table, and which of them are invalid.

Dropping, detaching or truncating a partition of a view's base table invalidates the view without a
word, and so does dropping or renaming the table or one of its columns, or changing a column's type
(tried on QuestDB 9.0.3 and 9.3.4). An invalid view is no longer refreshed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from questdb_ddl.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from questdb_ddl.client import Client


@dataclass(frozen=True, slots=True)
class View:
    """A materialized view, the table or view that it reads, and why it is invalid if it is."""

    name: str
    base: str
    invalid: str | None = None


def read_views(client: Client) -> tuple[View, ...]:
    """Return the materialized views of a server by name; before QuestDB 8.3 there are none."""
    try:
        rows = client.query("select * from materialized_views()")
    except QueryError as error:
        if "unknown function" in error.message:
            return ()
        raise
    found = []
    for row in rows:
        why = str(row["invalidation_reason"] or "no reason is known")
        invalid = why if row["view_status"] == "invalid" else None
        found.append(View(str(row["view_name"]), str(row["base_table_name"]), invalid))
    return tuple(sorted(found, key=lambda view: view.name))


def readers(views: Iterable[View], table: str, *, invalid: bool = False) -> tuple[str, ...]:
    """Return the views that read `table`, or a view that does; `invalid` ones if asked for.

    >>> views = [View("daily", "bars"), View("weekly", "daily"), View("other", "ticks")]
    >>> readers(views, "BARS")
    ('daily', 'weekly')
    """
    known = [view for view in views if invalid or view.invalid is None]
    found: dict[str, str] = {}
    bases = {table.lower()}
    while bases:
        read = [v for v in known if v.base.lower() in bases and v.name.lower() not in found]
        found |= {view.name.lower(): view.name for view in read}
        bases = {view.name.lower() for view in read}
    return tuple(sorted(found.values()))
