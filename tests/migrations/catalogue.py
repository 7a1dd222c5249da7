"""What stands in schema public, as the server itself words it: two databases compare as dicts."""

QUERIES = {
    "columns": """
        SELECT c.relname || '.' || a.attnum AS name,
               concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                         pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
                         col_description(c.oid, a.attnum)) AS definition
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
           AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relname <> 'alembic_version'""",
    "constraints": """
        SELECT conrelid::regclass || '.' || conname AS name,
               pg_get_constraintdef(oid) || ' ' || convalidated AS definition
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace
           AND conrelid::regclass::text <> 'alembic_version'""",
    "indexes": """
        SELECT i.indexrelid::regclass::text AS name,
               pg_get_indexdef(i.indexrelid) || ' ' || i.indisvalid AS definition
          FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'""",
    "relations": """
        SELECT c.relname AS name,
               concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity, c.reloptions,
                         CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
                         obj_description(c.oid, 'pg_class')) AS definition
          FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace""",
    "functions": """
        SELECT p.oid::regprocedure::text AS name,
               pg_get_functiondef(p.oid) || coalesce(obj_description(p.oid, 'pg_proc'), '')
               AS definition
          FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace""",
    "triggers": """
        SELECT t.tgrelid::regclass || '.' || t.tgname AS name,
               pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text AS definition
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
         WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace""",
    "grants": """
        SELECT granted.name,
               string_agg(granted.acl, ',' ORDER BY granted.acl) AS definition
          FROM (SELECT c.relname::text AS name, unnest(c.relacl)::text AS acl FROM pg_class c
                 WHERE c.relnamespace = 'public'::regnamespace
                UNION ALL
                SELECT p.oid::regprocedure::text, unnest(p.proacl)::text FROM pg_proc p
                 WHERE p.pronamespace = 'public'::regnamespace
                UNION ALL
                SELECT 'default ' || defaclobjtype::text, unnest(defaclacl)::text
                  FROM pg_default_acl)
               granted
         GROUP BY granted.name""",
}


def catalogue(connection):
    """Return {kind: {name: definition}}."""
    return {
        kind: {row["name"]: row["definition"] for row in connection.execute(query)}
        for kind, query in QUERIES.items()
    }
