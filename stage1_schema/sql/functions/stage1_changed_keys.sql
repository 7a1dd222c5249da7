-- The entries of `after` that `before` lacks or holds with another value.
CREATE OR REPLACE FUNCTION stage1_changed_keys(before jsonb, after jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(jsonb_object_agg(entry.key, entry.value), '{}')
      FROM jsonb_each(after) AS entry
     WHERE before -> entry.key IS DISTINCT FROM entry.value
$$;
