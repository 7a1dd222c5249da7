-- Placeholders that no real run or simulation has replaced within 7 days.
SELECT id::text AS id, format('%s, since %s', what, created_at) AS detail
  FROM (SELECT run_id AS id,
               'run ' || coalesce(prediction_measurement, 'without a name') AS what, created_at
          FROM walkforward_runs WHERE is_placeholder
         UNION ALL
        -- The import of an older database marks a simulation so.
        SELECT simulation_id, 'simulation', created_at
          FROM simulation_runs WHERE summary_metrics @> '{"legacy": {"placeholder": true}}') held
 WHERE created_at < now() - interval '7 days'
 ORDER BY 1;
