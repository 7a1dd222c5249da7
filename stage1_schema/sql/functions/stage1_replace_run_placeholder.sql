-- Puts a real run in the place of its placeholder; see stage1_replace_dataset_placeholder.
CREATE OR REPLACE FUNCTION stage1_replace_run_placeholder()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    UPDATE walkforward_runs SET
        dataset_id = NEW.dataset_id, prediction_measurement = NEW.prediction_measurement,
        target_column = NEW.target_column, feature_columns = NEW.feature_columns,
        hyperparameters = NEW.hyperparameters, walk_config = NEW.walk_config,
        status = NEW.status, requested_by = NEW.requested_by, started_at = NEW.started_at,
        completed_at = NEW.completed_at, duration_ms = NEW.duration_ms,
        summary_metrics = NEW.summary_metrics, serialized_config = NEW.serialized_config,
        is_placeholder = false, created_at = NEW.created_at
     WHERE run_id = NEW.run_id AND is_placeholder;
    RETURN CASE WHEN FOUND THEN NULL ELSE NEW END;
END
$$;
