-- Stands in for a dataset that was never recorded, so that its runs can be. Changes nothing where
-- the dataset is there; gives way to the real row when that arrives. Returns the id of the dataset:
-- another one where a placeholder of this id was merged into it.
CREATE OR REPLACE FUNCTION ensure_dataset_placeholder(
    p_dataset_id uuid, p_slug text DEFAULT NULL, p_symbol text DEFAULT NULL)
RETURNS uuid
LANGUAGE sql
SET search_path = pg_catalog, public, pg_temp
AS $$
    INSERT INTO datasets (dataset_id, dataset_slug, symbol, is_placeholder)
    VALUES (p_dataset_id, p_slug, p_symbol, true)
    ON CONFLICT (dataset_id) DO NOTHING;
    SELECT stage1_current_dataset(p_dataset_id)
$$;
