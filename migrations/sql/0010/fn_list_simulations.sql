-- The simulations of a run (of all runs with NULL), newest first.
CREATE OR REPLACE FUNCTION fn_list_simulations(
    p_run_id uuid DEFAULT NULL,
    p_limit integer DEFAULT 50,
    p_offset integer DEFAULT 0,
    p_status text DEFAULT NULL,
    p_measurement text DEFAULT NULL,
    p_after uuid DEFAULT NULL,
    p_dataset_id uuid DEFAULT NULL)
RETURNS TABLE (
    simulation_id uuid,
    run_id uuid,
    dataset_id uuid,
    dataset_slug text,
    ohlcv_measurement text,
    indicator_measurement text,
    prediction_measurement text,
    input_run_measurement text,
    questdb_namespace text,
    mode text,
    config jsonb,
    status text,
    started_at timestamptz,
    completed_at timestamptz,
    summary_metrics jsonb,
    serialized_config text,
    trade_count bigint,
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
        SELECT s.created_at INTO after_created FROM simulation_runs s WHERE s.simulation_id = p_after;
        PERFORM stage1_cursor_gone(p_after::text) WHERE after_created IS NULL;
    END IF;
    -- Planned at each call with the conditions that apply, so that an index orders the page.
    RETURN QUERY EXECUTE 'WITH page AS MATERIALIZED (
            SELECT s.simulation_id, s.created_at FROM simulation_runs s WHERE true'
        || CASE WHEN p_run_id IS NOT NULL THEN ' AND s.run_id = $3' ELSE '' END
        || CASE WHEN p_dataset_id IS NOT NULL THEN ' AND s.dataset_id = $8' ELSE '' END
        || CASE WHEN p_status IS NOT NULL THEN ' AND s.status = $4' ELSE '' END
        || CASE WHEN p_measurement IS NOT NULL
                THEN ' AND $5 IN (s.questdb_namespace, s.input_run_measurement)' ELSE '' END
        || CASE WHEN p_after IS NOT NULL
                THEN ' AND (s.created_at, s.simulation_id) < ($6, $7)' ELSE '' END
        || ' ORDER BY s.created_at DESC, s.simulation_id DESC LIMIT $1 + 1 OFFSET $2)
        SELECT s.simulation_id, s.run_id, s.dataset_id, d.dataset_slug, d.ohlcv_measurement,
               d.indicator_measurement, r.prediction_measurement, s.input_run_measurement,
               s.questdb_namespace, s.mode, s.config, s.status, s.started_at, s.completed_at,
               s.summary_metrics, s.serialized_config,
               (SELECT count(*) FROM simulation_trades t WHERE t.simulation_id = s.simulation_id),
               s.created_at, s.updated_at, (SELECT count(*) FROM page) > $1
          FROM (SELECT page.simulation_id, page.created_at FROM page
                 ORDER BY page.created_at DESC, page.simulation_id DESC LIMIT $1) p
          JOIN simulation_runs s USING (simulation_id)
          JOIN walkforward_runs r ON r.run_id = s.run_id
          JOIN datasets d ON d.dataset_id = s.dataset_id
         ORDER BY p.created_at DESC, p.simulation_id DESC'
    USING stage1_page_size(p_limit), greatest(coalesce(p_offset, 0), 0), p_run_id,
          upper(btrim(p_status)), p_measurement, after_created, p_after, p_dataset_id;
END
$$;
COMMENT ON FUNCTION fn_list_simulations(uuid, integer, integer, text, text, uuid, uuid) IS
'Simulations of a run (NULL: of all), newest first (created_at, then simulation_id).
p_limit: NULL or 0 means 50, clamped to 1..1000. p_offset: NULL or negative means 0. p_after: the
simulation_id that the last page ended with; it costs the same on every page, p_offset does not.
p_measurement finds the namespace or the input. has_more: another page follows.';
