-- The name and columns that generation A of the clients writes and reads. Automatically updatable:
-- ON CONFLICT works through it, which an INSTEAD OF trigger would break.
CREATE OR REPLACE VIEW indicator_datasets AS
SELECT dataset_id,
       symbol,
       granularity,
       source,
       indicator_measurement AS questdb_tag,
       indicator_row_count AS row_count,
       indicator_first_ts AS first_bar_ts,
       indicator_last_ts AS last_bar_ts,
       created_at,
       indicator_measurement AS questdb_measurement,
       dataset_slug,
       metadata,
       updated_at,
       is_placeholder
  FROM datasets;
