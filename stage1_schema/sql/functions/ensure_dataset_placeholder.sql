-- Stands in for a dataset that was never recorded, so that its runs can be. Changes nothing where
-- the dataset stands; gives way to the real row when that arrives. Returns the id.
CREATE OR REPLACE FUNCTION ensure_dataset_placeholder(
    p_dataset_id uuid, p_slug text DEFAULT NULL, p_symbol text DEFAULT NULL)
RETURNS uuid
LANGUAGE sql
SET search_path = pg_catalog, public, pg_temp
AS $$
    INSERT INTO datasets (dataset_id, dataset_slug, symbol, is_placeholder)
    SELECT p_dataset_id,
           CASE WHEN taken.dataset_id IS NULL THEN p_slug
                ELSE stage1_suffixed_slug(taken.dataset_slug, p_dataset_id) END,
           p_symbol, true
      FROM (SELECT stage1_checked_slug(nullif(p_slug, '')) AS slug) wanted
      LEFT JOIN datasets taken
        ON taken.dataset_slug = wanted.slug AND taken.dataset_id <> p_dataset_id
    ON CONFLICT (dataset_id) DO NOTHING;
    SELECT p_dataset_id
$$;
