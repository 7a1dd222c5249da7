-- Folds with an index range that ends before it starts, or starts below 0.
SELECT format('%s/%s', f.run_id, f.fold_number) AS id,
       format('%s [%s, %s)', span.what, span.first, span.past) AS detail
  FROM walkforward_folds f
 CROSS JOIN LATERAL (VALUES
       ('train', f.train_start_idx, f.train_end_idx),
       ('test', f.test_start_idx, f.test_end_idx)) AS span (what, first, past)
 -- An empty range is one: it can stand for "unknown", at -1 too.
 WHERE span.first > span.past OR span.first < 0 AND span.first < span.past
 ORDER BY f.run_id, f.fold_number, span.what;
