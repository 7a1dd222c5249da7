CREATE OR REPLACE TRIGGER tg_30_serialized_config
BEFORE INSERT OR UPDATE ON simulation_runs
FOR EACH ROW
EXECUTE FUNCTION stage1_simulation_serialized_config();
