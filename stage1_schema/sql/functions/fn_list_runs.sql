-- The runs of a dataset (of all datasets with NULL), newest first.
CREATE OR REPLACE FUNCTION fn_list_runs(
    p_dataset_id uuid DEFAULT NULL,
    p_limit integer DEFAULT 50,
    p_offset integer DEFAULT 0,
    p_status text DEFAULT NULL,
    p_measurement text DEFAULT NULL,
    p_after uuid DEFAULT NULL)
RETURNS TABLE (
    run_id uuid,
    dataset_id uuid,
    dataset_slug text,
    ohlcv_measurement text,
    indicator_measurement text,
    prediction_measurement text,
    target_column text,
    feature_columns jsonb,
    hyperparameters jsonb,
    walk_config jsonb,
    status text,
    requested_by text,
    started_at timestamptz,
    completed_at timestamptz,
    duration_ms bigint,
    summary_metrics jsonb,
    serialized_config text,
    is_placeholder boolean,
    fold_count bigint,
    created_at timestamptz,
    updated_at timestamptz,
    has_more boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    after_created timestamptz;
BEGIN
    IF p_after IS NOT NULL THEN
        SELECT r.created_at INTO after_created FROM walkforward_runs r WHERE r.run_id = p_after;
        PERFORM stage1_cursor_gone(p_after::text) WHERE after_created IS NULL;
    END IF;
    -- Planned at each call with the conditions that apply, so that an index orders the page.
    RETURN QUERY EXECUTE 'WITH page AS MATERIALIZED (
            SELECT r.run_id, r.created_at FROM walkforward_runs r WHERE true'
        || CASE WHEN p_dataset_id IS NOT NULL THEN ' AND r.dataset_id = $3' ELSE '' END
        || CASE WHEN p_status IS NOT NULL THEN ' AND r.status = $4' ELSE '' END
        || CASE WHEN p_measurement IS NOT NULL
                THEN ' AND r.prediction_measurement = $5' ELSE '' END
        || CASE WHEN p_after IS NOT NULL THEN ' AND (r.created_at, r.run_id) < ($6, $7)' ELSE '' END
        || ' ORDER BY r.created_at DESC, r.run_id DESC LIMIT $1 + 1 OFFSET $2)
        SELECT r.run_id, r.dataset_id, d.dataset_slug, d.ohlcv_measurement,
               d.indicator_measurement, r.prediction_measurement, r.target_column,
               r.feature_columns, r.hyperparameters, r.walk_config, r.status, r.requested_by,
               r.started_at, r.completed_at, r.duration_ms, r.summary_metrics,
               r.serialized_config, r.is_placeholder,
               (SELECT count(*) FROM walkforward_folds f WHERE f.run_id = r.run_id),
               r.created_at, r.updated_at, (SELECT count(*) FROM page) > $1
          FROM (SELECT page.run_id, page.created_at FROM page
                 ORDER BY page.created_at DESC, page.run_id DESC LIMIT $1) p
          JOIN walkforward_runs r USING (run_id)
          JOIN datasets d ON d.dataset_id = r.dataset_id
         ORDER BY p.created_at DESC, p.run_id DESC'
    USING stage1_page_size(p_limit), greatest(coalesce(p_offset, 0), 0), p_dataset_id,
          upper(btrim(p_status)), p_measurement, after_created, p_after;
END
$$;
COMMENT ON FUNCTION fn_list_runs(uuid, integer, integer, text, text, uuid) IS
'Runs of a dataset (NULL: of all), newest first (created_at, then run_id). p_limit: NULL or 0 means
50, clamped to 1..1000. p_offset: NULL or negative means 0. p_after: the run_id that the last page
ended with; it costs the same on every page, p_offset does not. has_more: another page follows.';
