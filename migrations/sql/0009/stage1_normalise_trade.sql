-- Brings a trade's times and side to one form; its trigger fires only where they are not.
CREATE OR REPLACE FUNCTION stage1_normalise_trade()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    NEW.bar_timestamp := stage1_moment(NEW.bar_timestamp);
    NEW.exit_timestamp := stage1_moment(NEW.exit_timestamp);
    NEW.side := lower(nullif(btrim(NEW.side), ''));
    RETURN NEW;
END
$$;
