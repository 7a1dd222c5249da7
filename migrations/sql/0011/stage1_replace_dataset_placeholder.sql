-- Puts a real dataset in the place of its placeholder. The INSERT ends here: an UPDATE followed by
-- ON CONFLICT DO UPDATE would be refused, and DO NOTHING would lose the row.
CREATE OR REPLACE FUNCTION stage1_replace_dataset_placeholder()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    UPDATE datasets SET
        dataset_slug = NEW.dataset_slug, symbol = NEW.symbol, granularity = NEW.granularity,
        source = NEW.source, bar_interval_ms = NEW.bar_interval_ms,
        lookback_rows = NEW.lookback_rows, ohlcv_measurement = NEW.ohlcv_measurement,
        indicator_measurement = NEW.indicator_measurement,
        ohlcv_row_count = NEW.ohlcv_row_count, indicator_row_count = NEW.indicator_row_count,
        ohlcv_first_ts = NEW.ohlcv_first_ts, ohlcv_last_ts = NEW.ohlcv_last_ts,
        indicator_first_ts = NEW.indicator_first_ts, indicator_last_ts = NEW.indicator_last_ts,
        first_ohlcv_ts = NEW.first_ohlcv_ts, first_indicator_ts = NEW.first_indicator_ts,
        metadata = NEW.metadata, is_placeholder = false, created_at = NEW.created_at
     WHERE dataset_id = NEW.dataset_id AND is_placeholder;
    RETURN CASE WHEN FOUND THEN NULL ELSE NEW END;
END
$$;
