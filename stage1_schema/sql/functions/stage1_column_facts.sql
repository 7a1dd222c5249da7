-- What a dataset's columns but its times say, by the manifest's keys; see stage1_manifest_facts.
CREATE OR REPLACE FUNCTION stage1_column_facts(dataset datasets)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'dataset_slug', dataset.dataset_slug,
        'symbol', nullif(dataset.symbol, ''),
        'granularity', nullif(dataset.granularity, ''),
        'source', nullif(dataset.source, ''),
        'ohlcv_measurement', nullif(dataset.ohlcv_measurement, ''),
        'indicator_measurement', nullif(dataset.indicator_measurement, ''),
        'bar_interval_ms', nullif(greatest(dataset.bar_interval_ms, 0), 0),
        'lookback_rows', dataset.lookback_rows,
        'ohlcv_rows', dataset.ohlcv_row_count,
        'indicator_rows', dataset.indicator_row_count,
        'first_ohlcv_timestamp_ms', stage1_epoch_ms(dataset.first_ohlcv_ts),
        'first_indicator_timestamp_ms', stage1_epoch_ms(dataset.first_indicator_ts)))
$$;
