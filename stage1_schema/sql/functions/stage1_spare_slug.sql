-- The slug of a placeholder whose own slug another dataset has: with the first 8 digits of its id
-- behind it, with all 32 where that one is taken too.
CREATE OR REPLACE FUNCTION stage1_spare_slug(slug text, id uuid)
RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT stage1_suffixed_slug(slug, id, digits)
      FROM unnest(ARRAY[8, 32]) AS digits
     WHERE NOT EXISTS (SELECT FROM datasets taken
                        WHERE taken.dataset_slug = stage1_suffixed_slug(slug, id, digits)
                          AND taken.dataset_id <> id)
     ORDER BY digits
     LIMIT 1
$$;
