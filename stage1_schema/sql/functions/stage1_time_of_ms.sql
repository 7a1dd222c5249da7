-- The time of a JSON number of milliseconds since 1970 UTC.
CREATE OR REPLACE FUNCTION stage1_time_of_ms(ms jsonb)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_timestamp(ms::numeric::double precision / 1000)
$$;
