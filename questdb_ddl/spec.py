"""Declarations: `Column`, `Table`, and `LiveTable`, which is a table as a server reports it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from questdb_ddl.errors import DeclarationError
from questdb_ddl.names import check_column_name, check_table_name
from questdb_ddl.types import (
    Array,
    ColumnType,
    Other,
    Symbol,
    Timestamp,
    TimestampNs,
    parse_type,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MONTHS_PER_YEAR = 12
NO_TTL_MONTHS = 1000 * MONTHS_PER_YEAR
"""QuestDB cannot remove a TTL again; 1,000 years stand for none."""

MAX_INT = 2**31 - 1
"""QuestDB reads the WAL parameters as 32 bits, and a larger o3MaxLag as a negative one."""


class PartitionBy(StrEnum):
    """How a table is cut into partitions by its designated timestamp (UTC)."""

    NONE = "NONE"
    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name and its type; raises DeclarationError for a name QuestDB refuses."""

    name: str
    type: ColumnType

    def __post_init__(self) -> None:
        check_column_name(self.name)
        if not isinstance(self.type, ColumnType):
            raise DeclarationError(
                f"The column {self.name} has {self.type!r} for a type; parse_type makes one."
            )
        if isinstance(self.type, Other):
            raise DeclarationError(
                f"The column {self.name} has the unknown type {self.type}; declare a known one."
            )


@dataclass(frozen=True, slots=True)
class Table:
    """The declaration of a table; a wrong one raises DeclarationError at construction.

    - `columns` in the order they are created in. If the designated timestamp is not among them,
      it is put first as a TIMESTAMP column, so afterwards `columns` is always complete.
    - `ttl_months`: rows older than that are deleted by the server; None for never. Whole months,
      because that is what a monthly table takes; a yearly one wants a multiple of 12.
    - `wal`: write-ahead log, which deduplication and concurrent writers need.
    - `max_uncommitted_rows`, `o3_max_lag_ms` (milliseconds): the table's WAL parameters; None
      for the server's default, which is then not compared either.
    - `dedup_keys`: a new row with the same keys replaces the old row as a whole. They include
      the designated timestamp. Their order has no meaning.
    - `extensible`: columns that a writer added belong to the table and are not drift.

    >>> Table("bars", (Column("close", parse_type("DOUBLE")),)).columns[0]
    Column(name='timestamp', type=Timestamp())
    """

    name: str
    columns: tuple[Column, ...]
    designated_timestamp: str = "timestamp"
    partition_by: PartitionBy = PartitionBy.MONTH
    ttl_months: int | None = None
    wal: bool = True
    max_uncommitted_rows: int | None = None
    o3_max_lag_ms: int | None = None
    dedup_keys: tuple[str, ...] = ()
    extensible: bool = False

    def __post_init__(self) -> None:
        check_table_name(self.name)
        columns = tuple(self.columns)
        twice = [n for n, count in Counter(c.name.lower() for c in columns).items() if count > 1]
        if twice:
            self._fail(f"has the column {twice[0]} twice (QuestDB ignores letter case)")
        stamp = next((c for c in columns if _same(c.name, self.designated_timestamp)), None)
        if stamp is None:
            stamp = Column(self.designated_timestamp, Timestamp())
            columns = (stamp, *columns)
        if not isinstance(stamp.type, Timestamp | TimestampNs):
            self._fail(f"has the designated timestamp {stamp.name} of type {stamp.type}")
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "designated_timestamp", stamp.name)
        object.__setattr__(self, "partition_by", self._partitioning())
        self._check_storage()
        object.__setattr__(self, "dedup_keys", self._checked_keys())

    def _fail(self, what: str) -> None:
        raise DeclarationError(f"The table {self.name} {what}.")

    def _partitioning(self) -> PartitionBy:
        try:
            return PartitionBy(self.partition_by)
        except ValueError:
            raise DeclarationError(
                f"The table {self.name} is partitioned by {self.partition_by!r}; "
                f"it can be {', '.join(PartitionBy)}."
            ) from None

    def _check_storage(self) -> None:
        if self.wal and self.partition_by is PartitionBy.NONE:
            self._fail("has a WAL without partitions; give it partitions or wal=False")
        if self.ttl_months is not None:
            if self.partition_by is PartitionBy.NONE:
                self._fail("has a TTL without partitions, and TTL drops whole partitions")
            if not 1 <= self.ttl_months < NO_TTL_MONTHS:
                self._fail(f"has a TTL of {self.ttl_months} months")
            if self.partition_by is PartitionBy.YEAR and self.ttl_months % MONTHS_PER_YEAR:
                self._fail(f"is yearly; its TTL of {self.ttl_months} months is no whole year")
        for label, value in (
            ("max_uncommitted_rows", self.max_uncommitted_rows),
            ("o3_max_lag_ms", self.o3_max_lag_ms),
        ):
            if value is not None and not 1 <= value <= MAX_INT:
                self._fail(f"has {label}={value}; it lies between 1 and {MAX_INT}")

    def _checked_keys(self) -> tuple[str, ...]:
        keys = []
        for key in self.dedup_keys:
            column = self.column(key)
            if column is None:
                raise DeclarationError(
                    f"The table {self.name} has no column {key} to be a deduplication key."
                )
            if isinstance(column.type, Array):
                self._fail(f"has the array {key} as a deduplication key, which QuestDB refuses")
            if column.name in keys:
                self._fail(f"has the deduplication key {key} twice")
            keys.append(column.name)
        if keys and self.designated_timestamp not in keys:
            self._fail("leaves the designated timestamp out of its deduplication keys")
        if keys and not self.wal:
            self._fail("has deduplication keys without a WAL")
        return tuple(keys)

    def column(self, name: str) -> Column | None:
        """Return the column called `name` in any letter case, or None."""
        return next((c for c in self.columns if _same(c.name, name)), None)

    def renamed(self, name: str) -> Table:
        """Return the same declaration under another name; raises DeclarationError for a bad one."""
        return replace(self, name=name)

    def to_data(self) -> dict[str, Any]:
        """Return the declaration as plain data, as a frozen Alembic revision holds it.

        Only dict, list, str, int and bool; what is None is left out, everything else is written
        even where it is the default, so that a later default cannot change an old revision.
        """
        data: dict[str, Any] = {
            "name": self.name,
            "columns": [[c.name, str(c.type)] for c in self.columns],
            "designated_timestamp": self.designated_timestamp,
            "partition_by": str(self.partition_by),
            "ttl_months": self.ttl_months,
            "wal": self.wal,
            "max_uncommitted_rows": self.max_uncommitted_rows,
            "o3_max_lag_ms": self.o3_max_lag_ms,
            "dedup_keys": list(self.dedup_keys),
            "extensible": self.extensible,
        }
        return {key: value for key, value in data.items() if value is not None}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Table:
        """Return the declaration that `data` holds; raises DeclarationError where it is wrong.

        `columns` is a list of [name, type] pairs or a dict of name to type.

        >>> Table.from_data({"name": "bars", "columns": {"close": "DOUBLE"}}).name
        'bars'
        """
        known = cls.__dataclass_fields__
        unknown = sorted(set(data) - set(known))
        missing = sorted({"name", "columns"} - set(data))
        if unknown or missing:
            problem = f"has unknown keys {unknown}" if unknown else f"lacks {missing}"
            raise DeclarationError(f"The data of the table {data.get('name', '?')} {problem}.")
        columns: Any = data["columns"]
        pairs = list(columns.items()) if isinstance(columns, dict) else columns
        try:
            parsed = tuple(Column(name, parse_type(text)) for name, text in pairs)
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, DeclarationError):
                raise
            raise DeclarationError(
                f"The columns of the table {data['name']} are not pairs of name and type."
            ) from None
        try:
            keys = tuple(data.get("dedup_keys", ()))
            return cls(**{**data, "columns": parsed, "dedup_keys": keys})
        except (TypeError, AttributeError) as error:
            raise DeclarationError(
                f"The table {data['name']} has a wrong value: {error}."
            ) from None


def _same(left: str, right: str) -> bool:
    return left.lower() == right.lower()


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """A column as the server reports it; unlike `Column` it takes names and types of any kind."""

    name: str
    type: ColumnType


class Kind(StrEnum):
    """What stands under a name."""

    TABLE = "table"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized view"


@dataclass(frozen=True, slots=True)
class Detached:
    """A partition that `DETACH PARTITION` took out of a table; `rows` is below 0 if not known.

    Its files are in the table's directory. No query sees its rows, and DROP TABLE deletes them.
    """

    name: str
    rows: int

    def __str__(self) -> str:
        if self.rows < 0:
            return f"{self.name} (rows not known)"
        return f"{self.name} ({self.rows:,} row{'s' * (self.rows != 1)})"


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A table as a server reports it.

    Structure first: what a `Table` declares, with symbol capacities as the server rounded them.
    Then its state: `row_count` and the first and last timestamp (ISO text in UTC as the server
    writes it, because a year can lie beyond 9999), None where not known; `remedy`, the
    statement that resumes the table, None where it is not suspended; `cut_off`, whether it is
    suspended by an ALTER that a kill cut off, so that the remedy gives up no rows; and
    `has_parquet`, `detached` and `views`, the valid materialized views that read it, None where
    they were not asked for. `invalid` says why a materialized view is no longer refreshed, and
    `unread` why something that was asked for could not be read: without columns it is the
    structure, else rows or partitions.
    """

    name: str
    columns: tuple[LiveColumn, ...] = ()
    designated_timestamp: str | None = None
    partition_by: PartitionBy = PartitionBy.NONE
    ttl_value: int = 0
    ttl_unit: str = "HOUR"
    wal: bool = False
    max_uncommitted_rows: int | None = None
    o3_max_lag_ms: int | None = None
    dedup_keys: tuple[str, ...] = ()
    kind: Kind = Kind.TABLE
    row_count: int | None = None
    min_timestamp: str | None = None
    max_timestamp: str | None = None
    remedy: str | None = None
    cut_off: bool = False
    has_parquet: bool | None = None
    detached: tuple[Detached, ...] | None = None
    views: tuple[str, ...] | None = None
    invalid: str | None = None
    unread: str | None = None

    def column(self, name: str) -> LiveColumn | None:
        """Return the column called `name` in any letter case, or None."""
        return next((c for c in self.columns if _same(c.name, name)), None)

    @property
    def ttl_months(self) -> int | None:
        """The TTL in months; None for none, for 1,000 years and for one in hours, days or weeks.

        QuestDB reports a TTL normalised: 24 MONTHS reads back as 2 YEAR.
        """
        factor = {"MONTH": 1, "YEAR": MONTHS_PER_YEAR}.get(self.ttl_unit, 0)
        months = self.ttl_value * factor
        return months if 0 < months < NO_TTL_MONTHS else None

    @property
    def ttl_text(self) -> str:
        """The TTL as one would write it, such as `24 MONTHS`; `none` where nothing expires."""
        if self.ttl_months is not None:
            return f"{self.ttl_months} MONTHS"
        short = self.ttl_value > 0 and self.ttl_unit not in {"MONTH", "YEAR"}
        return f"{self.ttl_value} {self.ttl_unit}S" if short else "none"

    @property
    def suspended(self) -> bool:
        """Whether the table stopped applying what is written to it."""
        return self.remedy is not None

    def structure(self) -> dict[str, Any]:
        """Return the structure without the state, as plain data: what a fingerprint is made of."""
        return {
            "name": self.name,
            "kind": str(self.kind),
            "columns": [[c.name, str(c.type)] for c in self.columns],
            "designated_timestamp": self.designated_timestamp,
            "partition_by": str(self.partition_by),
            "ttl": self.ttl_text,
            "wal": self.wal,
            "max_uncommitted_rows": self.max_uncommitted_rows,
            "o3_max_lag_ms": self.o3_max_lag_ms,
            "dedup_keys": sorted(key.lower() for key in self.dedup_keys),
        }

    def _declared(self, column: LiveColumn) -> Column:
        try:
            found = column.type
            return Column(column.name, replace(found) if isinstance(found, Symbol) else found)
        except DeclarationError as error:
            raise DeclarationError(f"The table {self.name} cannot be declared: {error}") from None

    def to_table(self) -> Table:
        """Return the declaration that would create this table again, symbol parameters included.

        Raises DeclarationError where it cannot be declared: no designated timestamp, a name
        outside ASCII, a TTL in hours, a type that this package does not know.
        """
        if self.unread and not self.columns:
            raise DeclarationError(f"The table {self.name} cannot be read: {self.unread}.")
        if self.designated_timestamp is None or self.kind is not Kind.TABLE:
            raise DeclarationError(f"{self.name} is no table with a designated timestamp.")
        if self.ttl_text != "none" and self.ttl_months is None:
            raise DeclarationError(f"The table {self.name} has a TTL of {self.ttl_text}.")
        return Table(
            self.name,
            tuple(map(self._declared, self.columns)),
            designated_timestamp=self.designated_timestamp,
            partition_by=self.partition_by,
            ttl_months=self.ttl_months,
            wal=self.wal,
            max_uncommitted_rows=self.max_uncommitted_rows,
            o3_max_lag_ms=self.o3_max_lag_ms,
            dedup_keys=self.dedup_keys,
        )


def check_distinct(tables: Iterable[Table]) -> tuple[Table, ...]:
    """Return `tables` as a tuple; raises DeclarationError when QuestDB takes two names for one."""
    result = tuple(tables)
    seen: dict[str, str] = {}
    for table in result:
        key = table.name.lower()
        if key in seen:
            raise DeclarationError(f"The tables {seen[key]} and {table.name} are one for QuestDB.")
        seen[key] = table.name
    return result
