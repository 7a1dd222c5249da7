-- Datasets that were never recorded (placeholders), and the runs that refer to one.
SELECT d.dataset_id::text AS id,
       format('dataset %s is a placeholder, since %s', d.dataset_slug, d.created_at) AS detail
  FROM datasets d
 WHERE d.is_placeholder
 UNION ALL
SELECT r.run_id::text, format('run %s: its dataset %s is not recorded',
                              coalesce(r.prediction_measurement, 'without a name'), d.dataset_slug)
  FROM walkforward_runs r JOIN datasets d ON d.dataset_id = r.dataset_id
 WHERE d.is_placeholder
 ORDER BY 1, 2;
