-- Keeps a run with its dataset: its predictions and index ranges mean nothing over other bars.
CREATE OR REPLACE FUNCTION stage1_refuse_move()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM datasets d
                    WHERE d.dataset_id = OLD.dataset_id AND d.is_placeholder) THEN
        RAISE EXCEPTION 'run % belongs to dataset % and cannot be moved to dataset %',
                OLD.run_id, OLD.dataset_id, NEW.dataset_id
            USING ERRCODE = 'integrity_constraint_violation',
                  HINT = 'Insert it as another run. Only a run that is a placeholder, or whose'
                         ' dataset is one, can be moved.';
    END IF;
    RETURN NEW;
END
$$;
