CREATE OR REPLACE TRIGGER tg_05_prepare_placeholder
BEFORE INSERT ON datasets
FOR EACH ROW
WHEN (NEW.is_placeholder OR NEW.granularity = 'unknown' AND NEW.indicator_row_count = 0 AND NEW.indicator_first_ts = NEW.indicator_last_ts)
EXECUTE FUNCTION stage1_prepare_placeholder();
