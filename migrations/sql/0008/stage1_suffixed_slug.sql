-- `slug` with the first 8 digits of `id` behind it, within the 116 characters of a slug.
CREATE OR REPLACE FUNCTION stage1_suffixed_slug(slug text, id uuid)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT rtrim(left(slug, 107), '_') || '_' || left(id::text, 8)
$$;
