-- Finds the dataset of a placeholder that was merged, takes prediction_measurement from walk_config
-- where the writer sends it only there, and brings status and times to one form. '' is "no name", and
-- no name never erases a known one.
CREATE OR REPLACE FUNCTION stage1_normalise_run()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    name text := nullif(NEW.walk_config ->> 'prediction_measurement', '');
BEGIN
    IF TG_OP = 'INSERT' OR NEW.dataset_id IS DISTINCT FROM OLD.dataset_id THEN
        NEW.dataset_id := stage1_current_dataset(NEW.dataset_id);
    END IF;
    NEW.status := upper(nullif(btrim(NEW.status), ''));
    NEW.started_at := stage1_moment(NEW.started_at);
    NEW.completed_at := stage1_moment(NEW.completed_at);
    NEW.created_at := coalesce(stage1_moment(NEW.created_at), now());
    NEW.prediction_measurement := nullif(NEW.prediction_measurement, '');
    IF TG_OP = 'INSERT' OR OLD.is_placeholder AND NOT NEW.is_placeholder THEN
        NEW.prediction_measurement := coalesce(NEW.prediction_measurement, name);
    ELSIF NOT NEW.is_placeholder THEN
        IF NEW.prediction_measurement IS NOT DISTINCT FROM OLD.prediction_measurement
           AND name IS DISTINCT FROM nullif(OLD.walk_config ->> 'prediction_measurement', '') THEN
            NEW.prediction_measurement := name;
        END IF;
        NEW.prediction_measurement :=
            coalesce(NEW.prediction_measurement, OLD.prediction_measurement);
    END IF;
    IF NOT NEW.is_placeholder THEN
        -- A placeholder's name is a guess: it gives way to the run that has the name by right.
        UPDATE walkforward_runs SET prediction_measurement = NULL
         WHERE dataset_id = NEW.dataset_id AND run_id <> NEW.run_id AND is_placeholder
           AND prediction_measurement = NEW.prediction_measurement;
    END IF;
    RETURN NEW;
END
$$;
