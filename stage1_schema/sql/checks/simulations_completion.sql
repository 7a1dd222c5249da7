-- COMPLETED simulations without a completion time, or with one before their start or in the future.
SELECT simulation_id::text AS id,
       format('started %s, completed %s', coalesce(started_at::text, 'never'),
              coalesce(completed_at::text, 'never')) AS detail
  FROM simulation_runs
 WHERE status = 'COMPLETED'
   AND (completed_at IS NULL OR completed_at <= 'epoch' OR completed_at < started_at
        OR completed_at > now() + interval '1 day')
 ORDER BY 1;
