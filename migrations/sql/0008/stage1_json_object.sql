-- The JSON object that a writer meant: a string that holds JSON is unwrapped as often as it was
-- encoded, NULL becomes {}, and anything else is kept as {"value": …}.
CREATE OR REPLACE FUNCTION stage1_json_object(value jsonb)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb := value;
BEGIN
    WHILE jsonb_typeof(found) = 'string' LOOP
        BEGIN
            found := (found #>> '{}')::jsonb;
        EXCEPTION WHEN data_exception THEN
            EXIT;  -- a text that is not JSON
        END;
    END LOOP;
    RETURN CASE coalesce(jsonb_typeof(found), 'null')
        WHEN 'object' THEN found
        WHEN 'null' THEN '{}'
        ELSE jsonb_build_object('value', found)
    END;
END
$$;
