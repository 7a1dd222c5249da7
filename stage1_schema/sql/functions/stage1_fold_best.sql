-- Takes best_iteration and best_score from the metrics where the writer sends them only there.
CREATE OR REPLACE FUNCTION stage1_fold_best()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    sent jsonb := NEW.metrics -> 'best_iteration';
    -- The functions also read numbers out of strings; a run has 1,000 folds with real ones.
    iteration bigint := CASE
        WHEN jsonb_typeof(sent) = 'number' AND abs(sent::numeric) < 9223372036854775807
        THEN trunc(sent::numeric)::bigint ELSE stage1_json_integer(sent) END;
    sent_score jsonb := NEW.metrics -> 'best_score';
    score double precision := CASE
        WHEN jsonb_typeof(sent_score) = 'number'
        THEN sent_score::numeric ELSE stage1_json_number(sent_score) END;
    -- A column that did not change while the metrics did was not written, so it follows them.
    follow boolean := TG_OP = 'UPDATE' AND NEW.metrics IS DISTINCT FROM OLD.metrics;
BEGIN
    IF NEW.best_iteration IS NULL OR follow AND NEW.best_iteration = OLD.best_iteration THEN
        NEW.best_iteration := coalesce(iteration, NEW.best_iteration);
    END IF;
    IF NEW.best_score IS NULL OR follow AND NEW.best_score = OLD.best_score THEN
        NEW.best_score := coalesce(score, NEW.best_score);
    END IF;
    RETURN NEW;
END
$$;
