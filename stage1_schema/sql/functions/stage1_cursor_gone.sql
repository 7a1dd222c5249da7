-- Refuses a cursor whose row was deleted: an empty page would read as the end of the list.
CREATE OR REPLACE FUNCTION stage1_cursor_gone(p_after text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the cursor % is not in the list', p_after
        USING ERRCODE = 'no_data_found', HINT = 'Start again without a cursor.';
END
$$;
