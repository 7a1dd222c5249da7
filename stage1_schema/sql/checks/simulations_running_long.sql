-- Simulations that have been RUNNING for more than 7 days without a change.
SELECT simulation_id::text AS id,
       format('started %s, last changed %s', started_at, updated_at) AS detail
  FROM simulation_runs
 WHERE status = 'RUNNING'
   AND greatest(coalesce(started_at, created_at), updated_at) < now() - interval '7 days'
 ORDER BY 1;
