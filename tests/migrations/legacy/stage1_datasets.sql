-- The master table of generation B, beside any other (contract, part 4).
CREATE TABLE stage1_datasets (
    dataset_id UUID PRIMARY KEY,
    dataset_slug TEXT UNIQUE NOT NULL,
    symbol TEXT, granularity TEXT, source TEXT,
    ohlcv_measurement TEXT, indicator_measurement TEXT,
    ohlcv_row_count BIGINT, indicator_row_count BIGINT,
    ohlcv_first_ts TIMESTAMPTZ, ohlcv_last_ts TIMESTAMPTZ,
    indicator_first_ts TIMESTAMPTZ, indicator_last_ts TIMESTAMPTZ,
    metadata JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
CREATE FUNCTION upsert_stage1_dataset(UUID, TEXT) RETURNS VOID LANGUAGE sql AS $$
    INSERT INTO stage1_datasets (dataset_id, dataset_slug) VALUES ($1, $2) ON CONFLICT DO NOTHING
$$;
