CREATE OR REPLACE TRIGGER tg_30_serialized_config
BEFORE INSERT OR UPDATE ON walkforward_runs
FOR EACH ROW
EXECUTE FUNCTION stage1_run_serialized_config();
