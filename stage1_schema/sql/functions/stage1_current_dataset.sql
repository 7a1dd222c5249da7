-- The dataset that `id` means: its own row, else the one that its placeholder was merged into, else
-- `id` itself. Waits for a merge that is under way.
CREATE OR REPLACE FUNCTION stage1_current_dataset(id uuid)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    found_id uuid;
BEGIN
    SELECT d.dataset_id INTO found_id FROM datasets d WHERE d.dataset_id = id FOR KEY SHARE;
    IF found_id IS NULL THEN
        SELECT d.dataset_id INTO found_id
          FROM datasets d WHERE d.metadata @> jsonb_build_object(
                   'placeholder_ids', jsonb_build_array(id::text))
         ORDER BY d.dataset_id LIMIT 1;
    END IF;
    RETURN coalesce(found_id, id);
END
$$;
