-- The time that a writer meant: one in the year 5138 or later is milliseconds that went through
-- TO_TIMESTAMP as seconds (contract, parts 1 and 5). Microseconds so treated are out of
-- PostgreSQL's range and refused before they come here. NULL for infinity.
CREATE OR REPLACE FUNCTION stage1_moment(stamp timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT isfinite(stamp) THEN NULL
        WHEN extract(epoch FROM stamp) >= 100000000000
        THEN to_timestamp((extract(epoch FROM stamp) / 1000)::double precision)
        ELSE stamp
    END
$$;
