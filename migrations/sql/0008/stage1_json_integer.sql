-- The integer that a JSON value holds, cut off at its decimal point; NULL beyond 64 bits.
CREATE OR REPLACE FUNCTION stage1_json_integer(value jsonb)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = public, pg_catalog, pg_temp
AS $$
    SELECT trunc(found.number)::bigint
      FROM (SELECT stage1_json_number(value) AS number) found
     WHERE abs(found.number) < 9223372036854775807
$$;
