"""Old databases for the tests: the shapes of the contract, part 4, filled or empty."""

import json
from pathlib import Path

from alembic import command

from stage1_schema.connect import connect
from stage1_schema.ops import migrate

LEGACY = Path(__file__).with_name("legacy")
SHAPES = {
    "desktop": ("desktop",),
    "dashboard": ("dashboard",),
    "reset": ("reset",),
    "reset_over_desktop": ("desktop", "reset_datasets"),
    "generation_b": ("stage1_datasets",),
    "desktop_and_generation_b": ("desktop", "stage1_datasets"),
    "reset_and_generation_b": ("reset", "stage1_datasets"),
    "all_with_jobs": ("desktop", "reset_datasets", "stage1_datasets", "jobs"),
    "jobs": ("jobs",),
}
NAMES = {
    "desktop": "Stage 1.3, desktop variant",
    "dashboard": "Stage 1.3, dashboard variant",
    "reset": "the reset shape",
    "reset_over_desktop": "a mixture of Stage 1.3, desktop variant and the reset shape",
    "generation_b": "Stage1 tables without a master table, with stage1_datasets",
    "desktop_and_generation_b": "Stage 1.3, desktop variant, with stage1_datasets",
    "reset_and_generation_b": "the reset shape, with stage1_datasets",
    "all_with_jobs": "a mixture of Stage 1.3, desktop variant and the reset shape,"
    " with stage1_datasets and jobs",
    "jobs": "Stage1 tables without a master table, with jobs",
}


def script(name):
    """Return the statements of one file; `reset_datasets` is the first table of the reset."""
    if name.startswith("reset_datasets"):
        text = script(name.replace("_datasets", ""))
        return text[: text.index("INSERT INTO w" if "rows" in name else "CREATE TABLE w")]
    return (LEGACY / f"{name}.sql").read_text(encoding="utf-8")


def fill(settings, shape, *, rows=True):
    """Make the tables of `shape`, with rows unless told otherwise."""
    with connect(settings.postgres, autocommit=True) as connection:
        for name in SHAPES[shape]:
            connection.execute(script(name))
            if rows:
                connection.execute(script(f"{name}_rows"))


def execute(settings, *statements):
    """Run statements, each in its own transaction."""
    with connect(settings.postgres, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def query(settings, statement, *parameters):
    with connect(settings.postgres) as connection:
        return connection.execute(statement, parameters or None).fetchall()


def upgrade(settings, legacy=None, *, to="head"):
    """Run Alembic's upgrade as its command line does, without QuestDB."""
    arguments = ["questdb=skip", *([f"legacy={legacy}"] if legacy else [])]
    if to == "head":
        told = []
        migrate.upgrade(settings, arguments=arguments, progress=told.append)
        return told
    command.upgrade(migrate.config(settings, arguments), to)
    return []


def downgrade(settings, to="base"):
    command.downgrade(migrate.config(settings, ["questdb=skip"]), to)


def schemas(settings, prefix="stage1_"):
    found = query(
        settings, "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", prefix
    )
    return sorted(name for (name,) in found)


def rows_of(settings, schema="public"):
    """Return the rows of every table of `schema` as JSON, by table."""
    with connect(settings.postgres) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables"
            " WHERE schemaname = %s"
            " AND tablename NOT IN ('alembic_version', 'stage1_migration_history')",
            (schema,),
        ).fetchall()
        return {
            name: [
                json.loads(row)
                for (row,) in connection.execute(
                    f'SELECT to_jsonb(t)::text FROM "{schema}"."{name}" t ORDER BY 1'
                )
            ]
            for (name,) in names
        }


CATALOGUE = """
SELECT 'relation', c.oid::regclass::text, c.relkind::text, c.relowner::regrole::text,
       c.relacl::text, c.relpersistence::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {schemas}
 UNION ALL
SELECT 'column', a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull::text, pg_get_expr(d.adbin, d.adrelid)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND {schemas}
 UNION ALL
SELECT 'constraint', c.conname, c.conrelid::regclass::text, pg_get_constraintdef(c.oid), '', ''
  FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE {schemas}
 UNION ALL
SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), '', '', ''
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {schemas}
 UNION ALL
SELECT 'view', c.oid::regclass::text, pg_get_viewdef(c.oid), '', '', ''
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('v', 'm') AND {schemas}
 UNION ALL
SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text, '', ''
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {schemas}
 UNION ALL
SELECT 'trigger', t.tgname, t.tgrelid::regclass::text, pg_get_triggerdef(t.oid),
       t.tgenabled::text, ''
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND {schemas}
 UNION ALL
SELECT 'schema', n.nspname, n.nspowner::regrole::text, n.nspacl::text,
       obj_description(n.oid, 'pg_namespace'), ''
  FROM pg_namespace n WHERE {schemas}
""".format(schemas="n.nspname !~ '^(pg_|information_schema)'")


def fingerprint(settings):
    """Return everything that stands, as values: the catalogue and every row of every schema.

    Alembic's own table counts only by what it holds: it makes it before a first revision runs.
    """
    catalogue = {row for row in query(settings, CATALOGUE) if "alembic_version" not in str(row)}
    names = [
        name
        for (name,) in query(
            settings,
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'",
        )
    ]
    revision = query(settings, "SELECT to_regclass('public.alembic_version') IS NOT NULL")[0][0]
    stamped = query(settings, "SELECT version_num FROM alembic_version") if revision else []
    return catalogue, {name: rows_of(settings, name) for name in names}, stamped
