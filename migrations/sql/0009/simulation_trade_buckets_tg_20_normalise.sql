CREATE OR REPLACE TRIGGER tg_20_normalise
BEFORE INSERT OR UPDATE ON simulation_trade_buckets
FOR EACH ROW
WHEN (NEW.side NOT IN ('long', 'short', 'dual', 'all'))
EXECUTE FUNCTION stage1_normalise_bucket();
