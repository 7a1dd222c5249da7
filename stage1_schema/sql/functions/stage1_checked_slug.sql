-- The slug of what a writer sent as one; refuses what no QuestDB table could be named after.
CREATE OR REPLACE FUNCTION stage1_checked_slug(name text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    slug text := stage1_slug(name);
BEGIN
    IF slug = '' THEN
        RAISE EXCEPTION 'the dataset slug "%" is empty', left(name, 40)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'A slug keeps ASCII letters and digits in lower case; every run of other'
                         ' characters becomes one underscore, and none stands at the ends.';
    ELSIF length(slug) > 116 THEN
        RAISE EXCEPTION 'the dataset slug "%…" has % characters, 116 are allowed',
                left(slug, 20), length(slug)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'QuestDB takes 127 characters for a table, and indicators_<slug> is one.';
    END IF;
    RETURN slug;
END
$$;
