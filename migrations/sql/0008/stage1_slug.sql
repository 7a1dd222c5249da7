-- The slug of a text (contract, part 5): ASCII letters and digits in lower case, every run of other
-- characters one underscore, none at the ends. '' where nothing is left.
CREATE OR REPLACE FUNCTION stage1_slug(name text)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- The collation "C" keeps to ASCII: elsewhere lower('I') can be a dotless i.
    SELECT lower(btrim(regexp_replace(name COLLATE "C", '[^A-Za-z0-9]+', '_', 'g'), '_'))
$$;
