CREATE OR REPLACE TRIGGER tg_20_best_on_update
BEFORE UPDATE OF metrics ON walkforward_folds
FOR EACH ROW
WHEN (NEW.metrics IS DISTINCT FROM OLD.metrics OR NEW.best_iteration IS NULL OR NEW.best_score IS NULL)
EXECUTE FUNCTION stage1_fold_best();
