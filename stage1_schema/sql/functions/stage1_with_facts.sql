-- A dataset whose columns and manifest say what `facts` say; see stage1_manifest_facts.
CREATE OR REPLACE FUNCTION stage1_with_facts(dataset datasets, facts jsonb)
RETURNS datasets
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    dataset.dataset_slug := facts ->> 'dataset_slug';
    dataset.symbol := facts ->> 'symbol';
    dataset.granularity := facts ->> 'granularity';
    dataset.source := facts ->> 'source';
    dataset.ohlcv_measurement := facts ->> 'ohlcv_measurement';
    dataset.indicator_measurement := facts ->> 'indicator_measurement';
    dataset.bar_interval_ms := facts ->> 'bar_interval_ms';
    dataset.lookback_rows := facts ->> 'lookback_rows';
    dataset.ohlcv_row_count := facts ->> 'ohlcv_rows';
    dataset.indicator_row_count := facts ->> 'indicator_rows';
    dataset.first_ohlcv_ts := facts ->> 'first_ohlcv_timestamp_ms';
    dataset.first_indicator_ts := facts ->> 'first_indicator_timestamp_ms';
    dataset.ohlcv_first_ts := stage1_time_of_ms(facts -> 'first_ohlcv_timestamp_ms');
    dataset.ohlcv_last_ts := stage1_time_of_ms(facts -> 'last_ohlcv_timestamp_ms');
    dataset.indicator_first_ts := stage1_time_of_ms(facts -> 'first_indicator_timestamp_ms');
    dataset.indicator_last_ts := stage1_time_of_ms(facts -> 'last_indicator_timestamp_ms');
    dataset.metadata := dataset.metadata || facts
        || jsonb_build_object('dataset_id', dataset.dataset_id);
    RETURN dataset;
END
$$;
