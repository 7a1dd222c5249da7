"""A tree of files, read and copied without ever leaving it.

Every file and directory is opened from the directory it was listed in, and never through a symbolic
link, so that a link put there meanwhile leads nowhere either. What is neither a file nor a
directory (a link, a device, a pipe) is named and not opened.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader
    from pathlib import Path

SPARED_BYTES = 2**30
"""A copy leaves so much of a disk free, or a twentieth of a small one."""
_CHUNK = 2**20
_ZEROS = bytes(_CHUNK)
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Kind(StrEnum):
    """What an entry of a tree is; `GONE` went between the listing and the opening."""

    DIRECTORY = "directory"
    FILE = "file"
    OTHER = "other"
    GONE = "gone"


@dataclass(frozen=True)
class File:
    """Size in bytes and SHA-256 of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """One entry by its path below the root; `stream` is open until the next one is asked for."""

    name: str
    kind: Kind
    stream: BufferedReader | None = None


def open_file(path: Path | str, directory: int | None = None) -> BufferedReader | None:
    """Return an open regular file, or None when it is anything else. Raises OSError."""
    try:
        handle = os.open(path, _FILE, dir_fd=directory)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a socket
            return None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    return os.fdopen(handle, "rb")


def measure(stream: BufferedReader) -> File:
    """Return size and hash of an open file from where it is read. Raises OSError."""
    digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return File(stream.tell(), digest)


def walk(root: Path) -> Iterator[Entry]:
    """Yield what is below `root`, directories before their entries, sorted. Raises OSError."""
    handle = os.open(root, _DIRECTORY)
    try:
        yield from _below(handle, "", root)
    finally:
        os.close(handle)


def _below(directory: int, prefix: str, root: Path) -> Iterator[Entry]:
    with os.scandir(directory) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{prefix}{entry.name}"
        try:
            if entry.is_dir(follow_symlinks=False):
                handle = os.open(entry.name, _DIRECTORY, dir_fd=directory)
                try:
                    yield Entry(name, Kind.DIRECTORY)
                    yield from _below(handle, f"{name}/", root)
                finally:
                    os.close(handle)
                continue
            stream = None
            if entry.is_file(follow_symlinks=False):
                stream = open_file(entry.name, directory)
        except FileNotFoundError:
            yield Entry(name, Kind.GONE)
            continue
        except OSError as error:
            if error.filename == entry.name:
                error.filename = str(root / name)
            raise
        if stream is None:
            yield Entry(name, Kind.OTHER)
        else:
            with stream:
                yield Entry(name, Kind.FILE, stream)


def copy(
    source: Path, target: Path, told: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[str, Kind, File | None]]:
    """Copy a tree for its user alone, and yield what each entry is, with the hash of what was read.

    `target` must not exist; what is no file and no directory is left out. Raises OSError, and
    Stage1Error before the disk is full: where QuestDB is on it too, that would stop its writers.
    """
    target.mkdir(mode=0o700)
    told(source.name)
    for entry in walk(source):
        file = None
        if entry.kind is Kind.DIRECTORY:
            told(f"{entry.name}/")
            (target / entry.name).mkdir(mode=0o700)
        elif entry.stream is not None:
            file = _copy(entry.stream, target / entry.name)
        yield entry.name, entry.kind, file


def _copy(reader: BufferedReader, target: Path) -> File:
    hashed, size = hashlib.sha256(), 0
    with os.fdopen(os.open(target, _NEW, 0o600), "wb") as writer:
        _refuse_full_disk(target, os.fstat(reader.fileno()).st_blocks * 512)
        while chunk := reader.read(_CHUNK):
            hashed.update(chunk)
            size += len(chunk)
            # QuestDB reserves space ahead of its rows: left out here, it reads as zeros again.
            if chunk == _ZEROS[: len(chunk)]:
                writer.seek(size)
            else:
                writer.write(chunk)
        writer.truncate(size)
    return File(size, hashed.hexdigest())


def _refuse_full_disk(target: Path, size: int) -> None:
    disk = shutil.disk_usage(target.parent)
    if disk.free - size < min(SPARED_BYTES, disk.total // 20):
        raise Stage1Error(
            f"The disk of {target.parent} has only {disk.free // 2**20:,} MiB left; the copy was"
            " stopped before it is full.",
            next_step="make room there, or name another directory.",
        )
