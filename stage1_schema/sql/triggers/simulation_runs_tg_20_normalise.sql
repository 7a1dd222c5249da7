CREATE OR REPLACE TRIGGER tg_20_normalise
BEFORE INSERT OR UPDATE ON simulation_runs
FOR EACH ROW
EXECUTE FUNCTION stage1_normalise_simulation();
