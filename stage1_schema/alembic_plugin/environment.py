"""How one Alembic run behaves: its arguments, its connection, its checks before it starts.

`migrations/env.py` calls `run` and holds nothing else.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from stage1_schema import session
from stage1_schema import settings as stage1_settings
from stage1_schema.alembic_plugin import (
    autogenerate,
    history,
    legacy_late,
    limits,
    ownership,
    preflight,
    standing,
)
from stage1_schema.alembic_plugin.history import Journal
from stage1_schema.alembic_plugin.questdb_ops import QuestDBTarget, questdb_script
from stage1_schema.alembic_plugin.runner import Runner
from stage1_schema.alembic_plugin.verbatim import literal
from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import NoPythonError, Stage1Error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationStep
    from sqlalchemy import Connection, MetaData
    from sqlalchemy.schema import SchemaItem

    from questdb_ddl import Table
    from stage1_schema.alembic_plugin.limits import Limits
    from stage1_schema.settings import Settings

    Recorded = Callable[[Connection, Collection[str]], Collection[Table]]

log = logging.getLogger("alembic.runtime.migration")

# What `alembic -x name=value` may say; `<…>` stands for any text. A bare `drop` is refused where
# rows stand, with the name that it wants.
ARGUMENTS = {
    "questdb": ("skip",),
    "legacy": ("import", "import:<schema>", "archive", "drop:<database>", "drop"),
    "lock_timeout": ("<seconds>",),
    "questdb_sql": ("<file>",),  # offline, where the statements for QuestDB go
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
    "compare_type": autogenerate.leave_type,
    "include_object": ours,
}


def run(context: EnvironmentContext, recorded: Recorded) -> None:
    """Run Alembic's command on the stores of the settings in force.

    `recorded` returns the QuestDB tables that PostgreSQL declares beside the shared ones, given
    the names of all that stand.
    A caller may pass in `config.attributes`: `settings`; an open SQLAlchemy `connection` (with a
    transaction of the caller's on it, nothing is committed); `under_lock`, called with the
    connection before the first step, which may raise. Raises CommandError, one line.
    """
    with _one_line_errors():
        arguments = _arguments(context)
        bounds = limits.load(stage1_settings.given(), wait=arguments.get("lock_timeout"))
        if context.is_offline_mode():
            _offline(context, bounds, arguments)
            return
        given = context.config.attributes
        given["questdb_recorded"] = recorded
        if (settings := given.get("settings")) is None:
            settings = stage1_settings.load()
            log.info(settings.targets(skip_questdb=arguments.get("questdb") == "skip"))
        if (connection := given.get("connection")) is not None:
            with _opened(connection) as connection:
                nested = connection.in_transaction()
                with _as_it_was(connection, nested=nested):
                    _online(context, connection, settings, arguments, bounds, nested=nested)
        else:
            with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
                _online(context, connection, settings, arguments, bounds, nested=False)


@contextmanager
def _opened(connection: Any) -> Iterator[Connection]:  # noqa: ANN401 - pytest-alembic has its own
    """Yield the connection itself, or one of the engine that was passed in its place."""
    if not hasattr(connection, "connect"):
        yield connection
        return
    with connection.connect() as opened:
        yield opened


def _offline(context: EnvironmentContext, bounds: Limits, arguments: dict[str, str]) -> None:
    if "legacy" in arguments:
        raise Stage1Error(
            "A script cannot take a database over: -x legacy and --sql exclude each other.",
            next_step="run alembic upgrade head against the database.",
        )
    given = context.config.attributes
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # else `%` comes out doubled
        literal_binds=True,
        target_metadata=_Declared(),  # type: ignore[arg-type]  # stands for it
        transaction_per_migration=True,
        limits=bounds,
        questdb_sql=questdb_script(arguments.get("questdb_sql")),
        questdb_pending=given.get("questdb_pending"),
        # A plan shows the steps alone.
        on_version_apply=given.get("on_version_apply", history.on_version_apply),
    )
    preflight.one_head(context.script)
    roles = stage1_settings.roles()
    context.get_context().impl.static_output(
        f"{session.sql()};\n"
        f"{bounds.ddl.sql};\n"
        f"SELECT {_role_settings(literal(roles.app), literal(roles.readonly))};\n"
    )
    with context.begin_transaction():
        context.run_migrations()


def _online(
    context: EnvironmentContext,
    connection: Connection,
    settings: Settings,
    arguments: dict[str, str],
    bounds: Limits,
    *,
    nested: bool,
) -> None:
    journal = Journal()
    questdb = QuestDBTarget(
        settings.questdb, skip=arguments.get("questdb") == "skip", told=journal.questdb.append
    )
    if "connection" not in context.config.attributes:
        ownership.act_as_owner(connection, settings.roles.owner)
    history.only(MigrationContext.configure(connection).get_current_heads())
    _set_session(connection, settings, bounds, local=nested)
    # Alembic would take an open transaction for its caller's, and never commit.
    if not nested:
        connection.commit()

    context.configure(
        connection=connection,
        questdb=questdb,
        questdb_recorded=context.config.attributes["questdb_recorded"],
        legacy=arguments.get("legacy"),
        limits=bounds,
        journal=journal,
        target_metadata=_Declared(),  # type: ignore[arg-type]  # stands for it
        transaction_per_migration=True,
        **COMPARISON,
        process_revision_directives=autogenerate.directives,
        on_version_apply=(legacy_late.on_version_apply, history.on_version_apply),  # type: ignore[arg-type]
    )
    migration = context.get_context()
    preflight.command(migration, questdb)
    _find_changed(migration, connection, nested=nested)

    runner = Runner(
        migration,
        limits=bounds,
        journal=journal,
        connect=lambda: _beside(connection),
        before_lock=lambda steps: _before_first(
            steps, connection, settings, questdb, arguments.get("legacy")
        ),
        under_lock=lambda steps: _under_lock(context, connection, questdb, steps),
        nested=nested,
    )
    try:
        with plain_errors(settings.postgres), context.begin_transaction():
            runner.run(context.run_migrations)
    finally:
        questdb.close()


def _find_changed(migration: MigrationContext, connection: Connection, *, nested: bool) -> None:
    """Find applied revisions whose file has changed, where drift is looked for."""
    if migration.opts.get("revision_context") is not None:
        scripts = migration.opts["script"]
        migration.opts["changed"] = history.changed_revisions(connection, scripts)
        if not nested:
            connection.rollback()


def _before_first(
    steps: list[MigrationStep],
    connection: Connection,
    settings: Settings,
    questdb: QuestDBTarget,
    legacy: str | None,
) -> None:
    """Ask for both stores before a run's first step, and only if there is a step to run."""
    preflight.postgres(connection, settings.postgres)
    if any(isinstance(step, RevisionStep) for step in steps):
        questdb.require()
        if legacy and not any(map(_is_reset, steps)):
            log.warning("-x legacy= does nothing here: the database is past revision 0001")


def _under_lock(
    context: EnvironmentContext,
    connection: Connection,
    questdb: QuestDBTarget,
    steps: list[MigrationStep],
) -> None:
    """Ask once more, now that nobody else can migrate; so may the caller."""
    preflight.questdb(questdb, steps, context.script)
    if (callers := context.config.attributes.get("under_lock")) is not None:
        callers(connection)


def _set_session(
    connection: Connection, settings: Settings, bounds: Limits, *, local: bool
) -> None:
    connection.execute(
        text(
            f"SELECT {_role_settings(':app', ':readonly', local=local)},"
            " set_config('lock_timeout', :lock, :local),"
            " set_config('statement_timeout', :statement, :local)"
        ),
        {
            "app": settings.roles.app,
            "readonly": settings.roles.readonly,
            "lock": str(bounds.ddl.lock_ms),
            "statement": str(bounds.ddl.statement_ms),
            "local": local,
        },
    )


@contextmanager
def _as_it_was(connection: Connection, *, nested: bool) -> Iterator[None]:
    """Set a caller's session as every session of ours is, and give it back as it was."""
    before = _settings_of(connection)
    connection.exec_driver_sql(session.sql(local=nested))
    if not nested:
        connection.commit()
    try:
        yield
    except BaseException:
        with suppress(SQLAlchemyError):  # lost, or the caller's rollback gives it back
            if not nested:
                connection.rollback()
            _give_back(connection, before, nested=nested)
        raise
    _give_back(connection, before, nested=nested)


def _settings_of(connection: Connection) -> dict[str, str | None]:
    names = (*session.SETTINGS, "check_function_bodies", "stage1.app_role", "stage1.readonly_role")
    columns = ", ".join(f"current_setting('{name}', true)" for name in names)
    row = connection.exec_driver_sql(f"SELECT {columns}").one()
    return dict(zip(names, row, strict=True))


def _give_back(connection: Connection, before: dict[str, str | None], *, nested: bool) -> None:
    for name, value in _settings_of(connection).items():
        if value != before[name]:
            connection.execute(
                text("SELECT set_config(:name, :value, :local)"),
                {"name": name, "value": before[name], "local": nested},
            )
    if not nested:
        connection.commit()


def _beside(connection: Connection) -> Any:  # noqa: ANN401 - the driver's own
    """Return a second connection to the same database: of psycopg, outside any pool."""
    raw = connection.engine.raw_connection()
    driver: Any = raw.driver_connection
    raw.detach()
    driver.autocommit = True
    driver.execute(session.sql())
    return driver


class _Declared:
    """The models' metadata, imported when autogenerate asks for it: an upgrade never does."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever MetaData has
        return getattr(self._metadata, name)

    @cached_property
    def _metadata(self) -> MetaData:
        from stage1_schema.models import Base  # noqa: PLC0415 - slow to import

        return Base.metadata


def _is_reset(step: object) -> bool:
    """Tell whether a step is the one that `-x legacy=` speaks to."""
    return isinstance(step, RevisionStep) and step.is_upgrade and step.revision.is_base


def _role_settings(app: str, readonly: str, *, local: bool = False) -> str:
    """Return columns of a SELECT that tell the frozen grants which roles they are for."""
    till = str(local).lower()
    return (
        f"set_config('stage1.app_role', {app}, {till}),"
        f" set_config('stage1.readonly_role', {readonly}, {till}),"
        f" set_config('check_function_bodies', 'off', {till})"  # bodies name each other
    )


def _arguments(context: EnvironmentContext) -> dict[str, str]:
    """Return what `-x` said; an unknown name or value is refused before anything runs."""
    known = "; ".join(f"{name}={'|'.join(values)}" for name, values in ARGUMENTS.items())
    arguments: dict[str, str] = {}
    for argument in context.get_x_argument():
        name, _, value = argument.partition("=")
        if not any(_matches(value, allowed) for allowed in ARGUMENTS.get(name, ())):
            raise Stage1Error(f"Unknown argument -x {argument}.", next_step=f"use one of: {known}.")
        arguments[name] = value
    return arguments


def _matches(value: str, allowed: str) -> bool:
    fixed, placeholder, _ = allowed.partition("<")
    return value.startswith(fixed) and value != fixed if placeholder else value == allowed


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except Stage1Error as error:
        raise CommandError(str(error)) from error
    except SyntaxError as error:
        raise CommandError(str(NoPythonError(error))) from error
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):
            raise
        raise CommandError(
            f"{error}. Next: if the database is ahead of this checkout (stage1 status), update the"
            " checkout; alembic history lists what it knows."
        ) from error
