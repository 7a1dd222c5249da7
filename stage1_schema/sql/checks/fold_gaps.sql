-- COMPLETED runs whose folds are not numbered 0, 1, 2 and so on without a gap.
SELECT r.run_id::text AS id,
       format('%s folds, numbered %s to %s', count(*), min(f.fold_number), max(f.fold_number))
           AS detail
  FROM walkforward_runs r
  JOIN walkforward_folds f ON f.run_id = r.run_id
 WHERE coalesce(r.status, 'COMPLETED') = 'COMPLETED'
   -- A client saves a run row by row: one that has only just come may not be whole yet.
   AND r.updated_at < now() - interval '1 hour'
 GROUP BY r.run_id
HAVING min(f.fold_number) <> 0 OR max(f.fold_number) <> count(*) - 1
 ORDER BY 1;
