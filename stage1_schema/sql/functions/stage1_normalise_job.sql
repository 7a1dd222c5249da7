-- Brings a job's status to one form, and gives a finished job the time that the purge goes by.
CREATE OR REPLACE FUNCTION stage1_normalise_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.status := upper(btrim(NEW.status));
    IF NEW.status IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN
        NEW.completed_at := coalesce(NEW.completed_at, now());
    END IF;
    RETURN NEW;
END
$$;
