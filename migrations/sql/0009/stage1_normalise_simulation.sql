-- Brings a simulation's status, mode and times to one form; '' is "no name"; the dataset of its
-- run stands in where the writer names none, and a merged placeholder's id means its dataset.
CREATE OR REPLACE FUNCTION stage1_normalise_simulation()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    NEW.status := upper(nullif(btrim(NEW.status), ''));
    NEW.mode := lower(nullif(btrim(NEW.mode), ''));
    NEW.started_at := stage1_moment(NEW.started_at);
    NEW.completed_at := stage1_moment(NEW.completed_at);
    NEW.created_at := coalesce(stage1_moment(NEW.created_at), now());
    NEW.questdb_namespace := nullif(NEW.questdb_namespace, '');
    IF NEW.dataset_id IS NULL THEN
        SELECT r.dataset_id INTO NEW.dataset_id
          FROM walkforward_runs r WHERE r.run_id = NEW.run_id;
    ELSIF TG_OP = 'INSERT' OR NEW.dataset_id IS DISTINCT FROM OLD.dataset_id THEN
        NEW.dataset_id := stage1_current_dataset(NEW.dataset_id);
    END IF;
    RETURN NEW;
END
$$;
