-- A text that a client wrote is the client's own, even where it equals the generated one.
CREATE OR REPLACE FUNCTION stage1_own_config()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.serialized_config_generated := false;
    RETURN NEW;
END
$$;
