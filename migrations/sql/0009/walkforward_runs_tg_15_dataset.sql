CREATE OR REPLACE TRIGGER tg_15_dataset
BEFORE UPDATE OF dataset_id ON walkforward_runs
FOR EACH ROW
WHEN (OLD.dataset_id <> NEW.dataset_id AND NOT OLD.is_placeholder)
EXECUTE FUNCTION stage1_refuse_move();
