-- Folds whose training and test ranges share rows: the model was tested on what it had seen.
SELECT format('%s/%s', run_id, fold_number) AS id,
       format('train [%s, %s), test [%s, %s)', train_start_idx, train_end_idx, test_start_idx,
              test_end_idx) AS detail
  FROM walkforward_folds
 WHERE train_start_idx < train_end_idx AND test_start_idx < test_end_idx
   AND train_start_idx < test_end_idx AND test_start_idx < train_end_idx
 ORDER BY run_id, fold_number;
