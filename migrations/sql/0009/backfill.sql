-- A name that another run of the dataset has, or that several could take, is left for people.
UPDATE walkforward_runs r SET prediction_measurement = r.walk_config ->> 'prediction_measurement'
 WHERE coalesce(r.prediction_measurement, '') = ''
   AND r.walk_config ->> 'prediction_measurement' <> ''
   AND NOT EXISTS (
       SELECT FROM walkforward_runs other
        WHERE other.dataset_id = r.dataset_id AND other.run_id <> r.run_id
          AND r.walk_config ->> 'prediction_measurement' = coalesce(
              nullif(other.prediction_measurement, ''),
              other.walk_config ->> 'prediction_measurement'));
UPDATE walkforward_runs SET status = status
 WHERE prediction_measurement = '' OR status = ''
    OR greatest(started_at, completed_at, created_at) >= '5138-11-16 09:46:40+00';
UPDATE walkforward_folds SET metrics = metrics
 WHERE (best_iteration IS NULL AND metrics ? 'best_iteration')
    OR (best_score IS NULL AND metrics ? 'best_score');
UPDATE simulation_runs SET status = status
 WHERE questdb_namespace = '' OR status <> upper(btrim(status)) OR status = ''
    OR greatest(started_at, completed_at, created_at) >= '5138-11-16 09:46:40+00';
UPDATE simulation_trades SET side = side
 WHERE greatest(bar_timestamp, exit_timestamp) >= '5138-11-16 09:46:40+00';
UPDATE stage1_jobs SET status = status
 WHERE completed_at IS NULL AND status IN ('COMPLETED', 'FAILED', 'CANCELLED');
