"""Run Alembic from a program: the same history and the same checks as its command line."""

from __future__ import annotations

import logging
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from stage1_schema.alembic_plugin import history, preflight
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from stage1_schema.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]


def config(settings: Settings | None = None, arguments: Sequence[str] = ()) -> Config:
    """Return Alembic's configuration for `settings`; `arguments` are what `-x` would say.

    Raises Stage1Error when neither the current directory nor the checkout holds alembic.ini.
    """
    places = (Path.cwd() / "alembic.ini", CHECKOUT / "alembic.ini")
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise Stage1Error("There is no alembic.ini here.", next_step="run this in the checkout.")
    result = Config(path, cmd_opts=Namespace(x=list(arguments)))
    result.attributes["settings"] = settings
    result.attributes["keep_logging"] = True
    return result


def head() -> str:
    """Return the head of the one history; raises Stage1Error when there are several."""
    return preflight.one_head(ScriptDirectory.from_config(config()))


def revision(connection: Connection) -> str | None:
    """Return the revision that the database stands at; None where nothing was migrated.

    Raises Stage1Error where `alembic_version` names several.
    """
    return history.only(MigrationContext.configure(connection).get_current_heads())


def known(revision: str | None) -> bool:
    """Tell whether the history here has `revision`; that of a newer checkout it has not."""
    scripts = ScriptDirectory.from_config(config())
    return revision is None or any(each.revision == revision for each in scripts.walk_revisions())


def pending(revision: str | None) -> tuple[str, ...]:
    """Return the revisions after `revision`, in order, each with the hash of its files."""
    scripts = ScriptDirectory.from_config(config())
    with one_line_errors():
        steps = list(scripts.iterate_revisions("head", revision or "base"))
    return tuple(f"{each.revision} {history.file_hash(each, scripts)}" for each in steps[::-1])


def changed(connection: Connection) -> tuple[history.Changed, ...]:
    """Return the applied revisions whose file is no longer what was applied."""
    return history.changed_revisions(connection, ScriptDirectory.from_config(config()))


def upgrade(
    settings: Settings,
    *,
    arguments: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
    under_lock: Callable[[Connection], None] | None = None,
) -> None:
    """Bring both stores to head; `progress` is told each step. Raises Stage1Error.

    `under_lock` is called before the first step, when nobody else can migrate, and may raise.
    """
    with _told(progress), one_line_errors():
        intent = config(settings, arguments)
        intent.attributes["under_lock"] = under_lock
        command.upgrade(intent, "head")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn Alembic's errors inside the block into the Stage1Error that they come from."""
    try:
        yield
    except CommandError as error:
        raise (
            error.__cause__ if isinstance(error.__cause__, Stage1Error) else Stage1Error(str(error))
        ) from None


@contextmanager
def _told(progress: Callable[[str], None] | None) -> Iterator[None]:
    """Pass on what Alembic logs about its steps."""
    logger = logging.getLogger("alembic.runtime.migration")
    handler = _Callback(progress or (lambda _: None))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Callback(logging.Handler):
    def __init__(self, told: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.startswith(("Context impl", "Will assume")):
            self._told(text)
