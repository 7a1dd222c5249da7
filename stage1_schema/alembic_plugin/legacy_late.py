"""Columns of old tables whose home comes with a later revision than the import.

They are remembered in the comment of the old tables' schema, so a run that stops between two
revisions loses none, and carried in the transaction of the revision that adds them.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from sqlalchemy import text

from stage1_schema.alembic_plugin import standing_sql
from stage1_schema.alembic_plugin.legacy_shapes import KEYS
from stage1_schema.alembic_plugin.verbatim import Verbatim

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from sqlalchemy import Connection

log = logging.getLogger("alembic.runtime.migration")

_MARK = "Stage1 import; columns still to come: "
_PENDING = text("""
SELECT nspname, obj_description(oid, 'pg_namespace') AS note
  FROM pg_namespace
 WHERE starts_with(coalesce(obj_description(oid, 'pg_namespace'), ''), :mark)
""")


def remember(connection: Connection, schema: str, late: Mapping[str, Sequence[str]]) -> None:
    """Note on `schema` which columns of which tables are still to be carried."""
    if late:
        note = _MARK + json.dumps({table: list(columns) for table, columns in late.items()})
        _comment(connection, schema, note)


def on_version_apply(
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: object = None,  # noqa: ARG001 - Alembic's signature
    run_args: object = None,  # noqa: ARG001 - likewise
) -> None:
    """Carry what the revision made room for; Alembic calls it inside the transaction."""
    if ctx.as_sql or not step.is_upgrade or ctx.connection is None:
        return
    connection = ctx.connection
    for schema, note in connection.execute(_PENDING, {"mark": _MARK}).all():
        pending: dict[str, list[str]] = json.loads(note.removeprefix(_MARK))
        waiting = {}
        for table, columns in pending.items():
            types = _types(connection, table)
            arrived = [name for name in columns if name in types]
            if arrived:
                _carry(connection, schema, table, {name: types[name] for name in arrived})
                log.info("Carried from %s.%s: %s", schema, table, ", ".join(arrived))
            if rest := [name for name in columns if name not in types]:
                waiting[table] = rest
        if waiting != pending:
            _comment(connection, schema, "Stage1 import")
            remember(connection, schema, waiting)


def _carry(connection: Connection, schema: str, table: str, types: Mapping[str, str]) -> None:
    """Copy the columns by key. Triggers rest: they would take the values for a writer's."""
    carried = {name: f'coalesce(o."{name}"::{kind}, t."{name}")' for name, kind in types.items()}
    values = ", ".join(f'"{name}" = {value}' for name, value in carried.items())
    keys = " AND ".join(f't."{name}"::text = o."{name}"::text' for name in KEYS[table])
    differs = " OR ".join(f't."{name}" IS DISTINCT FROM {value}' for name, value in carried.items())
    update = f'UPDATE public."{table}" t SET {values} FROM "{schema}"."{table}" o'
    for statement in (
        f'ALTER TABLE public."{table}" DISABLE TRIGGER USER',
        f"{update} WHERE {keys} AND ({differs})",
        f'ALTER TABLE public."{table}" ENABLE TRIGGER USER',
    ):
        connection.execute(Verbatim(statement))


def _types(connection: Connection, table: str) -> dict[str, str]:
    found = connection.execute(standing_sql.COLUMNS, {"schema": "public", "tables": [table]})
    return {row.name: row.type for row in found}


def _comment(connection: Connection, schema: str, note: str) -> None:
    quoted = note.replace("'", "''")
    connection.execute(Verbatim(f"""COMMENT ON SCHEMA "{schema}" IS '{quoted}'"""))
