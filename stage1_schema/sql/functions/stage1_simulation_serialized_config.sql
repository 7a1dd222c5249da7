-- Fills simulation_runs.serialized_config until a client writes its own text.
CREATE OR REPLACE FUNCTION stage1_simulation_serialized_config()
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
                'simulation_id', NEW.simulation_id,
                'run_id', NEW.run_id,
                'dataset_id', NEW.dataset_id,
                'mode', NEW.mode,
                'input_run_measurement', NEW.input_run_measurement)),
            NULL, NULL, NULL, NEW.config);
    END IF;
    RETURN NEW;
END
$$;
