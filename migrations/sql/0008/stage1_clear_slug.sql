-- Makes a placeholder of another id give way to the dataset that has the slug by right.
CREATE OR REPLACE FUNCTION stage1_clear_slug(id uuid, slug text)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, public, pg_temp
AS $$
    UPDATE datasets SET dataset_slug = stage1_spare_slug(dataset_slug, dataset_id)
     WHERE dataset_slug = slug AND dataset_id <> id AND is_placeholder
$$;
