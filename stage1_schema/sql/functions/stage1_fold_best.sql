-- Takes best_iteration and best_score from the metrics where the writer sends them only there.
CREATE OR REPLACE FUNCTION stage1_fold_best()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = public, pg_catalog, pg_temp
AS $$
DECLARE
    iteration bigint := stage1_json_integer(NEW.metrics -> 'best_iteration');
    score double precision := stage1_json_number(NEW.metrics -> 'best_score');
BEGIN
    -- On UPDATE a column that did not change was not written, so it follows the metrics.
    IF NEW.best_iteration IS NULL
       OR TG_OP = 'UPDATE' AND NEW.best_iteration = OLD.best_iteration THEN
        NEW.best_iteration := coalesce(iteration, NEW.best_iteration);
    END IF;
    IF NEW.best_score IS NULL OR TG_OP = 'UPDATE' AND NEW.best_score = OLD.best_score THEN
        NEW.best_score := coalesce(score, NEW.best_score);
    END IF;
    RETURN NEW;
END
$$;
