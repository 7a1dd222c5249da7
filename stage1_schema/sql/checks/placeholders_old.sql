-- Placeholders that no real dataset, run or simulation has replaced within 7 days.
SELECT id::text AS id, format('%s, since %s', what, created_at) AS detail
  FROM (SELECT dataset_id AS id, 'dataset ' || dataset_slug AS what, created_at
          FROM datasets WHERE is_placeholder
         UNION ALL
        SELECT run_id, 'run ' || coalesce(prediction_measurement, 'without a name'), created_at
          FROM walkforward_runs WHERE is_placeholder
         UNION ALL
        -- The import of an older database marks a simulation so.
        SELECT simulation_id, 'simulation', created_at
          FROM simulation_runs WHERE summary_metrics @> '{"legacy": {"placeholder": true}}') held
 WHERE created_at < now() - interval '7 days'
 ORDER BY 1;
