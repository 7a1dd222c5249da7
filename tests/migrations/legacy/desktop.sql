-- Stage 1.3, desktop variant (contract, part 4, shape 1).
CREATE TABLE indicator_datasets (
    dataset_id UUID PRIMARY KEY,
    symbol TEXT NOT NULL,
    granularity TEXT NOT NULL,
    source TEXT,
    questdb_tag TEXT UNIQUE NOT NULL,
    row_count BIGINT DEFAULT 0,
    first_bar_ts TIMESTAMPTZ,
    last_bar_ts TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
CREATE TABLE walkforward_runs (
    run_id UUID PRIMARY KEY,
    dataset_id UUID NOT NULL REFERENCES indicator_datasets(dataset_id) ON DELETE CASCADE,
    prediction_measurement TEXT NOT NULL,
    target_column TEXT,
    feature_columns JSONB,
    hyperparameters JSONB,
    walk_config JSONB,
    status TEXT,
    requested_by TEXT,
    started_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    duration_ms BIGINT,
    summary_metrics JSONB,
    created_at TIMESTAMPTZ DEFAULT NOW()
);
CREATE TABLE walkforward_folds (
    run_id UUID NOT NULL REFERENCES walkforward_runs(run_id) ON DELETE CASCADE,
    fold_number INTEGER NOT NULL,
    train_start_idx BIGINT, train_end_idx BIGINT,
    test_start_idx BIGINT, test_end_idx BIGINT,
    samples_train BIGINT, samples_test BIGINT,
    best_iteration INTEGER, best_score DOUBLE PRECISION,
    thresholds JSONB, metrics JSONB,
    PRIMARY KEY (run_id, fold_number)
);
CREATE TABLE simulation_runs (
    simulation_id UUID PRIMARY KEY,
    run_id UUID NOT NULL REFERENCES walkforward_runs(run_id) ON DELETE CASCADE,
    dataset_id UUID NOT NULL REFERENCES indicator_datasets(dataset_id) ON DELETE CASCADE,
    input_run_measurement TEXT,
    questdb_namespace TEXT UNIQUE,
    mode TEXT,
    config JSONB,
    status TEXT,
    started_at TIMESTAMPTZ, completed_at TIMESTAMPTZ,
    summary_metrics JSONB,
    created_at TIMESTAMPTZ DEFAULT NOW()
);
CREATE TABLE simulation_trades (
    trade_id UUID PRIMARY KEY,
    simulation_id UUID NOT NULL REFERENCES simulation_runs(simulation_id) ON DELETE CASCADE,
    bar_timestamp TIMESTAMPTZ,
    side TEXT, size DOUBLE PRECISION,
    entry_price DOUBLE PRECISION, exit_price DOUBLE PRECISION,
    pnl DOUBLE PRECISION, return_pct DOUBLE PRECISION,
    metadata JSONB
);
CREATE TABLE simulation_trade_buckets (
    simulation_id UUID NOT NULL REFERENCES simulation_runs(simulation_id) ON DELETE CASCADE,
    side TEXT NOT NULL,
    trade_count INTEGER, win_count INTEGER,
    profit_factor DOUBLE PRECISION, avg_return_pct DOUBLE PRECISION,
    max_drawdown_pct DOUBLE PRECISION,
    notes TEXT,
    PRIMARY KEY (simulation_id, side)
);
CREATE INDEX idx_runs_dataset ON walkforward_runs (dataset_id);
CREATE VIEW dataset_hierarchy AS
SELECT d.dataset_id, d.symbol, r.run_id, r.status
  FROM indicator_datasets d LEFT JOIN walkforward_runs r USING (dataset_id);
CREATE FUNCTION fn_list_datasets(lim INTEGER DEFAULT 50, off_set INTEGER DEFAULT 0)
RETURNS SETOF indicator_datasets LANGUAGE sql STABLE AS $$
    SELECT * FROM indicator_datasets ORDER BY created_at DESC LIMIT lim OFFSET off_set
$$;
