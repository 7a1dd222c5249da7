CREATE OR REPLACE TRIGGER tg_20_best_on_insert
BEFORE INSERT ON walkforward_folds
FOR EACH ROW
WHEN (NEW.metrics IS NOT NULL AND (NEW.best_iteration IS NULL OR NEW.best_score IS NULL))
EXECUTE FUNCTION stage1_fold_best();
