"""One hash of what a plan was made from: both stores' structure, the pending files, the arguments.

Rows do not count.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import text

from stage1_schema.ops import migrate
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from stage1_schema.settings import QuestDBSettings

_CATALOGUE = text("""
SELECT string_agg(line, E'\\n' ORDER BY line COLLATE "C") FROM (
    SELECT concat_ws(' ', 'column', c.relname, c.relkind, a.attnum, a.attname,
                     format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                     a.attgenerated, pg_get_expr(d.adbin, d.adrelid)) AS line
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
       AND c.relkind IN ('r', 'p', 'v', 'm')
       AND c.relname NOT IN ('alembic_version', 'stage1_migration_history')
    UNION ALL
    SELECT concat_ws(' ', 'view', c.relname, pg_get_viewdef(c.oid)) FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid),
                     convalidated)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
       AND conrelid::regclass::text NOT IN ('alembic_version', 'stage1_migration_history')
    UNION ALL
    SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid)
      FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
     WHERE c.relnamespace = 'public'::regnamespace
       AND c.relname NOT IN ('alembic_version', 'stage1_migration_history')
    UNION ALL
    SELECT concat_ws(' ', 'function', p.oid::regprocedure, md5(pg_get_functiondef(p.oid)))
      FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p')
    UNION ALL
    SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled)
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace
) catalogue
""")


def take(
    connection: Connection, questdb: QuestDBSettings | None, arguments: Sequence[str] = ()
) -> str:
    """Return the sha256 over what would run and over what stands.

    That is the revision, the files and frozen bodies of the pending ones, the `arguments` of `-x`,
    the catalogue and the shared QuestDB tables; without `questdb`, PostgreSQL alone. Raises
    QuestDBError when QuestDB does not answer.
    """
    digest = hashlib.sha256()
    revision = migrate.revision(connection)
    would_run = [revision or "base", *migrate.pending(revision), "-x", *arguments]
    digest.update("\n".join(would_run).encode())
    digest.update((connection.execute(_CATALOGUE).scalar_one() or "").encode())
    if questdb is not None:
        from questdb_ddl import live_tables  # noqa: PLC0415 - PostgreSQL may be all there is
        from questdb_ddl.plan import fingerprint  # noqa: PLC0415
        from questdb_ddl.tables import SHARED_TABLES  # noqa: PLC0415

        with plain_questdb_errors(), client(questdb) as connected:
            names = [table.name for table in SHARED_TABLES]
            digest.update(fingerprint(SHARED_TABLES, live_tables(connected, names)).encode())
    return digest.hexdigest()
