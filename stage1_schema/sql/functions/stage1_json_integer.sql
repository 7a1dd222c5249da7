-- The integer that a JSON value holds, cut off at its decimal point; NULL beyond 64 bits.
CREATE OR REPLACE FUNCTION stage1_json_integer(value jsonb)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
    -- CASE and not WHERE: the planner may cast a constant before it looks at the condition.
    SELECT CASE WHEN abs(found.number) < 9223372036854775807 THEN trunc(found.number)::bigint END
      FROM (SELECT stage1_json_number(value) AS number) found
$$;
