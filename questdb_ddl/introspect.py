"""Read the structure of many tables with a handful of queries."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from questdb_ddl.client import is_cut_off, remedy
from questdb_ddl.errors import DeclarationError, QueryError, QuestDBDDLError
from questdb_ddl.names import is_system_table, literal, quote
from questdb_ddl.spec import Detached, Kind, LiveColumn, LiveTable, PartitionBy
from questdb_ddl.types import ColumnType, Other, Symbol, parse_type
from questdb_ddl.views import View, read_views, readers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from questdb_ddl.client import Client

TABLES_PER_QUERY = 100
"""Some 110 SELECTs in one UNION ALL are "too complex to evaluate"."""

REGISTRATION_SECONDS = 30.0
_NAMES = "select table_name from all_tables()"
_KINDS = {"V": Kind.VIEW, "M": Kind.MATERIALIZED_VIEW}
_GONE = re.compile(r"table does not exist \[table=(.+?)\]")


def live_tables(
    client: Client,
    names: Iterable[str] | Callable[[list[str]], Iterable[str]] | None = None,
    *,
    counts: bool = False,
    parquet: bool = False,
) -> dict[str, LiveTable]:
    """Return the tables of a server by their lower-case name; all of them, or those in `names`.

    `names` may be a function that chooses from the names of all tables.

    Names that do not exist are left out, and so are QuestDB's own tables. A table that cannot be
    read says why in `unread` and does not stop the others. Views have no columns here. Two queries,
    and one more per 100 tables for columns, deduplication keys and symbols.

    `counts` reads exact row counts and the first and last timestamp, which opens every table;
    without it they are what the server keeps (9.3 and later), else None. With `counts` or
    `parquet`, `has_parquet`, `detached`, `views` and `invalid` are filled. Raises what `Client`
    raises, and QuestDBDDLError when the server, just started, does not register its tables within
    30 seconds.

    >>> from questdb_ddl import Column, Long, Table, drop, ensure_table
    >>> stands = ensure_table(client, Table("ticks", (Column("n", Long()),)))
    >>> str(live_tables(client, ["TICKS"])["ticks"].column("n").type)
    'LONG'
    >>> drop(client, "ticks")
    True
    """
    choose = names if callable(names) else None
    wanted = None if names is None or callable(names) else {name.lower() for name in names}
    gone: set[str] = set()
    while True:
        try:
            return _read(client, wanted, choose, gone, counts=counts, parquet=parquet)
        except QueryError as error:
            # A table can be dropped between the listing and its columns; and one that was dropped
            # right after a change of its name stays listed, under the old one, until a restart.
            found = _GONE.search(error.message)
            if found is None or found[1] in gone:
                raise
            gone.add(found[1])


def table_names(client: Client, wanted: Callable[[str], bool] = lambda _: True) -> tuple[str, ...]:
    """Return the names of the tables and views whose lower-case name is `wanted`.

    It waits, as `live_tables` does, for what a server that just started does not list yet: a
    table that is overlooked then counts as one that is not there.
    """
    return tuple(str(row["table_name"]) for row in _registered(client, wanted)[1])


def parameter(client: Client, name: str) -> str | None:
    """Return the value of a server setting, None where the server does not know it."""
    rows = client.query("show parameters")
    return next((row["value"] for row in rows if row["property_path"] == name), None)


def _read(
    client: Client,
    wanted: set[str] | None,
    choose: Callable[[list[str]], Iterable[str]] | None,
    gone: set[str],
    *,
    counts: bool,
    parquet: bool,
) -> dict[str, LiveTable]:
    suspended, rows = _registered(client, lambda name: wanted is None or name in wanted, wanted)
    if choose is not None:
        chosen = {name.lower() for name in choose([str(row["table_name"]) for row in rows])}
        rows = [row for row in rows if row["table_name"].lower() in chosen]
    rows = [row for row in rows if row["table_name"] not in gone]
    tables = [row for row in rows if _kind(row) is Kind.TABLE]
    names = [row["table_name"] for row in tables]
    asked = counts or parquet
    unread: dict[str, str] = {}
    columns = _per_table(
        client, names, lambda name: f"* from table_columns({literal(name)})", unread
    )
    names = [name for name in names if name not in unread]
    # tables() names another column after a type change (9.0.3, 9.2.2) or a DROP COLUMN (8.2.0).
    stamps = {
        n: next((c["column"] for c in cs if c["designated"]), None) for n, cs in columns.items()
    }
    counted = _per_table(client, names, lambda n: _count(n, stamps[n]), unread) if counts else {}
    special = _per_table(client, names, _special_partitions, unread) if asked else {}
    views = read_views(client) if asked else ()
    found = _Found(columns, stamps, counted, special, unread, suspended, views, asked)
    return {row["table_name"].lower(): found.table(row) for row in rows}


_Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class _Found:
    """The answers of a server by the name of the table."""

    columns: _Rows
    stamps: dict[str, str | None]
    counted: _Rows
    special: _Rows
    unread: dict[str, str]
    suspended: dict[str, dict[str, Any]]
    views: tuple[View, ...]
    asked: bool

    def table(self, row: dict[str, Any]) -> LiveTable:
        """Return the table of a row of `tables()`."""
        name = row["table_name"]
        columns = self.columns.get(name, ())
        count = (self.counted.get(name) or [_known_counts(row)])[0]
        partitions = self.special.get(name) if name not in self.unread else None
        stopped = self.suspended.get(name)
        return LiveTable(
            name,
            tuple(LiveColumn(c["column"], _type(c)) for c in columns),
            designated_timestamp=self.stamps.get(name),
            partition_by=PartitionBy.__members__.get(row["partitionBy"], PartitionBy.NONE),
            ttl_value=row.get("ttlValue", 0),
            ttl_unit=row.get("ttlUnit", "HOUR"),
            wal=row["walEnabled"],
            max_uncommitted_rows=row["maxUncommittedRows"],
            o3_max_lag_ms=(row["o3MaxLag"] or 0) // 1000,
            dedup_keys=tuple(c["column"] for c in columns if c["upsertKey"]),
            kind=_kind(row),
            row_count=count["rows"],
            min_timestamp=count["first"],
            max_timestamp=count["last"],
            remedy=remedy(stopped) if stopped else None,
            cut_off=stopped is not None and is_cut_off(stopped),
            has_parquet=None if partitions is None else any(p["isParquet"] for p in partitions),
            detached=None if partitions is None else _detached(partitions),
            views=readers(self.views, name) if self.asked else None,
            invalid=next((v.invalid for v in self.views if v.name == name), None),
            unread=self.unread.get(name),
        )


def _registered(
    client: Client, wanted: Callable[[str], bool], few: set[str] | None = None
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of `wal_tables()` of suspended tables by name, and those of `tables()`.

    Of a `few` the server chooses: it may have thousands.
    """
    # Just after a start tables() is incomplete, and under load wal_tables() too.
    deadline = time.monotonic() + REGISTRATION_SECONDS
    while True:
        listed = client.query(f"select * from wal_tables(){_among('name', few)}")
        wal = {row["name"]: row for row in listed}
        by_name = _among("table_name", few)
        names = wal.keys() | {r["table_name"] for r in client.query(_NAMES + by_name)}
        rows = client.query(f"select * from tables(){by_name}")
        rows = [row for row in rows if _is_wanted(row["table_name"], wanted)]
        known = {row["table_name"] for row in rows}
        unknown = {name for name in names if _is_wanted(name, wanted)} - known
        if not unknown:
            return {name: row for name, row in wal.items() if row["suspended"]}, rows
        if time.monotonic() > deadline:
            raise QuestDBDDLError(
                f"QuestDB at {client.url} has not registered {len(unknown)} of its tables within "
                f"{REGISTRATION_SECONDS:.0f} s, {min(unknown)} among them; look into its log."
            )
        time.sleep(0.1)


def _among(column: str, names: set[str] | None) -> str:
    if not names or len(names) > TABLES_PER_QUERY or not all(map(str.isascii, names)):
        return ""
    return f" where lower({column}) in ({', '.join(map(literal, sorted(names)))})"


def _is_wanted(name: str, wanted: Callable[[str], bool]) -> bool:
    return not is_system_table(name) and wanted(name.lower())


def _kind(row: dict[str, Any]) -> Kind:
    if row.get("matView"):
        return Kind.MATERIALIZED_VIEW
    return _KINDS.get(row.get("table_type", "T"), Kind.TABLE)


def _per_table(
    client: Client, names: list[str], select: Callable[[str], str], unread: dict[str, str]
) -> _Rows:
    """Return the rows of one SELECT for each table; what cannot be read gets its reason."""
    parts = {}
    for name in names:
        try:
            parts[name] = select(name)
        except DeclarationError as error:  # a name that no SQL can hold
            unread.setdefault(name, str(error).rstrip("."))
    result: _Rows = {name: [] for name in parts}
    readable = list(parts)
    for start in range(0, len(readable), TABLES_PER_QUERY):
        _batch(client, readable[start : start + TABLES_PER_QUERY], parts, result, unread)
    return result


def _batch(
    client: Client,
    batch: list[str],
    parts: dict[str, str],
    result: _Rows,
    unread: dict[str, str],
) -> None:
    """Read some tables with one query; halves find the one that makes it fail."""
    try:
        sql = " union all ".join(f"select {n} n, {parts[name]}" for n, name in enumerate(batch))
        for row in client.query(sql):
            result[batch[row["n"]]].append(row)
    except QueryError as error:
        if _GONE.search(error.message):
            raise
        if len(batch) == 1:
            unread.setdefault(batch[0], error.message.rstrip("."))
            return
        half = len(batch) // 2
        for some in (batch[:half], batch[half:]):
            _batch(client, some, parts, result, unread)


def _count(name: str, stamp: str | None) -> str:
    if stamp is None:
        # A constant beside count() makes a GROUP BY of it, and that has no row for an empty table.
        counted = f"(select count() rows from {quote(name)})"
        return f"rows, null::string first, null::string last from {counted}"
    bounds = f"min({quote(stamp)})::string first, max({quote(stamp)})::string last"
    return f"count() rows, {bounds} from {quote(name)}"


def _special_partitions(name: str) -> str:
    """Return the SELECT of the partitions that are Parquet or detached; others can be thousands."""
    columns = "name, numRows, isParquet, detached"
    return f"{columns} from table_partitions({literal(name)}) where isParquet or detached"


def _detached(partitions: list[dict[str, Any]]) -> tuple[Detached, ...]:
    # The name of a directory: 2025-01.detached, or 2025-01.attachable when it may be attached.
    found = ((str(p["name"]).rpartition(".")[0], p["numRows"]) for p in partitions if p["detached"])
    return tuple(Detached(name, rows) for name, rows in sorted(found))


def _known_counts(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "rows": row.get("table_row_count"),
        "first": row.get("table_min_timestamp"),
        "last": row.get("table_max_timestamp"),
    }


def _type(row: dict[str, Any]) -> ColumnType:
    if row["type"] == Symbol.keyword:
        indexed = row["indexed"]
        return Symbol.reported(
            capacity=row["symbolCapacity"] or None,
            cache=row["symbolCached"],
            index=indexed,
            index_capacity=row["indexBlockCapacity"] if indexed else None,
        )
    try:
        return parse_type(row["type"])
    except DeclarationError:
        return Other(row["type"])
