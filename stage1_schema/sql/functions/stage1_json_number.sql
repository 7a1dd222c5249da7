-- The number that a JSON value holds, be it a JSON number or a string of one; else NULL.
CREATE OR REPLACE FUNCTION stage1_json_number(value jsonb)
RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN jsonb_typeof(value) = 'number'
          OR value #>> '{}' ~ '^[+-]?[0-9]{1,40}([.][0-9]{0,40})?([eE][+-]?[0-9]{1,2})?$'
        THEN (value #>> '{}')::numeric
    END
$$;
