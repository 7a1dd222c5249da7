-- Milliseconds of a granularity such as 15m, 4h, 1d, 1w or 1M (a month counts 30 days); NULL for
-- any other text. Only m and M differ by case.
CREATE OR REPLACE FUNCTION stage1_interval_ms(granularity text)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT nullif(found.part[1]::bigint, 0) * CASE
            WHEN found.part[2] IN ('M', 'mo') THEN 2592000000
            WHEN lower(found.part[2]) = 'ms' THEN 1
            WHEN lower(found.part[2]) IN ('s', 'sec') THEN 1000
            WHEN lower(found.part[2]) IN ('m', 'min') THEN 60000
            WHEN lower(found.part[2]) IN ('h', 'hour') THEN 3600000
            WHEN lower(found.part[2]) IN ('d', 'day') THEN 86400000
            WHEN lower(found.part[2]) IN ('w', 'week') THEN 604800000
        END
      FROM (SELECT regexp_match(btrim(granularity), '^(\d{1,9}) ?([A-Za-z]{1,4})$') AS part) found
$$;
