-- Milliseconds since 1970 UTC of a dataset's bound; NULL for 1970 and before, which is "unknown".
CREATE OR REPLACE FUNCTION stage1_moment_ms(stamp timestamptz)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT nullif(greatest(floor(extract(epoch FROM stage1_moment(stamp)) * 1000), 0), 0)::bigint
$$;
