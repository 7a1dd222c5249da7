"""The way back from a backup: verified first, beside what stands, swapped in by a rename.

Nothing is dropped: the database that stood is kept under another name, and QuestDB's files go into
an empty directory.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from stage1_schema.connect import connect, plain_errors
from stage1_schema.errors import ConfirmationError, PostgresError, Stage1Error, VerificationError
from stage1_schema.ops import backup_files as files
from stage1_schema.ops import databases, postgres_tools, restore_role, trees
from stage1_schema.servers.files import private_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from stage1_schema.settings import PostgresSettings, Settings

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
    owner: str
    others: Mapping[str, str]
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
        owner = databases.owner(it, database) or manifest.postgres.owner
        obstacles = [
            *databases.obstacles(it, settings.postgres),
            *_missing_roles(it, {owner, *manifest.postgres.others.values()}),
        ]
    return Plan(
        backup=str(backup),
        finished=manifest.finished,
        backed_up=manifest.database,
        where=settings.postgres.where,
        database=database,
        standing=standing,
        tables=manifest.postgres.tables,
        dumped_with=manifest.postgres.pg_dump,
        owner=owner,
        others=manifest.postgres.others,
        restored_as=databases.name(database, f"_restored_{now}"),
        kept_as=databases.name(database, f"_before_{now}"),
        obstacles=tuple(obstacles),
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
    refuse_obstacles(intent)


def refuse_obstacles(intent: Plan) -> None:
    """Raise PostgresError where something is in the way."""
    if intent.obstacles:
        raise PostgresError(
            f"The database cannot be replaced: {'; '.join(intent.obstacles)}. Nothing was changed.",
            next_step="remove what is in the way, then run it again.",
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
        try:
            progress(f"restoring into {intent.restored_as}")
            _fill(server, tools, new, backup / files.DUMP, intent)
            progress("comparing rows")
            with closing(connect(new)) as connection:
                _compare(postgres_tools.count(connection), intent.tables)
        except BaseException:
            with suppress(psycopg.Error):
                databases.drop(server, intent.restored_as)
                restore_role.drop(server, intent.restored_as)
            raise
        progress("swapping")
        databases.swap(server, intent.restored_as, intent.database, intent.kept_as)


def _fill(
    server: psycopg.Connection[Any],
    tools: postgres_tools.Tools,
    new: PostgresSettings,
    dump: Path,
    intent: Plan,
) -> None:
    """Make the new database and restore the dump into it, never as a superuser."""
    name, like, owner = intent.restored_as, intent.database, intent.owner
    if not restore_role.is_superuser(server):
        databases.create_like(server, name, like, owner)
        postgres_tools.restore(tools, new, dump, f"--role={owner}")
        return
    with restore_role.login(server, new, name) as worker:
        databases.create_like(server, name, like, name)
        restore_role.restore(tools, new, worker, dump, owner=owner, others=intent.others)


def _missing_roles(server: psycopg.Connection[Any], wanted: set[str]) -> Iterator[str]:
    query = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
    found = {row[0] for row in server.execute(query, [sorted(wanted)]).fetchall()}
    for name in sorted(wanted - found):
        yield f'there is no role {name}, which owned some of it (CREATE ROLE "{name}")'


@dataclass(frozen=True)
class Copied:
    """How many files of QuestDB, and of how many bytes."""

    files: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.files:,} {'file' if self.files == 1 else 'files'}, {self.bytes:,} bytes"


def plan_questdb(backup: Path, manifest: files.Manifest, target: Path) -> Copied:
    """Return what `copy_questdb` would copy; changes nothing.

    Raises Stage1Error where something is in the way.
    """
    if manifest.questdb is None:
        raise Stage1Error(f"{backup} holds no QuestDB.", next_step="use one that does.")
    try:
        _refuse_target(target, manifest.questdb.bytes)
    except OSError as error:
        raise _unusable(error) from error
    return Copied(manifest.questdb.files, manifest.questdb.bytes)


def copy_questdb(
    backup: Path,
    manifest: files.Manifest,
    target: Path,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Copied:
    """Copy QuestDB's root into an empty directory, for a server to recover on its first start.

    Until the copy is whole it is in `partial` there, where no server looks. What is copied is
    compared with the hashes once more. Raises Stage1Error.
    """
    plan_questdb(backup, manifest, target)
    try:
        partial = target / PARTIAL
        try:
            private_directory(target)
            copied = list(trees.copy(backup / files.ROOT, partial, progress))
            files.refuse_damaged(backup, files.differences(backup, copied))
            for child in partial.iterdir():
                child.rename(target / child.name)
            partial.rmdir()
            (target / TRIGGER).touch(mode=0o600)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise _unusable(error) from error
    found = [file for _, _, file in copied if file is not None]
    return Copied(len(found), sum(file.bytes for file in found))


def _refuse_target(target: Path, size: int) -> None:
    """Raise Stage1Error or OSError where a copy into `target` would fail."""
    if target.exists() and any(target.iterdir()):
        raise Stage1Error(
            f"{target} is not an empty directory. Nothing was changed.",
            next_step="name an empty one: files of a server are not written over.",
        )
    above = next(each for each in (target, *target.absolute().parents) if each.exists())
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(above))
    if (free := shutil.disk_usage(above).free) < size:
        raise Stage1Error(
            f"The disk of {above} has {free:,} bytes left, and the copy may take {size:,}.",
            next_step="make room there, or name another directory.",
        )


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
