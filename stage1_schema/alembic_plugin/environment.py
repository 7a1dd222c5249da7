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
from stage1_schema.alembic_plugin import autogenerate, standing
from stage1_schema.alembic_plugin.questdb_ops import QuestDBTarget, questdb_script
from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection, MetaData
    from sqlalchemy.schema import SchemaItem

    from stage1_schema.settings import Settings

# What `alembic -x name=value` may say.
ARGUMENTS = {
    "questdb": ("skip",),
    "legacy": ("archive", "drop"),
    "questdb_sql": ("FILE",),  # any name: offline, where the statements for QuestDB go
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

    A caller may pass `settings` and a SQLAlchemy `connection` (or engine) in `config.attributes`.
    Raises CommandError, which Alembic prints as one line.
    """
    with _one_line_errors():
        arguments = _arguments(context)
        if context.is_offline_mode():
            _offline(context, arguments)
            return
        given = context.config.attributes
        settings = given.get("settings") or stage1_settings.load()
        if (connection := given.get("connection")) is not None:
            with _opened(connection) as connection:
                nested = connection.in_transaction()
                _online(context, connection, settings, arguments, nested=nested)
        else:
            with engine(settings.postgres).connect() as connection:
                _online(context, connection, settings, arguments, nested=False)


@contextmanager
def _opened(connection: Any) -> Iterator[Connection]:  # noqa: ANN401 - pytest-alembic has its own
    """Yield the connection itself, or one of the engine that was passed in its place."""
    if not hasattr(connection, "connect"):
        yield connection
        return
    with connection.connect() as opened:
        yield opened


def _offline(context: EnvironmentContext, arguments: dict[str, str]) -> None:
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # else `%` comes out doubled
        literal_binds=True,
        questdb_sql=questdb_script(arguments.get("questdb_sql")),
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
    *,
    nested: bool,
) -> None:
    questdb = QuestDBTarget(settings.questdb, skip=arguments.get("questdb") == "skip")
    connection.execute(
        text(_role_settings(":app", ":readonly")),
        {"app": settings.roles.app, "readonly": settings.roles.readonly},
    )
    # Alembic would take an open transaction for its caller's, and never commit.
    if not nested:
        connection.commit()

    context.configure(
        connection=connection,
        questdb=questdb,
        legacy=arguments.get("legacy"),
        target_metadata=_metadata(context),
        transaction_per_migration=True,
        **COMPARISON,
        process_revision_directives=autogenerate.directives,
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
            questdb.require()
        return steps

    migration._migrations_fn = checked  # noqa: SLF001


def _role_settings(app: str, readonly: str) -> str:
    """Return SQL that tells the frozen grants which roles they are for."""
    return (
        f"SELECT set_config('stage1.app_role', {app}, false),"
        f" set_config('stage1.readonly_role', {readonly}, false),"
        " set_config('check_function_bodies', 'off', false)"  # bodies name each other
    )


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _arguments(context: EnvironmentContext) -> dict[str, str]:
    """Return what `-x` said; an unknown name or value is refused before anything runs."""
    known = "; ".join(f"{name}={'|'.join(values)}" for name, values in ARGUMENTS.items())
    arguments: dict[str, str] = {}
    for argument in context.get_x_argument():
        name, _, value = argument.partition("=")
        allowed = ARGUMENTS.get(name, ())
        if value not in allowed and not (value and allowed == ("FILE",)):
            raise Stage1Error(f"Unknown argument -x {argument}.", next_step=f"use one of: {known}.")
        arguments[name] = value
    return arguments


def _metadata(context: EnvironmentContext) -> MetaData | None:
    """Return the declared tables, but not to a command that only moves: it saves the import."""
    proxied = getattr(context, "_proxy", context)  # env.py has a module that stands for it
    if {"destination_rev", "dont_mutate"} & proxied.context_opts.keys():
        return None
    from stage1_schema.models import Base  # noqa: PLC0415 - as said above

    return Base.metadata


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except Stage1Error as error:
        raise CommandError(str(error)) from error
