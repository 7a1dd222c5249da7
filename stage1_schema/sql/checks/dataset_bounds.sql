-- Datasets whose last bar or indicator row precedes the first.
SELECT d.dataset_id::text AS id,
       format('%s: %s from %s to %s', d.dataset_slug, span.what, span.first, span.last) AS detail
  FROM datasets d
 CROSS JOIN LATERAL (VALUES
       ('bars', d.ohlcv_first_ts, d.ohlcv_last_ts),
       ('indicators', d.indicator_first_ts, d.indicator_last_ts)) AS span (what, first, last)
 WHERE span.last < span.first
 ORDER BY d.dataset_id, span.what;
