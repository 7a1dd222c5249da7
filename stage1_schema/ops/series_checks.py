"""What `validation` looks for in QuestDB, against what PostgreSQL records of its tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from questdb_ddl import quote
from questdb_ddl.tables import INDICATOR_BARS, SHARED_TABLES
from questdb_ddl.time_units import suspects
from stage1_schema.ops import owned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Connection

    from questdb_ddl import Client, LiveTable, Table

_DATASETS = text("""
SELECT dataset_slug, ohlcv_measurement, indicator_measurement, metadata,
       ohlcv_row_count, indicator_row_count
  FROM datasets WHERE NOT is_placeholder ORDER BY dataset_slug
""")


@dataclass(frozen=True)
class Recorded:
    """A table that a dataset names, and its rows where the dataset says how many."""

    dataset: str
    table: str
    rows: int | None

    @property
    def key(self) -> str:
        """The table's name as QuestDB compares it."""
        return self.table.lower()


@dataclass(frozen=True)
class Series:
    """A QuestDB with its tables (rows counted), and what PostgreSQL records and declares."""

    questdb: Client
    live: Mapping[str, LiveTable]
    recorded: tuple[Recorded, ...]
    declared: tuple[Table, ...]


def recorded(connection: Connection) -> Iterator[Recorded]:
    """Yield the tables that datasets record; a canonical name that none records is not among them.

    A run's or a simulation's table can be gone by the retention policy, or never have been.
    """
    for row in connection.execute(_DATASETS):
        bars, indicators = owned.recorded_pair(row)
        if bars:
            yield Recorded(row.dataset_slug, bars, row.ohlcv_row_count)
        if indicators:
            yield Recorded(row.dataset_slug, indicators, row.indicator_row_count)


def _missing_tables(series: Series) -> Iterator[tuple[str, str]]:
    standing = set(series.live)
    bars = series.live.get(INDICATOR_BARS.name)
    if bars and bars.column("dataset"):
        # Rows of a dataset can stand there, under the recorded name as a tag (contract, part 5).
        rows = series.questdb.query(f"select distinct dataset from {quote(bars.name)}")
        standing |= {str(row["dataset"]).lower() for row in rows}
    for each in series.recorded:
        if each.key not in standing and each.rows != 0:
            yield each.table, f"recorded by dataset {each.dataset}"


def _row_counts(series: Series) -> Iterator[tuple[str, str]]:
    claims = Counter(each.key for each in series.recorded)
    claims.update(table.name for table in SHARED_TABLES)
    for each in series.recorded:
        live = series.live.get(each.key)
        # A table of several datasets holds the rows of all.
        if live is None or live.unread or each.rows is None or claims[each.key] > 1:
            continue
        if live.row_count != each.rows:
            told = f"dataset {each.dataset} records {each.rows:,} rows"
            yield live.name, f"{told}, {live.row_count:,} stand"


def _suspended(series: Series) -> Iterator[tuple[str, str]]:
    for name in sorted(series.live):
        if series.live[name].suspended:
            yield series.live[name].name, "what is written to it is not applied"


def _unread(series: Series) -> Iterator[tuple[str, str]]:
    for _, live in sorted(series.live.items()):
        if live.unread:
            yield live.name, live.unread


def _detached(series: Series) -> Iterator[tuple[str, str]]:
    for _, live in sorted(series.live.items()):
        if live.detached:
            yield live.name, f"partitions {', '.join(map(str, live.detached))}"


def _invalid_views(series: Series) -> Iterator[tuple[str, str]]:
    for _, live in sorted(series.live.items()):
        if live.invalid:
            yield live.name, live.invalid


def _times(series: Series) -> Iterator[tuple[str, str]]:
    for table in series.declared:
        live = series.live.get(table.name.lower())
        if live is None or live.unread or not (live.designated_timestamp and live.row_count):
            continue
        if wrong := str(suspects(series.questdb, live)):
            yield live.name, wrong


CHECKS: Mapping[str, tuple[str, Callable[[Series], Iterator[tuple[str, str]]]]] = {
    "questdb_detached": ("Tables with detached partitions, whose rows no query sees.", _detached),
    "questdb_invalid_views": (
        "Materialized views that are no longer refreshed.",
        _invalid_views,
    ),
    "questdb_missing_tables": ("Tables that a dataset records and QuestDB lacks.", _missing_tables),
    "questdb_row_counts": ("Tables with more or fewer rows than their dataset says.", _row_counts),
    "questdb_suspended": ("Tables that stopped applying what is written to them.", _suspended),
    "questdb_unread": ("Tables that cannot be read, and why.", _unread),
    "questdb_times": ("Tables with rows in 1970, ahead of the clock or after 5138.", _times),
}
"""By name: what it finds, and how; a check yields a table's name and what is wrong with it."""
