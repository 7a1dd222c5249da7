-- Fills walkforward_runs.serialized_config until a client writes its own text.
CREATE OR REPLACE FUNCTION stage1_run_serialized_config()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.serialized_config_generated := NEW.serialized_config IS NULL;
    ELSIF NEW.serialized_config IS DISTINCT FROM OLD.serialized_config THEN
        NEW.serialized_config_generated := NEW.serialized_config IS NULL;
    ELSE
        NEW.serialized_config_generated := OLD.serialized_config_generated
            OR NEW.serialized_config IS NULL;
    END IF;
    IF NEW.serialized_config_generated THEN
        NEW.serialized_config := stage1_config_text(
            jsonb_strip_nulls(jsonb_build_object(
                'run_id', NEW.run_id,
                'dataset_id', NEW.dataset_id,
                'prediction_measurement', NEW.prediction_measurement)),
            jsonb_strip_nulls(jsonb_build_object(
                'feature_columns', NEW.feature_columns,
                'target_column', NEW.target_column)),
            NEW.walk_config, NEW.hyperparameters, NULL);
    END IF;
    RETURN NEW;
END
$$;
