-- Datasets that begin or end before March 1973 (a time in another unit) or more than 100 days ahead.
SELECT d.dataset_id::text AS id,
       format('%s: %s from %s to %s', d.dataset_slug, span.what, coalesce(span.first::text, 'unknown'),
              coalesce(span.last::text, 'unknown')) AS detail
  FROM datasets d
 CROSS JOIN LATERAL (VALUES
       ('bars', d.ohlcv_first_ts, d.ohlcv_last_ts),
       ('indicators', d.indicator_first_ts, d.indicator_last_ts)) AS span (what, first, last)
 -- 100 days: an exporter can give the end of a bar that is still open.
 WHERE least(span.first, span.last) < '1973-03-03 09:46:40+00'
    OR greatest(span.first, span.last) > now() + interval '100 days'
 ORDER BY d.dataset_id, span.what;
