-- The datasets, the most recently changed first.
CREATE OR REPLACE FUNCTION fn_list_datasets(
    p_limit integer DEFAULT 50,
    p_offset integer DEFAULT 0,
    p_symbol text DEFAULT NULL,
    p_measurement text DEFAULT NULL,
    p_after uuid DEFAULT NULL,
    p_after_updated_at timestamptz DEFAULT NULL)
RETURNS TABLE (
    dataset_id uuid,
    dataset_slug text,
    symbol text,
    granularity text,
    source text,
    bar_interval_ms bigint,
    lookback_rows bigint,
    ohlcv_measurement text,
    indicator_measurement text,
    ohlcv_row_count bigint,
    indicator_row_count bigint,
    ohlcv_first_ts timestamptz,
    ohlcv_last_ts timestamptz,
    indicator_first_ts timestamptz,
    indicator_last_ts timestamptz,
    first_ohlcv_ts bigint,
    first_indicator_ts bigint,
    run_count bigint,
    simulation_count bigint,
    metadata jsonb,
    is_placeholder boolean,
    created_at timestamptz,
    updated_at timestamptz,
    has_more boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    after_updated timestamptz := p_after_updated_at;
BEGIN
    IF p_after IS NOT NULL AND after_updated IS NULL THEN
        SELECT d.updated_at INTO after_updated FROM datasets d WHERE d.dataset_id = p_after;
        PERFORM stage1_cursor_gone(p_after::text) WHERE after_updated IS NULL;
    END IF;
    -- Planned at each call with the conditions that apply, so that the index orders the page.
    RETURN QUERY EXECUTE 'WITH page AS MATERIALIZED (
            SELECT d.dataset_id, d.updated_at FROM datasets d WHERE true'
        || CASE WHEN p_symbol IS NOT NULL THEN ' AND d.symbol = $3' ELSE '' END
        || CASE WHEN p_measurement IS NOT NULL
                THEN ' AND $4 IN (d.ohlcv_measurement, d.indicator_measurement)' ELSE '' END
        || CASE WHEN p_after IS NOT NULL
                THEN ' AND (d.updated_at, d.dataset_id) < ($5, $6)' ELSE '' END
        || ' ORDER BY d.updated_at DESC, d.dataset_id DESC LIMIT $1 + 1 OFFSET $2)
        SELECT c.dataset_id, c.dataset_slug, c.symbol, c.granularity, c.source, c.bar_interval_ms,
               c.lookback_rows, c.ohlcv_measurement, c.indicator_measurement, c.ohlcv_row_count,
               c.indicator_row_count, c.ohlcv_first_ts, c.ohlcv_last_ts, c.indicator_first_ts,
               c.indicator_last_ts, c.first_ohlcv_ts, c.first_indicator_ts, c.run_count,
               c.simulation_count, c.metadata, c.is_placeholder, c.created_at, c.updated_at,
               (SELECT count(*) FROM page) > $1
          FROM (SELECT page.dataset_id, page.updated_at FROM page
                 ORDER BY page.updated_at DESC, page.dataset_id DESC LIMIT $1) p
          JOIN dataset_catalog c ON c.dataset_id = p.dataset_id
         ORDER BY p.updated_at DESC, p.dataset_id DESC'
    USING stage1_page_size(p_limit), greatest(coalesce(p_offset, 0), 0), p_symbol, p_measurement,
          after_updated, p_after;
END
$$;
COMMENT ON FUNCTION fn_list_datasets(integer, integer, text, text, uuid, timestamptz) IS
'Datasets, newest first (updated_at, then dataset_id). p_limit: NULL or 0 means 50,
clamped to 1..1000. p_offset: NULL or negative means 0. p_after: the dataset_id that the last page
ended with; it costs the same on every page, p_offset does not. p_after_updated_at: the updated_at
of that row; with it a dataset that changes between two pages does not move the page.
p_measurement finds either table. has_more: another page follows.';
