INSERT INTO jobs (job_type, status, progress, total, message, payload, result, worker, started_at)
SELECT 'export', (ARRAY['pending', 'done', 'FAILED', 'cancelled'])[n], n, 10, 'm: 50%', '{"a": 1}',
       CASE n WHEN 2 THEN '[1]'::jsonb END, CASE WHEN n > 1 THEN 'w1' END, '2025-01-01'
  FROM generate_series(1, 4) n;
INSERT INTO stage1_jobs
SELECT md5('job' || n)::uuid, 'train', 'RUNNING', '{"b": 2}', '2025-01-01', CASE n WHEN 1 THEN '2025-01-02'::timestamptz END
  FROM generate_series(1, 2) n;
