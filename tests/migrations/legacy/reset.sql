-- The reset shape (contract, part 4, shape 3).
CREATE TABLE datasets (
    dataset_id UUID PRIMARY KEY,
    dataset_slug TEXT UNIQUE NOT NULL,
    symbol TEXT, granularity TEXT,
    bar_interval_ms BIGINT, lookback_rows INTEGER,
    first_ohlcv_ts BIGINT, first_indicator_ts BIGINT,
    metadata JSONB DEFAULT '{}'::jsonb,
    created_at TIMESTAMPTZ DEFAULT NOW()
);
CREATE TABLE walkforward_runs (
    run_id UUID PRIMARY KEY,
    dataset_id UUID NOT NULL REFERENCES datasets(dataset_id) ON DELETE CASCADE,
    status TEXT, feature_columns JSONB, target_column TEXT, hyperparameters JSONB, walk_config JSONB,
    summary_metrics JSONB, started_at TIMESTAMPTZ, completed_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ DEFAULT NOW()
);
CREATE TABLE walkforward_folds (
    run_id UUID NOT NULL REFERENCES walkforward_runs(run_id) ON DELETE CASCADE,
    fold_number INTEGER NOT NULL,
    train_start_idx BIGINT, train_end_idx BIGINT, test_start_idx BIGINT, test_end_idx BIGINT,
    train_start_ts_ms BIGINT, train_end_ts_ms BIGINT, test_start_ts_ms BIGINT, test_end_ts_ms BIGINT,
    samples_train INTEGER, samples_test INTEGER,
    metrics JSONB, thresholds JSONB,
    PRIMARY KEY (run_id, fold_number)
);
