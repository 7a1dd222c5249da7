-- What an operator inserted by hand for a dataset that was never recorded: its tag is the slug, the
-- rest is made up (contract, part 1).
UPDATE pg_temp.import_datasets
   SET is_placeholder = true, dataset_slug = coalesce(nullif(dataset_slug, ''), indicator_measurement),
       indicator_measurement = NULL, granularity = NULL, indicator_row_count = NULL,
       indicator_first_ts = NULL, indicator_last_ts = NULL
 WHERE granularity = 'unknown' AND indicator_row_count = 0
   AND indicator_first_ts = indicator_last_ts;
-- Parents that were never written down. A fold without its run, and a trade or bucket without its
-- simulation, hang on a run and a dataset of the same id (contract, part 6).
CREATE TEMP TABLE import_missing_simulations ON COMMIT DROP AS
SELECT child.simulation_id
  FROM (SELECT simulation_id FROM pg_temp.import_simulation_trades
         UNION
        SELECT simulation_id FROM pg_temp.import_simulation_trade_buckets) child
 WHERE child.simulation_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM pg_temp.import_simulation_runs s
                    WHERE s.simulation_id = child.simulation_id);
CREATE TEMP TABLE import_missing_runs ON COMMIT DROP AS
SELECT DISTINCT ON (child.run_id) child.run_id, child.dataset_id
  FROM (SELECT run_id, dataset_id, 1 AS rank FROM pg_temp.import_simulation_runs
         UNION ALL
        SELECT run_id, run_id, 2 FROM pg_temp.import_walkforward_folds
         UNION ALL
        SELECT simulation_id, simulation_id, 3 FROM pg_temp.import_missing_simulations) child
 WHERE child.run_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM pg_temp.import_walkforward_runs r WHERE r.run_id = child.run_id)
 ORDER BY child.run_id, child.rank, child.dataset_id;
CREATE TEMP TABLE import_missing_datasets ON COMMIT DROP AS
SELECT child.dataset_id
  FROM (SELECT dataset_id FROM pg_temp.import_walkforward_runs
         UNION
        SELECT dataset_id FROM pg_temp.import_simulation_runs
         UNION
        SELECT dataset_id FROM pg_temp.import_missing_runs
         UNION
        SELECT simulation_id FROM pg_temp.import_missing_simulations) child
 WHERE child.dataset_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM pg_temp.import_datasets d WHERE d.dataset_id = child.dataset_id);
INSERT INTO pg_temp.import_datasets (dataset_id, dataset_slug, is_placeholder)
SELECT dataset_id, 'placeholder_' || left(dataset_id::text, 8), true
  FROM pg_temp.import_missing_datasets;
