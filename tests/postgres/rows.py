"""One dataset with its run, fold, simulation, bucket and trade, as each generation knows them."""

from tests.postgres.clients import At, Uncast

DATASET = "0f0e0d0c-0000-4000-8000-000000000001"
RUN = "0f0e0d0c-0000-4000-8000-000000000002"
SIMULATION = "0f0e0d0c-0000-4000-8000-000000000003"
TRADE = "0f0e0d0c-0000-4000-8000-000000000004"
NOBODY = "0f0e0d0c-0000-4000-8000-00000000dead"

FIRST, LAST, IND_FIRST, IND_LAST = 1_735_689_600, 1_738_368_000, 1_735_761_600, 1_738_353_600
"""Seconds: the bounds of both tables."""

MANIFEST = {
    "version": 1,
    "dataset_id": DATASET,
    "dataset_slug": "btc25_4h",
    "symbol": "BTCUSDT",
    "granularity": "4h",
    "source": "binance",
    "ohlcv_measurement": "ohlcv_btc25_4h",
    "indicator_measurement": "indicators_btc25_4h",
    "bar_interval_ms": 14_400_000,
    "lookback_rows": 20,
    "first_ohlcv_timestamp_ms": FIRST * 1000,
    "last_ohlcv_timestamp_ms": LAST * 1000,
    "first_indicator_timestamp_ms": IND_FIRST * 1000,
    "last_indicator_timestamp_ms": IND_LAST * 1000,
    "ohlcv_rows": 187,
    "indicator_rows": 181,
    "exported_at": "2025-02-01T00:00:00Z",
}

A_DATASET = {
    "dataset_id": DATASET,
    "symbol": "BTCUSDT",
    "granularity": "4h",
    "source": "binance",
    "questdb_tag": "indicators_btc25_4h",
    "row_count": 181,
    "first_bar_ts": At(IND_FIRST),
    "last_bar_ts": At(IND_LAST),
    "created_at": At(1_738_400_000),
}
B_DATASET = {
    "dataset_id": DATASET,
    "dataset_slug": "btc25_4h",
    "symbol": "BTCUSDT",
    "granularity": "4h",
    "source": "binance",
    "indicator_measurement": "indicators_btc25_4h",
    "ohlcv_rows": 187,
    "indicator_rows": 181,
    "ohlcv_measurement": "ohlcv_btc25_4h",
    "ohlcv_first": At(FIRST * 1000),  # year 57,000
    "ohlcv_last": At(LAST * 1000),
    "indicator_first": At(IND_FIRST),
    "indicator_last": None,
    "metadata": MANIFEST,
}
C_DATASET = {
    "dataset_id": DATASET,
    "dataset_slug": "btc25_4h",
    "symbol": "BTCUSDT",
    "granularity": "4h",
    "bar_interval_ms": 0,
    "lookback_rows": 20,
    "first_ohlcv_ts": FIRST * 1000,
    "first_indicator_ts": None,
    "metadata": MANIFEST,
    "created_at": At(1_738_400_000),
}

RUN_ROW = {
    "run_id": RUN,
    "dataset_id": DATASET,
    "prediction_measurement": "btc25_4h_wf1738400000",
    "target_column": "close_return_1",
    "feature_columns": ["ema_20", "rsi_14", "it's"],
    "hyperparameters": {"max_depth": 4, "eta": 0.05},
    "walk_config": {"train": 600, "prediction_measurement": "btc25_4h_wf1738400000"},
    "status": "COMPLETED",
    "requested_by": "desktop",
    "started_at": At(1_738_400_100),
    "completed_at": At(1_738_400_200),
    "duration_ms": 100_000,
    "summary_metrics": {"folds": 1, "mean_score": 0.5},
    "created_at": At(1_738_400_050),
}
THRESHOLDS = {f"threshold_{n}": n / 4 for n in range(9)}
METRICS = {"best_iteration": 42, "best_score": 0.625} | {f"metric_{n}": n / 8 for n in range(24)}
FOLD_ROW = {
    "run_id": RUN,
    "fold_number": 0,
    "train_start_idx": 0,
    "train_end_idx": 600,
    "test_start_idx": 600,
    "test_end_idx": 750,
    "samples_train": 580,
    "samples_test": 150,
    "best_iteration": 42,
    "best_score": 0.625,
    "thresholds": THRESHOLDS,
    "metrics": METRICS,
}
SIMULATION_ROW = {
    "simulation_id": SIMULATION,
    "run_id": RUN,
    "dataset_id": DATASET,
    "input_run_measurement": "btc25_4h_wf1738400000",
    "questdb_namespace": "btc_sim1",
    "mode": "dual",
    "config": {"hold": 6, "label": "it's"},
    "status": "COMPLETED",
    "started_at": At(1_738_400_300),
    "completed_at": At(1_738_400_400),
    "summary_metrics": {"trades": 1},
    "created_at": At(1_738_400_300),
}
BUCKET_ROW = {
    "simulation_id": SIMULATION,
    "side": "all",
    "trade_count": 1,
    "win_count": 1,
    "profit_factor": 999.0,
    "avg_return_pct": 1.25,
    "max_drawdown_pct": 0.0,
    "notes": "it's",
}
TRADE_ROW = {
    "trade_id": TRADE,
    "simulation_id": SIMULATION,
    "bar_timestamp": At(1_737_000_000),
    "side": "long",
    "size": 1.0,
    "entry_price": 100.5,
    "exit_price": 101.75,
    "pnl": 1.25,
    "return_pct": 1.243781,
    "metadata": Uncast(exit_reason="it's time"),
}
