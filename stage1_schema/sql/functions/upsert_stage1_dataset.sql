-- Registers a dataset or brings it up to date, as generation B of the desktop calls it.
CREATE OR REPLACE FUNCTION upsert_stage1_dataset(
    p_dataset_id uuid,
    p_dataset_slug text,
    p_symbol text,
    p_granularity text,
    p_source text,
    p_ohlcv_measurement text,
    p_indicator_measurement text,
    p_ohlcv_rows bigint,
    p_indicator_rows bigint,
    p_ohlcv_first timestamptz,
    p_ohlcv_last timestamptz,
    p_indicator_first timestamptz,
    p_indicator_last timestamptz,
    p_metadata jsonb)
RETURNS uuid
LANGUAGE sql
SET search_path = pg_catalog, public, pg_temp
AS $$
    INSERT INTO datasets AS d (
        dataset_id, dataset_slug, symbol, granularity, source,
        ohlcv_measurement, indicator_measurement, ohlcv_row_count, indicator_row_count,
        ohlcv_first_ts, ohlcv_last_ts, indicator_first_ts, indicator_last_ts, metadata)
    VALUES (
        p_dataset_id, p_dataset_slug, p_symbol, p_granularity, p_source,
        p_ohlcv_measurement, p_indicator_measurement,
        -- No rows of a table that has no name is "unknown".
        CASE WHEN p_ohlcv_measurement = '' THEN nullif(p_ohlcv_rows, 0) ELSE p_ohlcv_rows END,
        CASE WHEN p_indicator_measurement = '' THEN nullif(p_indicator_rows, 0)
             ELSE p_indicator_rows END,
        p_ohlcv_first, p_ohlcv_last, p_indicator_first, p_indicator_last,
        coalesce(p_metadata, '{}'))
    ON CONFLICT (dataset_id) DO UPDATE SET
        dataset_slug = EXCLUDED.dataset_slug, symbol = EXCLUDED.symbol,
        granularity = EXCLUDED.granularity, source = EXCLUDED.source,
        ohlcv_measurement = EXCLUDED.ohlcv_measurement,
        indicator_measurement = EXCLUDED.indicator_measurement,
        ohlcv_row_count = EXCLUDED.ohlcv_row_count,
        indicator_row_count = EXCLUDED.indicator_row_count,
        ohlcv_first_ts = EXCLUDED.ohlcv_first_ts, ohlcv_last_ts = EXCLUDED.ohlcv_last_ts,
        indicator_first_ts = EXCLUDED.indicator_first_ts,
        indicator_last_ts = EXCLUDED.indicator_last_ts, metadata = EXCLUDED.metadata;
    -- RETURNING would say nothing where a placeholder was replaced.
    SELECT p_dataset_id
$$;
