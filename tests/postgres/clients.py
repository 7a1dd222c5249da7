"""Statements as the clients of each generation send them (contract, part 1), text and all.

A row is a dict of Python values; `quoted` writes them as the C++ writers do: UUIDs and text in
quotes, times as TO_TIMESTAMP(<integer>), JSON as '…'::jsonb, floats as %.6f.
"""

import json
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class At:
    """A time as an integer that goes through TO_TIMESTAMP."""

    number: int


class Uncast(dict):
    """JSON that the writer sends as a plain string literal."""


def quoted(value):
    if isinstance(value, At):
        return f"TO_TIMESTAMP({value.number})"
    if isinstance(value, (dict, list)):
        text = quoted(json.dumps(value))
        return text if isinstance(value, Uncast) else f"{text}::jsonb"
    if isinstance(value, (str, UUID)):
        return "'" + str(value).replace("'", "''") + "'"
    if isinstance(value, float):
        return f"{value:.6f}"
    return "NULL" if value is None else str(value)


def insert(table, row, key, *kept):
    """INSERT … ON CONFLICT (key) DO UPDATE of every column but the key and `kept`."""
    names = key.split(", ")
    updates = [name for name in row if name not in (*names, *kept)]
    return (
        f"INSERT INTO {table} ({', '.join(row)}) "
        f"VALUES ({', '.join(map(quoted, row.values()))}) "
        f"ON CONFLICT ({key}) DO UPDATE SET "
        + ", ".join(f"{name} = EXCLUDED.{name}" for name in updates)
    )


def pick(row, names):
    return {name: row[name] for name in names.split()}


A_DATASET = "dataset_id symbol granularity source questdb_tag row_count first_bar_ts last_bar_ts"
A_RUN = (
    "run_id dataset_id prediction_measurement target_column feature_columns hyperparameters"
    " walk_config status requested_by started_at completed_at duration_ms summary_metrics"
    " created_at"
)
FOLD_RANGE = "run_id fold_number train_start_idx train_end_idx test_start_idx test_end_idx"
A_FOLD = f"{FOLD_RANGE} samples_train samples_test best_iteration best_score thresholds metrics"
C_DATASET = (
    "dataset_id dataset_slug symbol granularity bar_interval_ms lookback_rows first_ohlcv_ts"
    " first_indicator_ts metadata created_at"
)
C_RUN = (
    "run_id dataset_id status feature_columns target_column hyperparameters walk_config"
    " summary_metrics started_at completed_at created_at"
)
C_TIMES = "train_start_ts_ms train_end_ts_ms test_start_ts_ms test_end_ts_ms"
C_FOLD = f"{FOLD_RANGE} {C_TIMES} samples_train samples_test metrics thresholds"
SIMULATION = (
    "simulation_id run_id dataset_id input_run_measurement questdb_namespace mode config status"
    " started_at completed_at summary_metrics created_at"
)
BUCKET = (
    "simulation_id side trade_count win_count profit_factor avg_return_pct max_drawdown_pct notes"
)
TRADE = (
    "trade_id simulation_id bar_timestamp side size entry_price exit_price pnl return_pct metadata"
)
B_ARGUMENTS = (
    "dataset_id dataset_slug symbol granularity source ohlcv_measurement indicator_measurement"
    " ohlcv_rows indicator_rows ohlcv_first ohlcv_last indicator_first indicator_last metadata"
)


def a_dataset(row):
    return insert(
        "indicator_datasets", pick(row, A_DATASET + " created_at"), "dataset_id", "created_at"
    )


def a_dataset_or_nothing(row):
    values = pick(row, A_DATASET)
    return (
        f"INSERT INTO indicator_datasets ({', '.join(values)}) "
        f"VALUES ({', '.join(map(quoted, values.values()))}) ON CONFLICT (dataset_id) DO NOTHING"
    )


def a_run(row):
    kept = ("dataset_id", "target_column", "created_at")
    return insert("walkforward_runs", pick(row, A_RUN), "run_id", *kept)


def a_fold(row):
    return insert("walkforward_folds", pick(row, A_FOLD), "run_id, fold_number")


def b_call(row):
    values = pick(row, B_ARGUMENTS).values()
    return f"SELECT upsert_stage1_dataset({', '.join(map(quoted, values))})"


def c_dataset(row):
    return insert("datasets", pick(row, C_DATASET), "dataset_id", "created_at")


def c_run(row):
    kept = ("dataset_id", "target_column", "created_at")
    return insert("walkforward_runs", pick(row, C_RUN), "run_id", *kept)


def c_fold(row):
    row = row | dict.fromkeys(C_TIMES.split())
    return insert("walkforward_folds", pick(row, C_FOLD), "run_id, fold_number", *C_TIMES.split())


def simulation(row):
    kept = ("run_id", "dataset_id", "input_run_measurement", "created_at")
    return insert("simulation_runs", pick(row, SIMULATION), "simulation_id", *kept)


def bucket(row):
    return insert("simulation_trade_buckets", pick(row, BUCKET), "simulation_id, side")


def trade(row):
    return insert("simulation_trades", pick(row, TRADE), "trade_id", "simulation_id")
