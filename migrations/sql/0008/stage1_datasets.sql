-- The name and columns that an ORM reads and writes. Automatically updatable, as indicator_datasets.
CREATE OR REPLACE VIEW stage1_datasets AS
SELECT dataset_id,
       dataset_slug,
       symbol,
       granularity,
       source,
       ohlcv_measurement,
       indicator_measurement,
       ohlcv_row_count,
       indicator_row_count,
       ohlcv_first_ts,
       ohlcv_last_ts,
       indicator_first_ts,
       indicator_last_ts,
       metadata,
       created_at,
       updated_at
  FROM datasets;
