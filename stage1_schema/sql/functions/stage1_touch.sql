-- Sets updated_at; its triggers fire only where a row really changed.
CREATE OR REPLACE FUNCTION stage1_touch()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
