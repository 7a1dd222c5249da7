-- Milliseconds of a granularity such as 15m, 4h, 1d, 1w or 1M (a month counts 30 days); NULL for
-- any other text. Only m and M differ by case.
CREATE OR REPLACE FUNCTION stage1_interval_ms(granularity text)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT nullif(found.part[1]::numeric * unit.ms, 0)::bigint
      FROM (SELECT regexp_match(btrim(granularity), '^([0-9]{1,12}) ?([A-Za-z]{1,4})$') AS part) found
      JOIN (VALUES ('ms', 1), ('s', 1000), ('sec', 1000), ('m', 60000), ('min', 60000),
                   ('h', 3600000), ('hour', 3600000), ('d', 86400000), ('day', 86400000),
                   ('w', 604800000), ('week', 604800000), ('M', 2592000000)) AS unit(name, ms)
        ON unit.name = CASE found.part[2] WHEN 'M' THEN 'M' ELSE lower(found.part[2]) END
     WHERE found.part[1]::numeric * unit.ms < 9223372036854775807
$$;
