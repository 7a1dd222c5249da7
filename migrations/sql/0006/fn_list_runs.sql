-- The runs of a dataset (of all datasets with NULL), newest first.
-- `lim` is clamped to 1..1000, NULL means 50; `after` is the run_id that the last page ended with.
CREATE OR REPLACE FUNCTION fn_list_runs(
    p_dataset_id uuid,
    lim integer DEFAULT 50,
    skip integer DEFAULT 0,
    p_status text DEFAULT NULL,
    p_measurement text DEFAULT NULL,
    after uuid DEFAULT NULL)
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
    updated_at timestamptz)
LANGUAGE sql STABLE
SET search_path = public, pg_catalog, pg_temp
AS $$
    SELECT r.run_id, r.dataset_id, d.dataset_slug, d.ohlcv_measurement, d.indicator_measurement,
           r.prediction_measurement, r.target_column, r.feature_columns, r.hyperparameters,
           r.walk_config, r.status, r.requested_by, r.started_at, r.completed_at, r.duration_ms,
           r.summary_metrics, r.serialized_config, r.is_placeholder,
           (SELECT count(*) FROM walkforward_folds f WHERE f.run_id = r.run_id),
           r.created_at, r.updated_at
      FROM walkforward_runs r
      JOIN datasets d ON d.dataset_id = r.dataset_id
     WHERE (p_dataset_id IS NULL OR r.dataset_id = p_dataset_id)
       AND (p_status IS NULL OR r.status = p_status)
       AND (p_measurement IS NULL OR r.prediction_measurement = p_measurement)
       AND (after IS NULL OR (r.created_at, r.run_id) <
            (SELECT a.created_at, a.run_id FROM walkforward_runs a WHERE a.run_id = after))
     ORDER BY r.created_at DESC, r.run_id DESC
     LIMIT least(greatest(coalesce(lim, 50), 1), 1000)
    OFFSET greatest(coalesce(skip, 0), 0)
$$;
