-- The granularity of an interval in milliseconds, in the largest unit that divides it: 4h, 1d.
CREATE OR REPLACE FUNCTION stage1_granularity(interval_ms bigint)
RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT interval_ms / unit.ms || unit.name
      FROM (VALUES (604800000, 'w'), (86400000, 'd'), (3600000, 'h'), (60000, 'm'), (1000, 's'),
                   (1, 'ms')) AS unit(ms, name)
     WHERE interval_ms > 0 AND interval_ms % unit.ms = 0
     ORDER BY unit.ms DESC
     LIMIT 1
$$;
