"""One hash of what a plan was made from: both stores' structure, the pending files, the arguments.

Rows do not count.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from sqlalchemy import text

from stage1_schema.alembic_plugin import catalogue
from stage1_schema.ops import migrate
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from stage1_schema.settings import QuestDBSettings

# What the catalogue of a comparison leaves out: whom all belongs to, every right of every role,
# and types. Rights are those of the ACLs: the role that upgrades may be another than that of plan.
_MORE = text("""
SELECT concat_ws(' ', 'relation', c.oid::regclass, c.relkind, c.relowner::regrole, c.relacl) AS line
  FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
   AND c.relkind NOT IN ('t', 'i', 'I') AND c.relname <> ALL(:without)
 UNION ALL
SELECT concat_ws(' ', 'right', a.attrelid::regclass, a.attname, a.attacl)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relnamespace = current_schema()::regnamespace AND a.attacl IS NOT NULL
   AND c.relname <> ALL(:without)
 UNION ALL
SELECT concat_ws(' ', 'function', p.oid::regprocedure, p.prokind, p.proowner::regrole, p.proacl)
  FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
 UNION ALL
SELECT concat_ws(' ', 'schema', n.nspname, n.nspowner::regrole, n.nspacl,
                 obj_description(n.oid, 'pg_namespace'))
  FROM pg_namespace n WHERE n.oid = current_schema()::regnamespace
 UNION ALL
SELECT concat_ws(' ', 'later', d.defaclrole::regrole, d.defaclnamespace, d.defaclobjtype,
                 d.defaclacl) FROM pg_default_acl d
 UNION ALL
SELECT concat_ws(' ', 'type', y.oid::regtype, y.typtype, y.typowner::regrole, y.typacl,
                 format_type(y.typbasetype, y.typtypmod), y.typnotnull, y.typdefault,
                 (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder)
                    FROM pg_enum e WHERE e.enumtypid = y.oid),
                 (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname)
                    FROM pg_constraint k WHERE k.contypid = y.oid),
                 (SELECT array_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod))
                                   ORDER BY a.attnum)
                    FROM pg_attribute a
                   WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
                 obj_description(y.oid, 'pg_type'))
  FROM pg_type y LEFT JOIN pg_class c ON c.oid = y.typrelid
 WHERE y.typnamespace = current_schema()::regnamespace
   AND (y.typtype IN ('e', 'd', 'r') OR c.relkind = 'c')
""")


def take(
    connection: Connection,
    questdb: QuestDBSettings | None,
    arguments: Sequence[str] = (),
    tables: Iterable[str] = (),
) -> str:
    """Return the sha256 over what would run and over what stands.

    That is the revision, the files and frozen bodies of the pending ones, the `arguments` of `-x`,
    the catalogue, the shared QuestDB tables and those that pending operations name, `tables`;
    without `questdb`, PostgreSQL alone. Raises QuestDBError when QuestDB does not answer.
    """
    revision = migrate.revision(connection)
    content = [
        revision or "base",
        *migrate.pending(revision),
        "-x",
        *arguments,
        # A first run has made Alembic's own table before it asks again.
        *_postgres(connection, without=() if revision else ("alembic_version",)),
        *(_questdb(questdb, tables) if questdb else ()),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _postgres(connection: Connection, *, without: tuple[str, ...]) -> Iterator[str]:
    for items in catalogue.read(connection, without=("grants",)).values():
        yield from (repr(item) for _, item in sorted(items.items()) if item.stem not in without)
    yield from sorted(connection.execute(_MORE, {"without": list(without)}).scalars())


def _questdb(settings: QuestDBSettings, tables: Iterable[str]) -> Iterator[str]:
    from questdb_ddl import live_tables  # noqa: PLC0415 - PostgreSQL may be all there is
    from questdb_ddl.plan import fingerprint  # noqa: PLC0415
    from questdb_ddl.tables import SHARED_TABLES  # noqa: PLC0415

    with plain_questdb_errors(), client(settings) as connected:
        live = live_tables(connected, [table.name for table in SHARED_TABLES])
        yield fingerprint(SHARED_TABLES, live)
        named = live_tables(connected, tables, parquet=True) if tables else {}
        for name, found in sorted(named.items()):
            yield json.dumps([name, found.structure(), found.has_parquet], sort_keys=True)
