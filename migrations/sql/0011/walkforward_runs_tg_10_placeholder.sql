CREATE OR REPLACE TRIGGER tg_10_placeholder
BEFORE INSERT ON walkforward_runs
FOR EACH ROW
WHEN (NOT NEW.is_placeholder)
EXECUTE FUNCTION stage1_replace_run_placeholder();
