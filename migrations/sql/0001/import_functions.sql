-- Functions of one import; they go with its session.
CREATE OR REPLACE FUNCTION pg_temp.stage1_is_uuid(value text)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT btrim(value) ~* '^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$'
$$;
-- The same text gives the same id in every table, so references hold.
CREATE OR REPLACE FUNCTION pg_temp.stage1_uuid(value text)
RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN btrim(value) ~* '^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$'
                THEN btrim(value)::uuid ELSE md5(value)::uuid END
$$;
-- Text that is no JSON (a writer's nan) becomes a JSON string: nothing of it is lost.
CREATE OR REPLACE FUNCTION pg_temp.stage1_json(value text)
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN value::jsonb;
EXCEPTION WHEN data_exception THEN
    RETURN to_jsonb(value);
END
$$;
-- By magnitude: seconds, ms, µs, ns (contract, part 5).
CREATE OR REPLACE FUNCTION pg_temp.stage1_time(value numeric)
RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT to_timestamp((CASE WHEN abs(value) < 1e11 THEN value
                              WHEN abs(value) < 1e14 THEN value / 1e3
                              WHEN abs(value) < 1e17 THEN value / 1e6
                              ELSE value / 1e9 END)::double precision)
$$;
-- The row's JSON with what has no column of its own; what is no object moves under `value`.
CREATE OR REPLACE FUNCTION pg_temp.stage1_keep(body jsonb, by_name jsonb, legacy jsonb)
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    result jsonb := body;
BEGIN
    IF by_name = '{}' AND legacy = '{}' THEN
        RETURN body;
    END IF;
    IF body IS NULL OR jsonb_typeof(body) = 'null' THEN
        result := '{}';
    ELSIF jsonb_typeof(body) <> 'object' THEN
        result := jsonb_build_object('value', body);
    END IF;
    result := by_name || result;
    IF legacy <> '{}' THEN
        result := result || jsonb_build_object('legacy',
            CASE jsonb_typeof(result -> 'legacy') WHEN 'object' THEN result -> 'legacy' ELSE '{}' END
            || legacy);
    END IF;
    RETURN result;
END
$$;
-- A manifest as an object: one sent as a JSON-encoded string is unwrapped (contract, part 2).
CREATE OR REPLACE FUNCTION pg_temp.stage1_manifest(body jsonb)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN body IS NULL OR jsonb_typeof(body) = 'null' THEN NULL
        WHEN jsonb_typeof(body) = 'object' THEN body
        WHEN jsonb_typeof(body) = 'string'
         AND jsonb_typeof(pg_temp.stage1_json(body #>> '{}')) = 'object'
        THEN pg_temp.stage1_json(body #>> '{}')
        ELSE jsonb_build_object('value', body)
    END
$$;
