CREATE OR REPLACE TRIGGER tg_25_own_config
BEFORE UPDATE OF serialized_config ON simulation_runs
FOR EACH ROW
WHEN (NEW.serialized_config IS NOT NULL)
EXECUTE FUNCTION stage1_own_config();
