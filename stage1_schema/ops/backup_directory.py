"""The directory that backups stand in: one writer at a time, leftovers cleared, old ones removed.

Only what is named as a backup and holds a manifest of stage1 is ever removed, or what is named as
one that was never finished.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stage1_schema.errors import Stage1Error
from stage1_schema.ops import backup_files as files
from stage1_schema.ops import checkpoint
from stage1_schema.servers.files import private_directory, private_opener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOCK_FILE = ".lock"


def taken(what: str) -> Stage1Error:
    """Return the error of a backup that finds another one at work."""
    return Stage1Error(
        f"Another backup {what} is running. Nothing was written.",
        next_step="wait for it to end.",
    )


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Be the only one that writes into `directory`; the lock ends with the process."""
    private_directory(directory)
    with open(directory / LOCK_FILE, "ab", opener=private_opener) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken(f"into {directory}") from None
        yield


@contextmanager
def whole_or_not(directory: Path) -> Iterator[tuple[Path, Path, datetime]]:
    """Give a new directory to write into and the path that it has after the block, and its time.

    When the block fails nothing of it stays but the note of a checkpoint that may still stand.
    """
    while (path := directory / f"stage1_{(now := datetime.now(UTC)):%Y%m%dT%H%M%SZ}").exists():
        time.sleep(0.2)
    partial = path.with_name(path.name + files.PARTIAL)
    try:
        partial.mkdir(mode=0o700)
        yield partial, path, now
        partial.rename(path)
    except BaseException:
        if (partial / checkpoint.NOTE).exists():
            shutil.rmtree(partial / files.ROOT, ignore_errors=True)
            (partial / files.DUMP).unlink(missing_ok=True)
        else:
            shutil.rmtree(partial, ignore_errors=True)
        raise


def clear_leftovers(directory: Path, release: Callable[[Path], None] | None) -> None:
    """Remove what killed backups left; `release` gets the note of a checkpoint among it.

    Without `release` such a leftover stays for the next backup that has one.
    """
    for left in directory.glob(f"*{files.PARTIAL}"):
        if files.NAME.fullmatch(left.name.removesuffix(files.PARTIAL)) and left.is_dir():
            if (note := left / checkpoint.NOTE).exists():
                if release is None:
                    continue
                release(note)
            shutil.rmtree(left)


def remove_old(directory: Path, database: str, keep: int) -> Iterator[str]:
    """Remove the whole backups of `database` beyond the newest `keep`, and yield their names.

    One without QuestDB never pushes out one with it.
    """
    for questdb in (True, False):
        standing = [p for p, m in _standing(directory, database) if bool(m.questdb) is questdb]
        for path in standing[keep:]:
            gone = path.rename(path.with_name(path.name + files.PARTIAL))
            shutil.rmtree(gone)
            yield path.name


def _standing(directory: Path, database: str) -> Iterator[tuple[Path, files.Manifest]]:
    """Yield the newest first."""
    for path in sorted(directory.iterdir(), reverse=True):
        if files.NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            try:
                manifest = files.read(path)
            except Stage1Error:
                continue
            if manifest.database == database:
                yield path, manifest
