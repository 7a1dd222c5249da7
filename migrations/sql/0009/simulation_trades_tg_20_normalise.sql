CREATE OR REPLACE TRIGGER tg_20_normalise
BEFORE INSERT OR UPDATE ON simulation_trades
FOR EACH ROW
WHEN (NEW.bar_timestamp >= '5138-11-16 09:46:40+00' OR NEW.exit_timestamp >= '5138-11-16 09:46:40+00' OR NEW.side NOT IN ('long', 'short'))
EXECUTE FUNCTION stage1_normalise_trade();
