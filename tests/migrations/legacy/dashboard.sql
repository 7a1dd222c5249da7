-- Stage 1.3, dashboard variant: what production was provisioned with (contract, part 4, shape 2).
CREATE FUNCTION update_updated_at_column() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = NOW();
    RETURN NEW;
END;
$$;
CREATE TABLE indicator_datasets (
    dataset_id VARCHAR(64) PRIMARY KEY,
    symbol VARCHAR(50) NOT NULL,
    granularity VARCHAR(20) NOT NULL,
    source VARCHAR(100),
    questdb_measurement VARCHAR(255) NOT NULL,
    row_count INTEGER NOT NULL DEFAULT 0,
    first_bar_ts TIMESTAMP,
    last_bar_ts TIMESTAMP,
    column_schema JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE walkforward_runs (
    run_id VARCHAR(64) PRIMARY KEY,
    dataset_id VARCHAR(64) NOT NULL REFERENCES indicator_datasets(dataset_id) ON DELETE CASCADE,
    prediction_measurement VARCHAR(255) NOT NULL,
    target_column VARCHAR(100) NOT NULL,
    feature_columns JSONB NOT NULL,
    hyperparameters JSON,
    walk_config JSONB,
    status VARCHAR(20) NOT NULL CHECK (status IN ('PENDING', 'QUEUED', 'RUNNING', 'COMPLETED', 'FAILED')),
    requested_by VARCHAR(100),
    priority SMALLINT,
    started_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    duration_ms INTEGER,
    summary_metrics JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE walkforward_folds (
    run_id VARCHAR(64) NOT NULL REFERENCES walkforward_runs(run_id) ON DELETE CASCADE,
    fold_number INTEGER NOT NULL,
    train_start_idx INTEGER, train_end_idx INTEGER,
    test_start_idx INTEGER, test_end_idx INTEGER,
    samples_train INTEGER, samples_test INTEGER,
    best_iteration INTEGER, best_score NUMERIC(18, 8),
    thresholds JSONB, metrics JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (run_id, fold_number)
);
CREATE TABLE simulation_runs (
    simulation_id VARCHAR(64) PRIMARY KEY,
    run_id VARCHAR(64) NOT NULL REFERENCES walkforward_runs(run_id) ON DELETE CASCADE,
    dataset_id VARCHAR(64) NOT NULL REFERENCES indicator_datasets(dataset_id) ON DELETE CASCADE,
    input_run_measurement VARCHAR(255) NOT NULL,
    mode VARCHAR(10) NOT NULL CHECK (mode IN ('long', 'short', 'dual')),
    config JSONB,
    status VARCHAR(20) NOT NULL CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED')),
    started_at TIMESTAMPTZ, completed_at TIMESTAMPTZ,
    summary_metrics JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE simulation_trades (
    trade_id VARCHAR(64) PRIMARY KEY,
    simulation_id VARCHAR(64) NOT NULL REFERENCES simulation_runs(simulation_id) ON DELETE CASCADE,
    bar_timestamp BIGINT NOT NULL,
    side VARCHAR(5) NOT NULL CHECK (side IN ('long', 'short')),
    size NUMERIC(18, 8), entry_price NUMERIC(18, 8), exit_price NUMERIC(18, 8),
    pnl NUMERIC(18, 8), return_pct NUMERIC(18, 8),
    metadata TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE simulation_trade_buckets (
    simulation_id VARCHAR(64) NOT NULL REFERENCES simulation_runs(simulation_id) ON DELETE CASCADE,
    side VARCHAR(5) NOT NULL CHECK (side IN ('long', 'short', 'all')),
    trade_count INTEGER, win_count INTEGER,
    profit_factor NUMERIC(18, 8), avg_return_pct NUMERIC(18, 8), max_drawdown_pct NUMERIC(18, 8),
    notes TEXT,
    rank SMALLINT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (simulation_id, side)
);
CREATE TRIGGER update_indicator_datasets_updated_at BEFORE UPDATE ON indicator_datasets
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER update_walkforward_runs_updated_at BEFORE UPDATE ON walkforward_runs
FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE MATERIALIZED VIEW dataset_catalog AS
SELECT d.dataset_id, d.symbol, count(r.run_id) AS run_count
  FROM indicator_datasets d LEFT JOIN walkforward_runs r USING (dataset_id) GROUP BY 1, 2;
CREATE FUNCTION fn_list_runs(p_dataset VARCHAR, lim INTEGER DEFAULT 50)
RETURNS SETOF walkforward_runs LANGUAGE sql STABLE AS $$
    SELECT * FROM walkforward_runs WHERE dataset_id = p_dataset ORDER BY created_at DESC LIMIT lim
$$;
