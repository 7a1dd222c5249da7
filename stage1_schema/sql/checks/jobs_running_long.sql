-- Jobs that have been RUNNING for more than a day without a change: their worker is gone.
SELECT job_id::text AS id,
       format('%s, started %s, last changed %s', job_type, started_at, updated_at) AS detail
  FROM stage1_jobs
 WHERE status = 'RUNNING'
   AND greatest(coalesce(started_at, created_at), updated_at) < now() - interval '1 day'
 ORDER BY 1;
