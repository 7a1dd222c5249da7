-- `slug` with the first digits of `id` behind it, within the 116 characters of a slug.
CREATE OR REPLACE FUNCTION stage1_suffixed_slug(slug text, id uuid, digits integer DEFAULT 8)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT rtrim(left(slug, 115 - digits), '_') || '_' || left(replace(id::text, '-', ''), digits)
$$;
