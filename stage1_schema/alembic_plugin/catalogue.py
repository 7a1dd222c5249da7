"""What stands in a schema, as PostgreSQL itself words it.

The declared schema and the live one are read by the same queries and compared as values. Every
query reads the first schema of `search_path`, whose name the results leave out or say as `public`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

SCHEMA = "public"
"""Where the tables live (contract, part 1)."""

_NAMESPACE = "current_schema()::regnamespace"
_APP = "coalesce(nullif(current_setting('stage1.app_role', true), ''), 'stage1_app')"
_READONLY = "coalesce(nullif(current_setting('stage1.readonly_role', true), ''), 'stage1_readonly')"
_OF_EXTENSION = "EXISTS (SELECT FROM pg_depend e WHERE e.objid = {oid} AND e.deptype = 'e')"

VIEWS = f"""
SELECT c.oid::regclass::text AS name, c.relname::text AS stem,
       concat_ws(E'\\n', c.relkind::text || ' ' || (SELECT string_agg(format('%I %s', a.attname,
                                   format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
          FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0), o.more) AS signature,
       concat_ws(E'\\n', c.reloptions::text, pg_get_viewdef(c.oid), o.more) AS definition,
       obj_description(c.oid, 'pg_class') AS comment
  FROM pg_class c CROSS JOIN LATERAL (SELECT string_agg(s.said, E'\\n' ORDER BY s.said) FROM (
       SELECT format('default of %I: %s', a.attname, pg_get_expr(d.adbin, d.adrelid))
         FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        WHERE d.adrelid = c.oid
        UNION ALL
       SELECT format('comment on %I: %s', a.attname, col_description(c.oid, a.attnum))
         FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NOT NULL
        UNION ALL
       SELECT pg_get_ruledef(w.oid) FROM pg_rewrite w
        WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN') s (said)) o (more)
 WHERE c.relnamespace = {_NAMESPACE} AND c.relkind IN ('v', 'm')
   AND NOT {_OF_EXTENSION.format(oid="c.oid")}"""

FUNCTIONS = f"""
SELECT p.oid::regprocedure::text AS name, p.proname::text AS stem,
       concat_ws(' ', p.prokind, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid))
           AS signature,
       pg_get_functiondef(p.oid) AS definition, obj_description(p.oid, 'pg_proc') AS comment
  FROM pg_proc p WHERE p.pronamespace = {_NAMESPACE} AND p.prokind <> 'a'
   AND NOT {_OF_EXTENSION.format(oid="p.oid")}"""

TRIGGERS = f"""
SELECT t.tgrelid::regclass || '.' || quote_ident(t.tgname) AS name,
       c.relname || '_' || t.tgname AS stem, (t.tgconstraint <> 0)::text AS signature,
       pg_get_triggerdef(t.oid) || E'\\n' || CASE t.tgenabled WHEN 'O' THEN 'enabled'
           WHEN 'D' THEN 'disabled' ELSE 'enabled ' || t.tgenabled::text END AS definition,
       obj_description(t.oid, 'pg_trigger') AS comment
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
 WHERE NOT t.tgisinternal AND c.relnamespace = {_NAMESPACE}"""

CONSTRAINTS = f"""
SELECT k.conrelid::regclass || '.' || k.conname AS name, c.relname::text AS stem,
       k.conname::text AS signature, pg_get_constraintdef(k.oid)
           || CASE WHEN EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = k.oid
                                   AND g.tgisinternal AND g.tgenabled <> 'O')
                   THEN ', its triggers disabled' ELSE '' END AS definition,
       obj_description(k.oid, 'pg_constraint') AS comment
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
 WHERE c.relnamespace = {_NAMESPACE} AND k.contype IN ('c', 'f', 'p', 'u', 'x')"""

INDEXES = f"""
SELECT i.indexrelid::regclass::text AS name, c.relname::text AS stem, x.relname::text AS signature,
       pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
           AS definition,
       obj_description(i.indexrelid, 'pg_class') AS comment
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
 WHERE c.relnamespace = {_NAMESPACE}
   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid
                      AND k.contype IN ('p', 'u', 'x'))"""

GENERATED = f"""
SELECT c.oid::regclass || '.' || quote_ident(a.attname) AS name, c.relname::text AS stem,
       a.attname::text AS signature,
       concat_ws(' ', pg_get_expr(d.adbin, d.adrelid), a.attgenerated) AS definition,
       NULL::text AS comment
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attgenerated <> ''
  JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = {_NAMESPACE} AND NOT a.attisdropped"""

# What a column is generated from is in GENERATED.
COLUMNS = f"""
SELECT c.oid::regclass || '.' || row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) AS name,
       c.relname::text AS stem, a.attname::text AS signature,
       concat_ws(E'\\n', format_type(a.atttypid, a.atttypmod)
                         || CASE WHEN a.attcollation <> y.typcollation
                                 THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END,
                 CASE WHEN NOT a.attnotnull THEN 'NULL'
                      WHEN EXISTS (SELECT FROM pg_constraint k  -- since PostgreSQL 18
                                    WHERE k.conrelid = c.oid AND k.contype = 'n'
                                      AND a.attnum = ANY(k.conkey) AND NOT k.convalidated)
                      THEN 'NOT NULL NOT VALID' ELSE 'NOT NULL' END,
                 CASE a.attidentity WHEN 'a' THEN 'GENERATED ALWAYS'
                                    WHEN 'd' THEN 'GENERATED BY DEFAULT' ELSE 'no identity' END,
                 'STORAGE ' || CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                                                 WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END,
                 'COMPRESSION ' || CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4'
                                                         ELSE 'default' END,
                 'STATISTICS ' || coalesce(a.attstattarget, -1),
                 'options ' || coalesce(array_to_string(a.attoptions, ', '), ''),
                 CASE WHEN a.attgenerated <> '' THEN '' WHEN d.oid IS NULL THEN 'no default'
                      ELSE 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END) AS definition,
       col_description(c.oid, a.attnum) AS comment
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type y ON y.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = {_NAMESPACE} AND a.attnum > 0 AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p')"""

TABLES = f"""
SELECT c.oid::regclass::text AS name, c.relname::text AS stem, '' AS signature,
       concat_ws(E'\\n', CASE c.relkind WHEN 'p' THEN 'partitioned' ELSE 'plain' END,
                 CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'logged' END,
                 'row security ' || CASE WHEN c.relrowsecurity THEN 'on' ELSE 'off' END,
                 'for the owner ' || CASE WHEN c.relforcerowsecurity THEN 'too' ELSE 'not' END,
                 'options ' || coalesce(array_to_string(c.reloptions || (
                     SELECT array_agg('toast.' || each) FROM pg_class t, unnest(t.reloptions) each
                      WHERE t.oid = c.reltoastrelid), ', '), ''),
                 'children ' || (SELECT coalesce(string_agg(i.inhrelid::regclass::text, ', '
                                                            ORDER BY i.inhrelid), 'none')
                                   FROM pg_inherits i WHERE i.inhparent = c.oid
                                    AND c.relkind = 'r'),
                 'parents ' || (SELECT coalesce(string_agg(i.inhparent::regclass::text, ', '
                                                           ORDER BY i.inhparent), 'none')
                                  FROM pg_inherits i WHERE i.inhrelid = c.oid
                                   AND NOT c.relispartition),
                 coalesce('CLUSTER ON ' || (SELECT quote_ident(x.relname)
                          FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                         WHERE i.indrelid = c.oid AND i.indisclustered), 'SET WITHOUT CLUSTER'),
                 'REPLICA IDENTITY ' || CASE c.relreplident
                     WHEN 'd' THEN 'DEFAULT' WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
                     ELSE 'USING INDEX ' || (SELECT quote_ident(x.relname)
                          FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                         WHERE i.indrelid = c.oid AND i.indisreplident) END) AS definition,
       obj_description(c.oid, 'pg_class') AS comment
  FROM pg_class c WHERE c.relnamespace = {_NAMESPACE} AND c.relkind IN ('r', 'p')
   AND NOT {_OF_EXTENSION.format(oid="c.oid")}"""

# A sequence's definition is what ALTER SEQUENCE takes; its table and column are those it serves.
SEQUENCES = f"""
SELECT c.oid::regclass::text AS name, coalesce(t.relname, c.relname)::text AS stem,
       coalesce(a.attname, '')::text AS signature,
       concat_ws(E'\\n', 'AS ' || s.seqtypid::regtype, 'INCREMENT BY ' || s.seqincrement,
                 'MINVALUE ' || s.seqmin, 'MAXVALUE ' || s.seqmax, 'START WITH ' || s.seqstart,
                 'CACHE ' || s.seqcache, CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
           AS definition,
       obj_description(c.oid, 'pg_class') AS comment
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
  LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
                       AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('i', 'a')
  LEFT JOIN pg_class t ON t.oid = d.refobjid
  LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE c.relnamespace = {_NAMESPACE}"""

# Nothing declares a rule or a policy of a table.
RULES = f"""
SELECT 'rule ' || c.oid::regclass || '.' || quote_ident(w.rulename) AS name,
       c.relname::text AS stem, '' AS signature, pg_get_ruledef(w.oid) AS definition,
       obj_description(w.oid, 'pg_rewrite') AS comment
  FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class
 WHERE c.relnamespace = {_NAMESPACE} AND c.relkind IN ('r', 'p')
 UNION ALL
SELECT 'policy ' || c.oid::regclass || '.' || quote_ident(p.polname), c.relname::text, '',
       concat_ws(' ', p.polpermissive, p.polcmd, p.polroles, pg_get_expr(p.polqual, c.oid),
                 pg_get_expr(p.polwithcheck, c.oid)), obj_description(p.oid, 'pg_policy')
  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
 WHERE c.relnamespace = {_NAMESPACE}"""

# The owner's own rights are left out, so that it does not matter who owns. That everybody may use
# the schema counts only where this role may not grant it; that everybody may create there counts
# since the server does not give that by default.
GRANTS = f"""
WITH granted AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass AS target,
           c.relowner AS owner, a.grantee, a.privilege_type AS said, a.is_grantable
      FROM pg_class c, aclexplode(coalesce(c.relacl,
           acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
     WHERE c.relnamespace = {_NAMESPACE} AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
    UNION ALL
    SELECT 'TABLE ' || c.oid::regclass, c.relowner, a.grantee,
           format('%s (%I)', a.privilege_type, t.attname), a.is_grantable
      FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
     WHERE c.relnamespace = {_NAMESPACE} AND NOT t.attisdropped
    UNION ALL
    SELECT 'FUNCTION ' || p.oid::regprocedure, p.proowner,
           a.grantee, a.privilege_type, a.is_grantable
      FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     WHERE p.pronamespace = {_NAMESPACE} AND p.prokind <> 'a'
    UNION ALL
    SELECT 'SCHEMA ' || n.nspname, n.nspowner, a.grantee, a.privilege_type, a.is_grantable
      FROM pg_namespace n, aclexplode(n.nspacl) a
     WHERE n.oid = {_NAMESPACE}
       AND (a.grantee <> 0 OR CASE a.privilege_type
            WHEN 'CREATE' THEN current_setting('server_version_num')::integer >= 150000
            ELSE NOT pg_has_role(n.nspowner, 'USAGE') END)
    UNION ALL
    SELECT 'later ' || CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                            WHEN 'f' THEN 'FUNCTIONS' ELSE d.defaclobjtype::text END,
           d.defaclrole, a.grantee, a.privilege_type, a.is_grantable
      FROM pg_default_acl d, aclexplode(d.defaclacl) a
     WHERE d.defaclnamespace = {_NAMESPACE}
       AND d.defaclrole = to_regrole(quote_ident(current_user)))
SELECT p.said || ' on ' || g.target || ' to ' || r.role AS name, g.target AS stem,
       p.said AS signature, r.role AS definition, NULL::text AS comment
  FROM granted g
 CROSS JOIN LATERAL (SELECT g.said UNION ALL
                     SELECT 'GRANT OPTION FOR ' || g.said WHERE g.is_grantable) p (said)
 CROSS JOIN LATERAL (SELECT CASE WHEN g.grantee = 0 THEN 'PUBLIC'
                                 WHEN pg_get_userbyid(g.grantee) = {_APP} THEN 'app'
                                 WHEN pg_get_userbyid(g.grantee) = {_READONLY} THEN 'readonly'
                                 ELSE pg_get_userbyid(g.grantee)::text END AS role) r
 WHERE g.grantee <> g.owner AND g.grantee <> to_regrole(quote_ident(current_user))"""

QUERIES = {
    "tables": TABLES,
    "sequences": SEQUENCES,
    "columns": COLUMNS,
    "generated": GENERATED,
    "constraints": CONSTRAINTS,
    "indexes": INDEXES,
    "rules": RULES,
    "functions": FUNCTIONS,
    "views": VIEWS,
    "triggers": TRIGGERS,
    "grants": GRANTS,
}

# Views, functions and triggers that use one of ours, in whatever schema they stand; and the parts
# of tables that use a function.
_EDGES = """
WITH outside AS (
    SELECT oid FROM pg_namespace
     WHERE nspname IN ('pg_catalog', 'information_schema') OR nspname LIKE 'pg\\_t%'
), relations AS (
    SELECT c.oid, c.reltype, c.oid::regclass::text AS name,
           CASE WHEN c.relkind IN ('v', 'm') THEN 'views' ELSE 'tables' END AS kind
      FROM pg_class c
     WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace NOT IN (SELECT oid FROM outside)
), nodes AS (
    SELECT 'pg_class'::regclass AS classid, oid AS objid, kind, name FROM relations
    UNION ALL
    SELECT 'pg_type'::regclass, y.oid, r.kind, r.name
      FROM relations r JOIN pg_type y ON r.reltype IN (y.oid, y.typelem) AND r.reltype <> 0
    UNION ALL
    SELECT 'pg_rewrite'::regclass, w.oid, r.kind, r.name
      FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class
    UNION ALL
    SELECT 'pg_trigger'::regclass, t.oid, 'triggers', r.name || '.' || quote_ident(t.tgname)
      FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 'functions', p.oid::regprocedure::text
      FROM pg_proc p WHERE p.pronamespace NOT IN (SELECT oid FROM outside)
), parts AS (
    SELECT 'pg_constraint'::regclass AS classid, k.oid AS objid, 0 AS part,
           'constraints' AS kind, r.name || '.' || k.conname AS name
      FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid
    UNION ALL
    SELECT 'pg_class'::regclass, i.indexrelid, 0, 'indexes', i.indexrelid::regclass::text
      FROM pg_index i JOIN relations r ON r.oid = i.indrelid
    UNION ALL
    SELECT o.classid, o.objid, o.part, 'columns', r.name || '.' || quote_ident(a.attname)
      FROM pg_attrdef d JOIN relations r ON r.oid = d.adrelid
      JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
     CROSS JOIN LATERAL (  -- up to PostgreSQL 14 a generated column depends itself
           VALUES ('pg_attrdef'::regclass, d.oid, 0), ('pg_class', r.oid, d.adnum)
           ) o (classid, objid, part)
    UNION ALL
    SELECT 'pg_policy'::regclass, p.oid, 0, 'policies', r.name || '.' || quote_ident(p.polname)
      FROM pg_policy p JOIN relations r ON r.oid = p.polrelid
)
SELECT DISTINCT a.kind, a.name, b.kind AS used_kind, b.name AS used,
       coalesce(c.attname::text, '') AS used_column
  FROM pg_depend d
  JOIN nodes a ON a.classid = d.classid AND a.objid = d.objid
  JOIN nodes b ON b.classid = d.refclassid AND b.objid = d.refobjid
  LEFT JOIN pg_attribute c ON d.refclassid = 'pg_class'::regclass AND c.attrelid = d.refobjid
                          AND c.attnum = d.refobjsubid AND d.refobjsubid > 0
 WHERE (a.kind, a.name) <> (b.kind, b.name) AND a.kind <> 'tables'
 UNION
SELECT a.kind, a.name, b.kind, b.name, ''
  FROM pg_depend d
  JOIN parts a ON a.classid = d.classid AND a.objid = d.objid AND a.part = d.objsubid
  JOIN nodes b ON b.classid = d.refclassid AND b.objid = d.refobjid AND b.kind = 'functions'"""


@dataclass(frozen=True)
class Item:
    """One thing in the catalogue.

    `stem` is its file under `sql/`, or its table; `signature` is what CREATE OR REPLACE cannot
    change; names in `definition` are those of schema `public`.
    """

    kind: str
    name: str
    stem: str
    signature: str
    definition: str
    comment: str | None = None


@dataclass(frozen=True)
class Edge:
    """The view, function, trigger or part of a table `user` uses `used`, or a `column` of it."""

    user: tuple[str, str]
    used: tuple[str, str]
    column: str


Catalogue = dict[str, dict[str, Item]]
"""Kind of object, then name."""


def read(connection: Connection, *, without: Collection[str] = ()) -> Catalogue:
    """Return everything in the first schema of `search_path`, `without` some kinds.

    It takes no lock beyond that of reading.
    """
    schema = connection.execute(text("SELECT current_schema()")).scalar_one()
    found: Catalogue = {}
    for kind, query in QUERIES.items():
        if kind in without:
            continue
        rows = connection.execute(text(query)).all()
        items = [
            Item(kind, *(value.replace(schema, SCHEMA) if value else value for value in row))
            for row in rows
        ]
        found[kind] = {item.name: item for item in items}
    return found


def edges(connection: Connection) -> tuple[Edge, ...]:
    """Return what uses which relation, column or function."""
    rows = connection.execute(text(_EDGES)).all()
    return tuple(Edge((row[0], row[1]), (row[2], row[3]), row[4]) for row in rows)
