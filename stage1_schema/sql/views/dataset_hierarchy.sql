-- Every dataset with its runs and their simulations; one without any still shows. `status` and
-- `created_at` are those of the deepest level of the row: simulation, else run, else dataset (which
-- has no status).
CREATE OR REPLACE VIEW dataset_hierarchy AS
SELECT d.dataset_id,
       d.dataset_slug,
       d.symbol,
       d.granularity,
       d.source,
       d.ohlcv_measurement,
       d.indicator_measurement,
       d.is_placeholder AS dataset_is_placeholder,
       d.created_at AS dataset_created_at,
       r.run_id,
       r.prediction_measurement,
       r.target_column,
       r.status AS run_status,
       r.is_placeholder AS run_is_placeholder,
       r.started_at AS run_started_at,
       r.completed_at AS run_completed_at,
       r.created_at AS run_created_at,
       s.simulation_id,
       s.questdb_namespace,
       s.input_run_measurement,
       s.mode AS simulation_mode,
       s.status AS simulation_status,
       s.started_at AS simulation_started_at,
       s.completed_at AS simulation_completed_at,
       s.created_at AS simulation_created_at,
       r.serialized_config,
       CASE WHEN s.simulation_id IS NOT NULL THEN s.status ELSE r.status END AS status,
       coalesce(s.created_at, r.created_at, d.created_at) AS created_at
  FROM datasets d
  LEFT JOIN walkforward_runs r ON r.dataset_id = d.dataset_id
  LEFT JOIN simulation_runs s ON s.run_id = r.run_id;
