-- `facts` with granularity and bar_interval_ms in step: the one that is missing, or that did not
-- change since `before` while the other did, follows the other.
CREATE OR REPLACE FUNCTION stage1_with_interval(before jsonb, facts jsonb)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    granularity text := facts ->> 'granularity';
    interval_ms bigint := facts ->> 'bar_interval_ms';
    granularity_came boolean := before ->> 'granularity' IS DISTINCT FROM granularity;
    interval_came boolean := (before ->> 'bar_interval_ms')::bigint IS DISTINCT FROM interval_ms;
BEGIN
    IF interval_ms IS NULL OR granularity_came AND NOT interval_came THEN
        interval_ms := coalesce(stage1_interval_ms(granularity), interval_ms);
    ELSIF granularity IS NULL OR interval_came AND NOT granularity_came THEN
        -- 240m stays 240m as long as it means the same.
        IF stage1_interval_ms(granularity) IS DISTINCT FROM interval_ms THEN
            granularity := stage1_granularity(interval_ms);
        END IF;
    END IF;
    RETURN facts || jsonb_strip_nulls(
        jsonb_build_object('granularity', granularity, 'bar_interval_ms', interval_ms));
END
$$;
