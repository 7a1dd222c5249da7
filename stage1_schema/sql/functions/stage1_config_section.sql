-- One section of a serialized configuration: keys in byte order, one `key=value` a line.
CREATE OR REPLACE FUNCTION stage1_config_section(title text, body jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws(E'\n', '[' || title || ']', string_agg(
        entry.key || '=' || CASE
            -- A plain string stands bare; one that a reader could mistake stays JSON.
            WHEN jsonb_typeof(entry.value) = 'string'
             AND (entry.value #>> '{}') ~ '^[^[:cntrl:][:space:]"[{]([^[:cntrl:]]*[^[:cntrl:][:space:]])?$'
            THEN entry.value #>> '{}'
            ELSE entry.value::text
        END,
        E'\n' ORDER BY entry.key COLLATE "C"))
    FROM jsonb_each(CASE jsonb_typeof(body)
        WHEN 'object' THEN body
        WHEN 'null' THEN '{}'
        ELSE jsonb_build_object('value', body)
    END) AS entry
$$;
