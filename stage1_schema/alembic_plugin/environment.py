"""How one Alembic run behaves: its arguments, its connection, its checks before it starts.

`migrations/env.py` calls `run` and holds nothing else.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import RevisionStep
from alembic.util import CommandError
from sqlalchemy import text

from stage1_schema import settings as stage1_settings
from stage1_schema.alembic_plugin import ownership, standing
from stage1_schema.alembic_plugin.questdb_ops import QuestDBTarget
from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import Stage1Error
from stage1_schema.locks import UPGRADE_LOCK, wait_for
from stage1_schema.models import Base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.operations.ops import MigrationScript
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection
    from sqlalchemy.schema import SchemaItem

    from stage1_schema.settings import Settings

REPLAY_WAIT_S = 600
"""Seconds that an upgrade waits for a replay to end."""

# What `alembic -x name=value` may say.
ARGUMENTS = {
    "questdb": ("skip",),
    "legacy": ("archive", "drop"),
}


def ours(
    item: SchemaItem,  # noqa: ARG001 - Alembic's signature
    name: str | None,
    kind: str,
    reflected: bool,  # noqa: FBT001 - Alembic's signature
    compare_to: SchemaItem | None,
) -> bool:
    """Tell whether autogenerate may look at a table: those of other software are not ours."""
    return not (kind == "table" and reflected and compare_to is None) or name in standing.TABLES


# How a database is compared with the declarations, by Alembic's commands and by `stage1 status`.
COMPARISON: dict[str, Any] = {
    "autogenerate_plugins": [
        "alembic.autogenerate.*",
        "alembic.ext.checkconstraint_byname",
        "stage1",
    ],
    "compare_server_default": True,
    "include_object": ours,
}


def run(context: EnvironmentContext) -> None:
    """Run Alembic's command on the stores of the settings in force.

    A caller may pass `settings` and an open SQLAlchemy `connection` in `config.attributes`.
    Raises CommandError, which Alembic prints as one line.
    """
    with _one_line_errors():
        arguments = _arguments(context)
        if context.is_offline_mode():
            _offline(context)
            return
        given = context.config.attributes
        settings = given.get("settings") or stage1_settings.load()
        if (connection := given.get("connection")) is not None:
            _online(context, connection, settings, arguments)
        else:
            with engine(settings.postgres).connect() as connection:
                _online(context, connection, settings, arguments)


def _offline(context: EnvironmentContext) -> None:
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # else `%` comes out doubled
        literal_binds=True,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
    )
    roles = stage1_settings.roles()
    context.get_context().impl.static_output(
        f"{_role_settings(_literal(roles.app), _literal(roles.readonly))};\n"
    )
    with context.begin_transaction():
        context.run_migrations()


def _online(
    context: EnvironmentContext,
    connection: Connection,
    settings: Settings,
    arguments: dict[str, str],
) -> None:
    questdb = QuestDBTarget(settings.questdb, skip=arguments.get("questdb") == "skip")
    connection.execute(
        text(_role_settings(":app", ":readonly")),
        {"app": settings.roles.app, "readonly": settings.roles.readonly},
    )
    if "connection" not in context.config.attributes:
        ownership.act_as_owner(connection, settings.roles.owner)
        # Alembic would take an open transaction for its caller's, and never commit.
        connection.commit()

    context.configure(
        connection=connection,
        questdb=questdb,
        legacy=arguments.get("legacy"),
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        **COMPARISON,
        process_revision_directives=_number,
    )
    _require_first(context.get_context(), questdb)
    try:
        with plain_errors(settings.postgres), context.begin_transaction():
            context.run_migrations()
    finally:
        questdb.close()


def _require_first(migration: MigrationContext, questdb: QuestDBTarget) -> None:
    """Make a run ask for QuestDB before its first step, and only if there is a step to run."""
    steps_of = migration._migrations_fn  # noqa: SLF001 - Alembic has no hook before the first step

    def checked(revision: Any, context: MigrationContext) -> list[RevisionStep]:  # noqa: ANN401
        steps = list(steps_of(revision, context)) if steps_of else []
        if any(isinstance(step, RevisionStep) for step in steps):
            _wait_for_replays(context)
            questdb.require()
        return steps

    migration._migrations_fn = checked  # noqa: SLF001


def _wait_for_replays(context: MigrationContext) -> None:
    """Keep replays out until the session ends: they need the schema to stand still."""
    if context.connection is not None:
        driver: Any = context.connection.connection.driver_connection
        wait_for(driver, UPGRADE_LOCK, "a replay", REPLAY_WAIT_S)


def _role_settings(app: str, readonly: str) -> str:
    """Return SQL that tells the frozen grants which roles they are for."""
    return (
        f"SELECT set_config('stage1.app_role', {app}, false),"
        f" set_config('stage1.readonly_role', {readonly}, false)"
    )


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _arguments(context: EnvironmentContext) -> dict[str, str]:
    """Return what `-x` said; an unknown name or value is refused before anything runs."""
    known = "; ".join(f"{name}={'|'.join(values)}" for name, values in ARGUMENTS.items())
    arguments: dict[str, str] = {}
    for argument in context.get_x_argument():
        name, _, value = argument.partition("=")
        if value not in ARGUMENTS.get(name, ()):
            raise Stage1Error(f"Unknown argument -x {argument}.", next_step=f"use one of: {known}.")
        arguments[name] = value
    return arguments


def _number(
    context: MigrationContext,
    revision: object,  # noqa: ARG001 - Alembic's signature
    scripts: list[MigrationScript],
) -> None:
    """Give a new revision the number that follows its parent: 0001, 0002 and so on."""
    script = scripts[0]
    parent = script.head if isinstance(script.head, str) else None
    before = parent.partition("@")[0] if parent else ""
    if before in ("", "head"):
        before = context.opts["script"].get_current_head() or "0000"
    script.rev_id = f"{int(before) + 1:04d}"


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except Stage1Error as error:
        raise CommandError(str(error)) from error
