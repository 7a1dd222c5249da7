-- Folds whose times end before they start, lie before March 1973 (another unit than ms) or more than 100 days ahead.
SELECT format('%s/%s', f.run_id, f.fold_number) AS id,
       format('%s from %s to %s ms', span.what, span.first, span.past) AS detail
  FROM walkforward_folds f
 CROSS JOIN LATERAL (VALUES
       ('train', f.train_start_ts_ms, f.train_end_ts_ms),
       ('test', f.test_start_ts_ms, f.test_end_ts_ms)) AS span (what, first, past)
 -- 0 and below are "unknown". 100 days: the end of a range can be that of a bar still open.
 WHERE span.past > 0 AND span.past < span.first
    OR span.first BETWEEN 1 AND 99999999999
    OR span.past BETWEEN 1 AND 99999999999
    OR greatest(span.first, span.past) > extract(epoch FROM now() + interval '100 days') * 1000
 ORDER BY f.run_id, f.fold_number, span.what;
