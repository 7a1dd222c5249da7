"""The way back from a backup: verified first, beside what stands, swapped in by a rename.

Nothing is dropped: the database that stood is kept under another name, and QuestDB's files go into
an empty directory.
"""

from __future__ import annotations

import shutil
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg

from stage1_schema.connect import connect, plain_errors
from stage1_schema.errors import ConfirmationError, PostgresError, Stage1Error, VerificationError
from stage1_schema.ops import backup_files as files
from stage1_schema.ops import databases, postgres_tools

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from stage1_schema.settings import Settings

TRIGGER = "_restore"
"""The file that makes QuestDB go back to the checkpoint when it starts."""
PARTIAL = "partial"


@dataclass(frozen=True)
class Plan:
    """What a restore of PostgreSQL would replace. `standing` is None without such a database."""

    backup: str
    finished: str
    backed_up: str
    where: str
    database: str
    standing: Mapping[str, int] | None
    tables: Mapping[str, int]
    dumped_with: int
    restored_as: str
    kept_as: str
    obstacles: tuple[str, ...]

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """Each table, its rows now and its rows in the backup; a dash where it is not."""
        sides = (self.standing or {}, self.tables)
        return [
            (name, *(f"{side[name]:,}" if name in side else "-" for side in sides))  # type: ignore[misc]
            for name in sorted(sides[0].keys() | sides[1].keys())
        ]


def read(backup: Path) -> files.Manifest:
    """Return the manifest of a backup whose files are what was written. Raises Stage1Error."""
    manifest = files.read(backup)
    try:
        files.verify(backup, manifest)
    except OSError as error:
        raise _unusable(error) from error
    return manifest


def plan(settings: Settings, backup: Path, manifest: files.Manifest) -> Plan:
    """Return what restoring PostgreSQL would replace; changes nothing. Raises Stage1Error."""
    database = settings.postgres.database
    now = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
    standing = None
    with plain_errors(settings.postgres), closing(databases.maintenance(settings.postgres)) as it:
        if databases.exists(it, database):
            with closing(connect(settings.postgres)) as connection:
                standing = postgres_tools.count(connection)
        obstacles = tuple(databases.obstacles(it, settings.postgres))
    return Plan(
        backup=str(backup),
        finished=manifest.finished,
        backed_up=manifest.database,
        where=settings.postgres.where,
        database=database,
        standing=standing,
        tables=manifest.postgres.tables,
        dumped_with=manifest.postgres.pg_dump,
        restored_as=databases.name(database, f"_restored_{now}"),
        kept_as=databases.name(database, f"_before_{now}"),
        obstacles=obstacles,
    )


def confirm(intent: Plan, given: str | None) -> None:
    """Raise ConfirmationError unless the database was named, PostgresError for an obstacle."""
    if given != intent.database:
        said = "was not confirmed" if given is None else f"is not {given!r}"
        raise ConfirmationError(
            f"The database {intent.database} {said}. Nothing was changed.",
            next_step=f"stage1 restore {intent.backup} --postgres-only --confirm"
            f" {intent.database}.",
        )
    if intent.obstacles:
        raise PostgresError(
            f"The database cannot be replaced: {'; '.join(intent.obstacles)}. Nothing was changed.",
            next_step="remove what stands in the way, then run it again.",
        )


def apply(
    settings: Settings,
    backup: Path,
    intent: Plan,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Restore beside the database, compare every table's rows, then swap the two by renaming.

    Raises Stage1Error; until the swap the standing database is untouched.
    """
    new = databases.at(settings.postgres, intent.restored_as)
    with (
        plain_errors(settings.postgres),
        closing(databases.maintenance(settings.postgres)) as server,
    ):
        version = server.info.server_version // 10_000
        tools = postgres_tools.find(max(intent.dumped_with, version))
        databases.create_like(server, intent.restored_as, intent.database)
        try:
            progress(f"restoring into {intent.restored_as}")
            postgres_tools.restore(tools, new, backup / files.DUMP, intent.restored_as)
            progress("comparing rows")
            with closing(connect(new)) as connection:
                _compare(postgres_tools.count(connection), intent.tables)
        except BaseException:
            with suppress(psycopg.Error):
                databases.drop(server, intent.restored_as)
            raise
        progress("swapping")
        databases.swap(server, intent.restored_as, intent.database, intent.kept_as)


def copy_questdb(
    backup: Path,
    manifest: files.Manifest,
    target: Path,
    *,
    dry_run: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Copy QuestDB's root into an empty directory, for a server to recover on its first start.

    Until the copy is whole it is in `partial` there, where no server looks. Raises Stage1Error.
    """
    if manifest.questdb is None:
        raise Stage1Error(f"{backup} holds no QuestDB.", next_step="use one that does.")
    try:
        if target.exists() and any(target.iterdir()):
            raise Stage1Error(
                f"{target} is not an empty directory. Nothing was changed.",
                next_step="name an empty one: files of a server are not written over.",
            )
        if dry_run:
            return
        partial = target / PARTIAL
        try:
            partial.mkdir(parents=True)
            for _ in files.copy_tree(backup / files.ROOT, partial, progress):
                pass
            for child in partial.iterdir():
                child.rename(target / child.name)
            partial.rmdir()
            (target / TRIGGER).touch()
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise _unusable(error) from error


def _unusable(error: OSError) -> Stage1Error:
    where = f": {error.filename}" if error.filename else ""
    return Stage1Error(
        f"The files cannot be used: {error.strerror or error}{where}.",
        next_step="make room or give access there, then run it again.",
    )


def _compare(found: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    wrong = [
        f"{name} has {found.get(name, 0):,} rows and not {rows:,}"
        for name, rows in wanted.items()
        if found.get(name) != rows
    ]
    if wrong:
        raise VerificationError(
            f"What was restored is not what was dumped: {', '.join(wrong[:3])}. The database that"
            " stands was not touched.",
            next_step="use another backup.",
        )
