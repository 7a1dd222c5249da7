-- Stands in for a run that was never recorded, so that its simulations can be. Changes nothing
-- where the run stands; gives way to the real row when that arrives. Returns the id.
-- The dataset must stand, as a placeholder if need be.
CREATE OR REPLACE FUNCTION ensure_run_placeholder(
    p_run_id uuid, p_dataset_id uuid, p_measurement text DEFAULT NULL)
RETURNS uuid
LANGUAGE sql
SET search_path = pg_catalog, public, pg_temp
AS $$
    INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement, is_placeholder)
    SELECT p_run_id, p_dataset_id,
           -- The name is a guess, and one that another run has is a wrong one.
           CASE WHEN NOT EXISTS (SELECT FROM walkforward_runs r
                                  WHERE r.dataset_id = stage1_current_dataset(p_dataset_id)
                                    AND r.prediction_measurement = p_measurement)
                THEN p_measurement END,
           true
    ON CONFLICT (run_id) DO NOTHING;
    SELECT p_run_id
$$;
