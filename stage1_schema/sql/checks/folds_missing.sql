-- COMPLETED runs with fewer folds than their summary says.
SELECT r.run_id::text AS id,
       format('summary_metrics.folds is %s, %s folds stand', r.summary_metrics ->> 'folds',
              stands.folds) AS detail
  FROM walkforward_runs r
 CROSS JOIN LATERAL (
       SELECT count(*) AS folds FROM walkforward_folds f WHERE f.run_id = r.run_id) stands
 WHERE coalesce(r.status, 'COMPLETED') = 'COMPLETED'
   -- A client saves a run row by row: one that has only just come may not be whole yet.
   AND r.updated_at < now() - interval '1 hour'
   AND CASE WHEN jsonb_typeof(r.summary_metrics -> 'folds') = 'number'
            THEN (r.summary_metrics ->> 'folds')::numeric > stands.folds END
 ORDER BY 1;
