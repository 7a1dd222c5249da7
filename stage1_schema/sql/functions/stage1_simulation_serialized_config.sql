-- Fills simulation_runs.serialized_config until a client writes its own text, which stays.
CREATE OR REPLACE FUNCTION stage1_simulation_serialized_config()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.serialized_config IS NULL THEN
        -- NULL is "no text of mine": the client's own stays, the generated one is made anew.
        NEW.serialized_config_generated :=
            NEW.serialized_config_generated OR OLD.serialized_config IS NULL;
        NEW.serialized_config := OLD.serialized_config;
    ELSIF TG_OP = 'INSERT' THEN
        NEW.serialized_config_generated := NEW.serialized_config IS NULL;
        IF NEW.serialized_config IS NULL
           AND EXISTS (SELECT FROM simulation_runs r WHERE r.simulation_id = NEW.simulation_id) THEN
            RETURN NEW;  -- ON CONFLICT goes on with an UPDATE: EXCLUDED must hold no text
        END IF;
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
