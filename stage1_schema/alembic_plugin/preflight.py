"""What has to hold before the first step of a run. A refusal changes nothing in either store."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy import text

from stage1_schema import settings as stage1_settings
from stage1_schema.errors import PostgresError, Stage1Error
from stage1_schema.questdb import plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.runtime.migration import MigrationStep
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.questdb_changes import Operation
    from stage1_schema.alembic_plugin.questdb_ops import QuestDBTarget
    from stage1_schema.settings import PostgresSettings

log = logging.getLogger("alembic.runtime.migration")

_POSTGRES = text("""
SELECT pg_is_in_recovery() AS standby,
       current_setting('transaction_read_only') = 'on' AS read_only,
       pg_encoding_to_char(encoding) AS encoding,
       quote_ident(datname) AS database,
       quote_ident(session_user) AS login,
       (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only') AS source
  FROM pg_database WHERE datname = current_database()
""")
_READ_ONLY = "default_transaction_read_only"
_WRITABLE = {
    "database": "ALTER DATABASE {database} RESET {setting}",
    "user": "ALTER ROLE {login} RESET {setting}",
    "database user": "ALTER ROLE {login} IN DATABASE {database} RESET {setting}",
    "global": "ALTER ROLE ALL RESET {setting}",
    "client": "unset PGOPTIONS, or take options out of STAGE1_POSTGRES_URL",
    "configuration file": "ALTER SYSTEM SET {setting} = off; SELECT pg_reload_conf()",
}
"""What ends the setting, by the place that pg_settings says it comes from."""


def command(migration: MigrationContext, questdb: QuestDBTarget) -> None:
    """Refuse upgrade, downgrade or stamp where the history or the settings are not fit for any.

    Raises Stage1Error for several heads, and where QuestDB is neither set nor skipped.
    """
    if "destination_rev" in migration.opts:
        one_head(migration.opts["script"])
        if not questdb.skip:
            stage1_settings.require(questdb.settings)


def one_head(scripts: ScriptDirectory) -> str:
    """Return the head of the one history; raises Stage1Error when there are several."""
    heads = sorted(scripts.get_heads())
    if len(heads) != 1:
        raise Stage1Error(
            f"The history has {len(heads)} heads: {', '.join(heads)}. Nothing was changed.",
            next_step="put the one that is not released behind the other: give its file and its"
            " revision the next number, and name the other in its down_revision.",
        )
    return heads[0]


def postgres(connection: Connection, settings: PostgresSettings) -> None:
    """Raise PostgresError where PostgreSQL takes no changes, or has another encoding than UTF8."""
    found = connection.execute(_POSTGRES).one()
    where = f"PostgreSQL at {settings.where}"
    if found.standby:
        raise PostgresError(
            f"{where} is a standby server (in recovery) and takes no changes. Nothing was changed.",
            next_step="point STAGE1_POSTGRES_HOST and STAGE1_POSTGRES_PORT at the primary server.",
        )
    if found.read_only:
        ends = _WRITABLE.get(found.source, "set {setting} = off there")
        named = {"database": found.database, "login": found.login, "setting": _READ_ONLY}
        raise PostgresError(
            f"{where} is read-only ({_READ_ONLY} is on, set by: {found.source})."
            " Nothing was changed.",
            next_step=f"{ends.format(**named)}; then run the same command again.",
        )
    if found.encoding != "UTF8":
        raise PostgresError(
            f"{where} has the encoding {found.encoding}, and Stage1 needs UTF8."
            " Nothing was changed.",
            next_step="createdb --encoding=UTF8 --template=template0 <new name>, copy the rows"
            " with pg_dump and psql, and set STAGE1_POSTGRES_DB to the new name.",
        )


def questdb(
    target: QuestDBTarget, steps: Iterable[MigrationStep], scripts: ScriptDirectory
) -> None:
    """Raise QuestDBError where a step would meet a table in QuestDB that it cannot work with."""
    if target.skip:
        return
    if operations := _foreseen(steps, scripts):
        from stage1_schema.alembic_plugin import questdb_pending  # noqa: PLC0415 - slow to import

        with plain_questdb_errors():
            for views in filter(None, questdb_pending.check(target.client, operations)):
                log.warning("This run invalidates materialized views: %s", ", ".join(views))


def _foreseen(steps: Iterable[MigrationStep], scripts: ScriptDirectory) -> list[Operation]:
    """Return what the steps will do in QuestDB, by writing their script as `--sql` does."""
    found: list[Operation] = []
    opts = {
        "as_sql": True,
        "output_buffer": io.StringIO(),
        "literal_binds": True,
        "script": scripts,
        "questdb_pending": found,
    }
    running = op._proxy  # type: ignore[attr-defined]  # noqa: SLF001 - the run's own operations
    level = log.level
    log.setLevel(logging.WARNING)  # the log is of the run itself
    try:
        migration = MigrationContext.configure(dialect_name="postgresql", opts=opts)
        for step in steps:
            if isinstance(step, RevisionStep) and _names_questdb(step):
                _write(step, migration)
    finally:
        log.setLevel(level)
        running._install_proxy()  # noqa: SLF001 - Alembic leaves none behind
    return found


def _write(step: RevisionStep, migration: MigrationContext) -> None:
    try:
        with Operations.context(migration):
            step.migration_fn()
    except Exception as error:  # noqa: BLE001 - no script can be made of it, as by reading rows
        log.warning(
            "What %s does in QuestDB is not known before it runs: %s", step.short_log, error
        )


def _names_questdb(step: RevisionStep) -> bool:
    return "questdb" in Path(step.revision.path).read_text(encoding="utf-8")
