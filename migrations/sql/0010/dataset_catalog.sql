-- Every dataset with all its columns, and how many runs and simulations it has.
CREATE OR REPLACE VIEW dataset_catalog AS
SELECT d.dataset_id,
       d.dataset_slug,
       d.symbol,
       d.granularity,
       d.source,
       d.bar_interval_ms,
       d.lookback_rows,
       d.ohlcv_measurement,
       d.indicator_measurement,
       d.ohlcv_row_count,
       d.indicator_row_count,
       d.ohlcv_first_ts,
       d.ohlcv_last_ts,
       d.indicator_first_ts,
       d.indicator_last_ts,
       d.first_ohlcv_ts,
       d.first_indicator_ts,
       (SELECT count(*) FROM walkforward_runs r WHERE r.dataset_id = d.dataset_id) AS run_count,
       (SELECT count(*) FROM simulation_runs s WHERE s.dataset_id = d.dataset_id)
           AS simulation_count,
       d.metadata,
       d.is_placeholder,
       d.created_at,
       d.updated_at
  FROM datasets d;
