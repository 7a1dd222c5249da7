"""The catalogue queries of `standing`."""

from __future__ import annotations

from sqlalchemy import text

RELATIONS = text("""
SELECT c.oid, c.relname AS name, c.relkind::text AS kind,
       pg_get_userbyid(c.relowner)::text AS owner, pg_has_role(c.relowner, 'USAGE') AS is_own,
       has_table_privilege(c.oid, 'SELECT') AS is_read, current_user::text AS login
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = :schema
   AND ((c.relkind IN ('r', 'p') AND c.relname = ANY(:tables))
     OR (c.relkind IN ('v', 'm') AND c.relname = ANY(:views)))
 ORDER BY array_position(CAST(:tables AS text[]), c.relname::text), c.relname
""")

COLUMNS = text("""
SELECT c.relname AS table_name, a.attname AS name, format_type(a.atttypid, NULL) AS type,
       a.attnotnull AS not_null, pg_get_expr(d.adbin, d.adrelid) AS default_value
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND c.relname = ANY(:tables)
 ORDER BY c.relname, a.attnum
""")

# `fn_list_*` are the field's names (contract, part 4), but a common prefix: one counts as ours
# only where its text names a table of ours.
FUNCTIONS = text(r"""
SELECT p.oid, p.oid::regprocedure::text AS signature
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = :schema AND p.prokind = 'f'
   AND (p.proname = ANY(:names) OR (p.proname LIKE 'fn\_list\_%' AND p.prosrc ~ :pattern))
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                      AND d.objid = p.oid AND d.deptype = 'e')
   -- A trigger function that foreign tables use as well stays where it is.
   AND NOT EXISTS (SELECT FROM pg_trigger t
                    WHERE t.tgfoid = p.oid AND NOT t.tgisinternal AND t.tgrelid <> ALL(:relations))
 ORDER BY 2
""")

# `ours` holds the objects and what belongs to them (indexes, constraints, rules, types). What
# depends on these otherwise is somebody else's; a view hands on what depends on it in turn.
DEPENDENTS = text("""
WITH RECURSIVE ours AS (
    SELECT first.classid, first.objid
      FROM (SELECT 'pg_class'::regclass::oid, unnest(CAST(:relations AS oid[]))
             UNION ALL
            SELECT 'pg_proc'::regclass::oid, unnest(CAST(:functions AS oid[]))
           ) AS first (classid, objid)
     UNION
    SELECT d.classid, d.objid
      FROM ours o JOIN pg_depend d ON d.refclassid = o.classid AND d.refobjid = o.objid
     WHERE d.deptype IN ('a', 'i', 'P', 'S')
), reached AS (
    SELECT d.classid, d.objid, d.objsubid
      FROM ours o JOIN pg_depend d ON d.refclassid = o.classid AND d.refobjid = o.objid
     WHERE d.deptype = 'n'
       AND NOT EXISTS (SELECT FROM ours x WHERE x.classid = d.classid AND x.objid = d.objid)
     UNION
    SELECT next.classid, next.objid, next.objsubid
      FROM reached r CROSS JOIN LATERAL (
        SELECT 'pg_class'::regclass::oid, c.oid, 0
          FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class AND c.relkind IN ('v', 'm')
         WHERE r.classid = 'pg_rewrite'::regclass AND w.oid = r.objid
         UNION ALL
        SELECT d.classid, d.objid, d.objsubid
          FROM pg_depend d
         WHERE d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype IN ('n', 'i')
           AND r.objsubid = 0
           AND r.classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)
     ) AS next (classid, objid, objsubid)
     WHERE NOT EXISTS (SELECT FROM ours x WHERE x.classid = next.classid AND x.objid = next.objid)
)
SELECT pg_describe_object(classid, objid, objsubid) AS what
  FROM reached
 WHERE classid <> 'pg_type'::regclass
   AND NOT (classid = 'pg_rewrite'::regclass AND objid IN (
            SELECT w.oid FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class
             WHERE c.relkind IN ('v', 'm')))
   AND NOT (classid = 'pg_class'::regclass AND objid IN (
            SELECT oid FROM pg_class WHERE relkind IN ('t', 'i', 'I')))
 UNION
SELECT pg_describe_object('pg_trigger'::regclass, t.oid, 0)
  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE t.tgrelid = ANY(:relations) AND NOT t.tgisinternal
   AND p.oid <> ALL(:functions) AND p.proname <> ALL(:names)
 ORDER BY what
""")

MENTIONS = text(r"""
SELECT 'function ' || p.oid::regprocedure::text
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND n.nspname !~ '^(pg_temp|pg_toast|stage1_(legacy|retired|reset)_)'
   AND p.oid <> ALL(:functions) AND p.prosrc ~ :pattern
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                      AND d.objid = p.oid AND d.deptype = 'e')
 ORDER BY 1
""")

GRANTEES = text("""
SELECT DISTINCT CASE WHEN held.role = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (
    SELECT c.relowner
     UNION
    SELECT a.grantee FROM aclexplode(c.relacl) a
 ) AS held (role)
  LEFT JOIN pg_roles r ON r.oid = held.role
 WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm')
   AND (held.role = 0 OR r.rolname <> current_user)
 ORDER BY 1
""")
