-- Brings a bucket's side to lower case; its trigger fires only where it is not.
CREATE OR REPLACE FUNCTION stage1_normalise_bucket()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.side := lower(btrim(NEW.side));
    RETURN NEW;
END
$$;
