-- The datasets, newest first.
CREATE OR REPLACE FUNCTION fn_list_datasets(
    lim integer DEFAULT 50,
    skip integer DEFAULT 0,
    p_symbol text DEFAULT NULL,
    p_measurement text DEFAULT NULL,
    after uuid DEFAULT NULL)
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
    after_created timestamptz;
BEGIN
    IF after IS NOT NULL THEN
        SELECT d.created_at INTO after_created FROM datasets d WHERE d.dataset_id = after;
        PERFORM stage1_cursor_gone(after::text) WHERE after_created IS NULL;
    END IF;
    -- Planned at each call with the conditions that apply, so that the index orders the page.
    RETURN QUERY EXECUTE 'WITH page AS MATERIALIZED (
            SELECT d.dataset_id, d.created_at FROM datasets d WHERE true'
        || CASE WHEN p_symbol IS NOT NULL THEN ' AND d.symbol = $3' ELSE '' END
        || CASE WHEN p_measurement IS NOT NULL
                THEN ' AND $4 IN (d.ohlcv_measurement, d.indicator_measurement)' ELSE '' END
        || CASE WHEN after IS NOT NULL THEN ' AND (d.created_at, d.dataset_id) < ($5, $6)' ELSE '' END
        || ' ORDER BY d.created_at DESC, d.dataset_id DESC LIMIT $1 + 1 OFFSET $2)
        SELECT c.*, (SELECT count(*) FROM page) > $1
          FROM (SELECT * FROM page ORDER BY created_at DESC, dataset_id DESC LIMIT $1) p
          JOIN dataset_catalog c USING (dataset_id)
         ORDER BY p.created_at DESC, p.dataset_id DESC'
    USING stage1_page_size(lim), greatest(coalesce(skip, 0), 0), p_symbol, p_measurement,
          after_created, after;
END
$$;
COMMENT ON FUNCTION fn_list_datasets(integer, integer, text, text, uuid) IS
'Datasets, newest first (created_at, then dataset_id). lim: NULL or 0 means 50, clamped to 1..1000.
skip: NULL or negative means 0. after: the dataset_id that the last page ended with; it costs the
same on every page, skip does not. p_measurement finds either table. has_more: another page follows.';
