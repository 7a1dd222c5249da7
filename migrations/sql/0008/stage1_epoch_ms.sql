-- Milliseconds since 1970 UTC of a number in s, ms, µs or ns, told apart by its magnitude
-- (contract, part 5). NULL for 0 and below, which writers send for "unknown".
CREATE OR REPLACE FUNCTION stage1_epoch_ms(stamp bigint)
RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN stamp <= 0 THEN NULL
        WHEN stamp < 100000000000 THEN stamp * 1000
        WHEN stamp < 100000000000000 THEN stamp
        WHEN stamp < 100000000000000000 THEN stamp / 1000
        ELSE stamp / 1000000
    END
$$;
