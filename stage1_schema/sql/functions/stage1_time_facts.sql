-- What a dataset's times say, by the manifest's keys; see stage1_manifest_facts.
CREATE OR REPLACE FUNCTION stage1_time_facts(dataset datasets)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'first_ohlcv_timestamp_ms', stage1_moment_ms(dataset.ohlcv_first_ts),
        'last_ohlcv_timestamp_ms', stage1_moment_ms(dataset.ohlcv_last_ts),
        'first_indicator_timestamp_ms', stage1_moment_ms(dataset.indicator_first_ts),
        'last_indicator_timestamp_ms', stage1_moment_ms(dataset.indicator_last_ts)))
$$;
