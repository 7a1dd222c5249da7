-- Folds with more samples than their index range has rows: a range may have been stored with its end included.
SELECT format('%s/%s', f.run_id, f.fold_number) AS id,
       format('%s [%s, %s) with %s samples', span.what, span.first, span.past, span.samples)
           AS detail
  FROM walkforward_folds f
 CROSS JOIN LATERAL (VALUES
       ('train', f.train_start_idx, f.train_end_idx, f.samples_train),
       ('test', f.test_start_idx, f.test_end_idx, f.samples_test))
       AS span (what, first, past, samples)
 -- Fewer samples than rows are usual.
 WHERE span.first < span.past AND span.samples > span.past - span.first
 ORDER BY f.run_id, f.fold_number, span.what;
