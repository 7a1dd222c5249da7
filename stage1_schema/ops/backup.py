"""The nightly backup of both stores: one directory that stands whole or not at all.

PostgreSQL goes first, then QuestDB: writers record a series in PostgreSQL after they have written
it, so whatever the dump names is in the copy of QuestDB.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from psycopg import IsolationLevel, sql

from stage1_schema.connect import connect, plain_errors
from stage1_schema.errors import Stage1Error
from stage1_schema.locks import BACKUP_LOCK, UPGRADE_LOCK, wait_for
from stage1_schema.ops import backup_directory as shelf
from stage1_schema.ops import backup_files as files
from stage1_schema.ops import checkpoint, postgres_tools, restore_role, series, trees
from stage1_schema.questdb import plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

    from questdb_ddl import Client
    from stage1_schema.settings import Settings

UPGRADE_WAIT_S = 600


@dataclass(frozen=True)
class Options:
    """Where to, how many to keep, and where the root of QuestDB is if the server's is not it."""

    directory: Path
    keep: int = 14
    questdb_root: Path | None = None
    skip_questdb: bool = False


@dataclass(frozen=True)
class Result:
    """The backup that stands now, and the older ones that went."""

    path: Path
    manifest: files.Manifest
    removed: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return {"path": str(self.path), "removed": self.removed, **asdict(self.manifest)}


def run(
    settings: Settings, options: Options, progress: Callable[[str], None] = lambda _: None
) -> Result:
    """Make a backup, check it, and then remove those beyond `keep`. Raises Stage1Error.

    After a failure nothing new stands; what a killed one left is cleared by the next.
    """
    try:
        with plain_errors(settings.postgres), plain_questdb_errors():
            return _Backup(settings, options, progress).run()
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise Stage1Error(
            f"The backup was not made: {error.strerror or error}{where}.",
            next_step="make room or give access there, then run it again.",
        ) from error


class _Backup:
    def __init__(
        self, settings: Settings, options: Options, progress: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._options = options
        self._tell = progress
        self._directory = options.directory.absolute()

    def run(self) -> Result:
        with closing(connect(self._settings.postgres, autocommit=True)) as connection:
            _stand_still(connection)
            tools = postgres_tools.find(connection.info.server_version // 10_000)
            root = self._root()
            with shelf.alone(self._directory):
                shelf.clear_leftovers(self._directory, self._release if root else None)
                with shelf.whole_or_not(self._directory) as (partial, path, started):
                    manifest = self._write(partial, connection, tools, root, started)
                self._tell("removing old backups")
                return Result(path, manifest, tuple(self._remove_old(path)))

    def _release(self, note: Path) -> None:
        checkpoint.release_left(self._open, note)

    def _remove_old(self, path: Path) -> Iterator[str]:
        try:
            database, keep = self._settings.postgres.database, self._options.keep
            yield from shelf.remove_old(self._directory, database, keep)
        except OSError as error:
            raise Stage1Error(
                f"{path} stands, but an old backup could not be removed: {error.strerror}.",
                next_step=f"give access to {self._directory}; the next backup tries again.",
            ) from error

    def _open(self) -> Client:
        return series.long_client(self._settings)

    def _root(self) -> checkpoint.Root | None:
        if self._options.skip_questdb:
            return None
        with self._open() as questdb:
            root = checkpoint.find_root(questdb, self._options.questdb_root)
        if self._directory.resolve().is_relative_to(root.path):
            raise Stage1Error(
                f"{self._directory} is inside the root of QuestDB. Nothing was written.",
                next_step="name a --directory elsewhere, best on another disk.",
            )
        return root

    def _write(
        self,
        partial: Path,
        connection: psycopg.Connection[Any],
        tools: postgres_tools.Tools,
        root: checkpoint.Root | None,
        started: datetime,
    ) -> files.Manifest:
        self._tell("PostgreSQL: dumping")
        revision, postgres = self._dump(partial / files.DUMP, connection, tools)
        found = {files.DUMP: files.measure(partial / files.DUMP)}
        questdb = None
        if root is not None:
            questdb = self._copy(partial, root, connection)
            found[files.SUMS] = files.measure(partial / files.SUMS)
        manifest = files.Manifest(
            version=version("stage1-schema"),
            database=self._settings.postgres.database,
            revision=revision,
            started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
            finished=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            postgres=postgres,
            questdb=questdb,
            files=found,
        )
        self._tell("verifying what was written")
        postgres_tools.check(tools, partial / files.DUMP, len(postgres.tables))
        files.verify(partial, manifest)
        manifest.write(partial)
        os.sync()  # the rename below says that everything is on the disk
        return manifest

    def _dump(
        self, target: Path, connection: psycopg.Connection[Any], tools: postgres_tools.Tools
    ) -> tuple[str | None, files.PostgresPart]:
        """Dump and count in one snapshot: it lasts as long as the transaction that exported it."""
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        role = restore_role.acting_owner(connection)
        with connection.transaction():
            if role:
                connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            (snapshot,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            postgres_tools.dump(tools, self._settings.postgres, target, snapshot, role)
            tables = postgres_tools.count(connection)
            revision = None
            if tables.get("public.alembic_version"):
                query = "SELECT string_agg(version_num, ', ') FROM public.alembic_version"
                (revision,) = connection.execute(query).fetchone() or (None,)
            owner, others = restore_role.owners(connection)
        return revision, files.PostgresPart(
            where=self._settings.postgres.where,
            version=connection.info.parameter_status("server_version") or "unknown",
            pg_dump=tools.version,
            tables=tables,
            owner=owner,
            others=others,
        )

    def _copy(
        self, partial: Path, root: checkpoint.Root, connection: psycopg.Connection[Any]
    ) -> files.QuestDBPart:
        self._tell("QuestDB: checkpoint")
        copy = checkpoint.Root(partial / files.ROOT, partial / files.ROOT / root.db.name)
        with self._open() as questdb:
            low = checkpoint.count(questdb)
            with checkpoint.held(self._open, root, partial / checkpoint.NOTE):
                high = checkpoint.count(questdb)
                # Both stores are fixed from here on, so an upgrade may go on.
                connection.execute("SELECT pg_advisory_unlock_shared(%s)", [UPGRADE_LOCK])
                entries = list(trees.copy(root.path, copy.path, self._told_of_copy))
                rows = checkpoint.rows_in_copy(questdb, copy, low.rows, high.rows)
            copied = {name: file for name, _, file in entries if file is not None}
            files.write_sums(partial, copied)
            return files.QuestDBPart(
                where=self._settings.questdb.where,
                version=questdb.server_version(),
                tables=rows,
                suspended=high.suspended,
                files=len(copied),
                bytes=sum(file.bytes for file in copied.values()),
                vanished=sum(kind is trees.Kind.GONE for _, kind, _ in entries),
                left_out=tuple(name for name, kind, _ in entries if kind is trees.Kind.OTHER),
                detached=high.detached,
                unread=high.unread,
            )

    def _told_of_copy(self, name: str) -> None:
        self._tell(f"QuestDB: copying {name}")


def _stand_still(connection: psycopg.Connection[Any]) -> None:
    """Be the only backup of this database, and let no upgrade change a store in the middle."""
    connection.execute("SELECT set_config('application_name', 'stage1 backup', false)")
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [BACKUP_LOCK]).fetchone()
    if row is None or not row[0]:
        raise shelf.taken("of this database")
    wait_for(connection, UPGRADE_LOCK, "an upgrade", UPGRADE_WAIT_S, shared=True)
