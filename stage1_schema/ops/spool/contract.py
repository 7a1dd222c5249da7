"""What a spool may write: tables, columns, types and keys (contract, part 1).

Nothing else is ever sent to the server, whatever the file says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


LONGEST = 8 << 20
"""Bytes of the longest statement."""


class Kind(Enum):
    """The type of a column; the value is PostgreSQL's name for it."""

    UUID = "uuid"
    TEXT = "text"
    INTEGER = "integer"
    BIGINT = "bigint"
    FLOAT = "double precision"
    TIME = "timestamptz"
    JSON = "jsonb"


class Place(NamedTuple):
    """Where a statement stands: its first byte (from 0) and line (from 1), its length in bytes."""

    position: int
    line: int
    length: int


@dataclass(frozen=True, eq=False)
class Table:
    """A table of the contract. `unit` is the column of the row that it lands together with.

    `fixed` are the columns that no client's ON CONFLICT sets: what the server filled in survives.
    """

    name: str
    columns: Mapping[str, Kind]
    key: tuple[str, ...]
    unit: str
    fixed: tuple[str, ...] = ("created_at",)

    @property
    def staging(self) -> str:
        """The name of its temporary table."""
        return f"spool_{self.name}"


def _columns(text: str) -> dict[str, Kind]:
    """Return the columns of lines such as `uuid run_id dataset_id`."""
    short = {kind.name.lower(): kind for kind in Kind}
    return {
        name: short[words[0]]
        for words in (line.split() for line in text.splitlines() if line.strip())
        for name in words[1:]
    }


INDICATOR_DATASETS = Table(
    "indicator_datasets",
    _columns("""
        uuid dataset_id
        text symbol granularity source questdb_tag
        bigint row_count
        time first_bar_ts last_bar_ts created_at
    """),
    key=("dataset_id",),
    unit="dataset_id",
)
DATASETS = Table(
    "datasets",
    _columns("""
        uuid dataset_id
        text dataset_slug symbol granularity source ohlcv_measurement indicator_measurement
        bigint bar_interval_ms lookback_rows ohlcv_row_count indicator_row_count
        time ohlcv_first_ts ohlcv_last_ts indicator_first_ts indicator_last_ts
        bigint first_ohlcv_ts first_indicator_ts
        json metadata
        time created_at
    """),
    key=("dataset_id",),
    unit="dataset_id",
)
RUNS = Table(
    "walkforward_runs",
    _columns("""
        uuid run_id dataset_id
        text prediction_measurement target_column
        json feature_columns hyperparameters walk_config
        text status requested_by
        time started_at completed_at
        bigint duration_ms
        json summary_metrics
        time created_at
        text serialized_config
    """),
    key=("run_id",),
    unit="run_id",
    fixed=("dataset_id", "target_column", "created_at"),
)
FOLDS = Table(
    "walkforward_folds",
    _columns("""
        uuid run_id
        integer fold_number
        bigint train_start_idx train_end_idx test_start_idx test_end_idx
        bigint train_start_ts_ms train_end_ts_ms test_start_ts_ms test_end_ts_ms
        bigint samples_train samples_test best_iteration
        float best_score
        json thresholds metrics
    """),
    key=("run_id", "fold_number"),
    unit="run_id",
    fixed=("train_start_ts_ms", "train_end_ts_ms", "test_start_ts_ms", "test_end_ts_ms"),
)
SIMULATIONS = Table(
    "simulation_runs",
    _columns("""
        uuid simulation_id run_id dataset_id
        text input_run_measurement questdb_namespace mode
        json config
        text status
        time started_at completed_at
        json summary_metrics
        time created_at
        text serialized_config
    """),
    key=("simulation_id",),
    unit="simulation_id",
    fixed=("run_id", "dataset_id", "input_run_measurement", "created_at"),
)
BUCKETS = Table(
    "simulation_trade_buckets",
    _columns("""
        uuid simulation_id
        text side
        bigint trade_count win_count
        float profit_factor avg_return_pct max_drawdown_pct
        text notes
    """),
    key=("simulation_id", "side"),
    unit="simulation_id",
)
TRADES = Table(
    "simulation_trades",
    _columns("""
        uuid trade_id simulation_id
        time bar_timestamp
        text side
        float size entry_price exit_price pnl return_pct
        json metadata
    """),
    key=("trade_id",),
    unit="simulation_id",
    fixed=("simulation_id",),
)

DATASET_TABLES = (INDICATOR_DATASETS, DATASETS)
STAGED_TABLES = (RUNS, FOLDS, SIMULATIONS, BUCKETS, TRADES)
TABLES = {table.name: table for table in (*DATASET_TABLES, *STAGED_TABLES)}

UPSERT_DATASET = "upsert_stage1_dataset"
UPSERT_DATASET_KINDS = (
    Kind.UUID,
    *(Kind.TEXT,) * 6,
    *(Kind.BIGINT,) * 2,
    *(Kind.TIME,) * 4,
    Kind.JSON,
)
"""The 14 arguments of generation B's call."""


@dataclass(frozen=True)
class Shape:
    """What a statement writes, apart from its values.

    `updates` are the columns that ON CONFLICT sets; it is empty for DO NOTHING. `plain` is an
    INSERT without ON CONFLICT. The call of generation B has no columns.
    """

    target: str
    columns: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    plain: bool = False

    @property
    def table(self) -> Table | None:
        """The table it writes; None for the call of generation B."""
        return TABLES.get(self.target)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The types of its values, in order."""
        if (table := self.table) is None:
            return UPSERT_DATASET_KINDS
        return tuple(table.columns[column] for column in self.columns)
