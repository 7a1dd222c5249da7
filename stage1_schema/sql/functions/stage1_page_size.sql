-- The number of rows of a page: what was asked for, within 1 to 1,000; 50 where it is NULL or 0.
CREATE OR REPLACE FUNCTION stage1_page_size(p_limit integer)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT least(greatest(coalesce(nullif(p_limit, 0), 50), 1), 1000)
$$;
