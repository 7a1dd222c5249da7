-- A slug for a dataset whose writer named none: from its measurements, else symbol_granularity,
-- else its id; where another dataset has it, with the first 8 digits of the id behind it. What a
-- placeholder has is free, but for another placeholder: it gives way.
CREATE OR REPLACE FUNCTION stage1_free_slug(id uuid, facts jsonb, for_placeholder boolean)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT candidate.slug
      FROM (SELECT coalesce(
                nullif(regexp_replace(stage1_slug(coalesce(
                           facts ->> 'indicator_measurement', facts ->> 'ohlcv_measurement')),
                       '^(ohlcv|indicators)_|_(ohlcv|ind)$', ''), ''),
                nullif(stage1_slug(concat_ws('_', facts ->> 'symbol', facts ->> 'granularity')), ''),
                stage1_slug(id::text)) AS slug) base,
           LATERAL (VALUES
                (1, base.slug),
                (2, stage1_suffixed_slug(base.slug, id)),
                (3, stage1_slug(id::text))) AS candidate(rank, slug)
     WHERE length(candidate.slug) <= 116
       AND NOT EXISTS (SELECT FROM datasets taken
                        WHERE taken.dataset_slug = candidate.slug AND taken.dataset_id <> id
                          AND (for_placeholder OR NOT taken.is_placeholder))
     ORDER BY candidate.rank
     LIMIT 1
$$;
