-- What a manifest says of its dataset, by the manifest's own keys (contract, part 2): numbers and
-- times as integers (ms UTC), the slug by its rule. What is unknown or unusable is left out.
CREATE OR REPLACE FUNCTION stage1_manifest_facts(manifest jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(fact.key, fact.value)
                    FILTER (WHERE fact.value NOT IN ('null', '""')), '{}')
      FROM (SELECT entry.key, CASE
                WHEN entry.key = 'dataset_slug' THEN to_jsonb(stage1_slug(entry.value #>> '{}'))
                WHEN entry.key IN ('symbol', 'granularity', 'source',
                                   'ohlcv_measurement', 'indicator_measurement')
                THEN to_jsonb(entry.value #>> '{}')
                WHEN entry.key = 'bar_interval_ms'
                THEN to_jsonb(nullif(greatest(stage1_json_integer(entry.value), 0), 0))
                WHEN entry.key IN ('lookback_rows', 'ohlcv_rows', 'indicator_rows')
                THEN to_jsonb(stage1_json_integer(entry.value))
                WHEN entry.key IN ('first_ohlcv_timestamp_ms', 'last_ohlcv_timestamp_ms',
                                   'first_indicator_timestamp_ms', 'last_indicator_timestamp_ms')
                THEN to_jsonb(stage1_epoch_ms(stage1_json_integer(entry.value)))
            END AS value
              FROM jsonb_each(manifest) AS entry) fact
$$;
