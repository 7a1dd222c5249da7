-- A name that another run of the dataset has, or that several could take, is left for people.
-- Each of the two is looked up by an index; a dataset may have thousands of runs.
UPDATE walkforward_runs r SET prediction_measurement = r.walk_config ->> 'prediction_measurement'
 WHERE coalesce(r.prediction_measurement, '') = ''
   AND r.walk_config ->> 'prediction_measurement' <> ''
   AND NOT EXISTS (
       SELECT FROM walkforward_runs other
        WHERE other.dataset_id = r.dataset_id
          AND other.prediction_measurement = r.walk_config ->> 'prediction_measurement')
   AND NOT EXISTS (
       SELECT FROM walkforward_runs other
        WHERE other.dataset_id = r.dataset_id AND other.run_id <> r.run_id
          AND coalesce(other.prediction_measurement, '') = ''
          AND other.walk_config ->> 'prediction_measurement'
              = r.walk_config ->> 'prediction_measurement')
   AND /* page */ true;
