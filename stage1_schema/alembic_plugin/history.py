"""Record every applied step in `stage1_migration_history`, in the step's own transaction."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, inspect, select, text
from sqlalchemy.schema import CreateTable

from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from alembic.script import Script, ScriptDirectory
    from sqlalchemy import Connection

    from stage1_schema.settings import Roles

TABLE = "stage1_migration_history"
STOOD = "/* done before */ "
"""Begins a statement for QuestDB that this run did not have to send."""

GRANT = """
DO $$
DECLARE
    app text := coalesce(nullif(current_setting('stage1.app_role', true), ''), 'stage1_app');
    readonly text := coalesce(
        nullif(current_setting('stage1.readonly_role', true), ''), 'stage1_readonly');
    history regclass := to_regclass('public.stage1_migration_history');
    role record;
    found record;
BEGIN
    FOR role IN SELECT oid, rolname FROM pg_roles WHERE rolname IN (app, readonly) LOOP
        -- An owner keeps its rights. Default privileges may have given others more than these:
        -- only the owner writes revision and history.
        FOR found IN
            SELECT c.oid::regclass AS name, ARRAY(
                   SELECT a.privilege_type FROM aclexplode(c.relacl) a WHERE a.grantee = role.oid
                   ) AS rights
              FROM pg_class c
             WHERE c.oid IN (history, to_regclass('public.alembic_version'))
               AND c.relowner <> role.oid AND pg_has_role(c.relowner, 'USAGE')
        LOOP
            IF found.rights && ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] THEN
                EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON %s FROM %I',
                               found.name, role.rolname);
            END IF;
            IF found.name = history AND 'SELECT' <> ALL(found.rights) THEN
                EXECUTE format('GRANT SELECT ON %s TO %I', found.name, role.rolname);
            END IF;
        END LOOP;
    END LOOP;
END $$
"""


def only(heads: Collection[str]) -> str | None:
    """Return the one revision that `alembic_version` names, or None; raises Stage1Error."""
    if len(heads) > 1:
        raise Stage1Error(
            f"alembic_version names {len(heads)} revisions: {', '.join(sorted(heads))}.",
            next_step="find out with stage1 history which is right, and delete the others there.",
        )
    return next(iter(heads), None)


@dataclass
class Journal:
    """What the step that is running has done so far; `questdb` are its statements."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    questdb: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Start the next step."""
        self.started = datetime.now(UTC)
        self.questdb.clear()

    def stood(self, statements: Iterable[str]) -> None:
        """Note statements whose work was found done: by an earlier try, or by hand."""
        for statement in statements:
            if statement not in self.questdb:
                self.questdb.append(STOOD + statement)


@dataclass(frozen=True)
class Entry:
    """One applied step. Times are UTC."""

    revision: str
    direction: str
    file_sha256: str | None
    started_at: datetime
    duration_ms: int
    db_user: str
    os_user: str | None
    host: str | None
    application_version: str | None
    questdb: list[str]


@dataclass(frozen=True)
class Changed:
    """An applied revision whose file, or frozen SQL, is no longer what was applied."""

    revision: str
    applied_sha256: str
    file_sha256: str

    def __str__(self) -> str:
        return (
            f"revision {self.revision} changed after it was applied:"
            f" {self.applied_sha256[:12]} ran here, the file is {self.file_sha256[:12]} now"
        )


def on_version_apply(
    ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object
) -> None:
    """Record `step`; Alembic calls it inside the step's transaction, and as it writes a script."""
    del heads, run_args
    journal: Journal | None = ctx.opts.get("journal")
    for revision, script in _revisions(ctx, step):
        values = {
            "revision": revision,
            "direction": _direction(step),
            "file_sha256": script and file_hash(script, ctx.opts["script"]),
        }
        if ctx.as_sql:
            _script(ctx, values)
        elif ctx.connection is not None and journal is not None:
            _write(ctx.connection, journal, **values)


def note(connection: Connection, direction: str, revision: str) -> None:
    """Record something that is no step of Alembic, such as a reset, where history is kept."""
    if inspect(connection).has_table(TABLE, schema="public"):
        _write(connection, Journal(), revision=revision, direction=direction)


def create(connection: Connection, roles: Roles | None = None) -> None:
    """Create the table where it is missing; the application's roles may read it."""
    from stage1_schema.models.history import MIGRATION_HISTORY  # noqa: PLC0415 - only for a step

    if roles is not None:
        connection.execute(
            text(
                "SELECT set_config('stage1.app_role', :app, false),"
                " set_config('stage1.readonly_role', :readonly, false)"
            ),
            {"app": roles.app, "readonly": roles.readonly},
        )
    connection.execute(CreateTable(MIGRATION_HISTORY, if_not_exists=True))
    connection.execute(Verbatim(GRANT))


def read(connection: Connection) -> tuple[Entry, ...]:
    """Return every step that was applied, oldest first; empty where nothing was recorded."""
    from stage1_schema.models.history import MIGRATION_HISTORY  # noqa: PLC0415

    if not inspect(connection).has_table(TABLE, schema="public"):
        return ()
    columns = [c for c in MIGRATION_HISTORY.c if c.name != "id"]
    rows = connection.execute(select(*columns).order_by(MIGRATION_HISTORY.c.id))
    return tuple(Entry(**row) for row in rows.mappings())


def changed_revisions(connection: Connection, scripts: ScriptDirectory) -> tuple[Changed, ...]:
    """Return the applied revisions whose file has changed since; empty where none is recorded."""
    from stage1_schema.models.history import MIGRATION_HISTORY  # noqa: PLC0415 - as above

    applied: dict[str, str] = {}
    if not inspect(connection).has_table(TABLE, schema="public"):
        return ()
    kept = MIGRATION_HISTORY.c  # no more of them: another one may be gone
    rows = select(kept.revision, kept.direction, kept.file_sha256).order_by(kept.id)
    for entry in connection.execute(rows):
        # A stamp says nothing of what ran.
        if entry.direction == "upgrade" and entry.file_sha256:
            applied[entry.revision] = entry.file_sha256
        elif entry.direction == "downgrade":
            applied.pop(entry.revision, None)
        elif entry.direction == "reset":
            applied.clear()
    now = {
        script.revision: file_hash(script, scripts)
        for script in scripts.walk_revisions()
        if script.revision in applied
    }
    return tuple(
        Changed(revision, applied[revision], now[revision])
        for revision in sorted(now)
        if now[revision] != applied[revision]
    )


def file_hash(script: Script, scripts: ScriptDirectory) -> str:
    """Return the sha256 over a revision's file and the frozen bodies of its number."""
    frozen = sorted((Path(scripts.dir) / "sql" / script.revision).glob("*.sql"))
    digest = hashlib.sha256()
    for path in (Path(script.path), *frozen):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _revisions(ctx: MigrationContext, step: MigrationInfo) -> list[tuple[str, Script | None]]:
    scripts: ScriptDirectory = ctx.opts["script"]
    if step.is_stamp:
        targets = step.destination_revision_ids or ("base",)
        return [(each, None if each == "base" else scripts.get_revision(each)) for each in targets]
    return [(each, scripts.get_revision(each)) for each in step.up_revision_ids]


def _direction(step: MigrationInfo) -> str:
    if step.is_stamp:
        return "stamp"
    return "upgrade" if step.is_upgrade else "downgrade"


def _write(connection: Connection, journal: Journal, **values: Any) -> None:  # noqa: ANN401
    from stage1_schema.models.history import MIGRATION_HISTORY  # noqa: PLC0415

    create(connection)
    elapsed = datetime.now(UTC) - journal.started
    connection.execute(
        insert(MIGRATION_HISTORY).values(
            **values,
            started_at=journal.started,
            duration_ms=round(elapsed.total_seconds() * 1000),
            db_user=func.current_user(),
            os_user=_os_user(),
            host=f"{platform.node()}:{os.getpid()}",
            application_version=version("stage1-schema"),
            questdb=list(journal.questdb),
        )
    )


def _script(ctx: MigrationContext, values: dict[str, Any]) -> None:
    """Have a script record its step; who runs it, for how long, and QuestDB it cannot know."""
    from stage1_schema.models.history import MIGRATION_HISTORY  # noqa: PLC0415

    if not ctx.opts.get("history_written"):
        ctx.opts["history_written"] = True
        ctx.execute(CreateTable(MIGRATION_HISTORY, if_not_exists=True))
        ctx.execute(Verbatim(GRANT))
    ctx.execute(
        insert(MIGRATION_HISTORY)
        .values(
            **values,
            started_at=func.now(),
            duration_ms=0,
            application_version=version("stage1-schema"),
        )
        .inline()
    )


def _os_user() -> str:
    try:
        return getpass.getuser()
    except OSError:  # a container's user id without a name
        return str(os.getuid())
