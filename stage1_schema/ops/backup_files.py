"""A backup on disk: its name, its manifest, its files, and the proof that they are unchanged.

`stage1_<time>/` holds `manifest.json`, `postgres.dump`, and with QuestDB in it `questdb/` and
`questdb.sha256`, which `sha256sum --check` reads too. Times are UTC.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stage1_schema.errors import Stage1Error, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NAME = re.compile(r"stage1_\d{8}T\d{6}Z")
PARTIAL = ".partial"
"""What a backup is called until it is whole, and again before it is removed."""
MANIFEST, DUMP, ROOT, SUMS = "manifest.json", "postgres.dump", "questdb", "questdb.sha256"
MADE_BY = "stage1 backup"
SPARED_BYTES = 2**30
"""A copy leaves so much of a disk free, or a twentieth of a small one."""
_CHUNK = 2**20
_ZEROS = bytes(_CHUNK)
_LISTED = 3


@dataclass(frozen=True)
class File:
    """Size in bytes and SHA-256 of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class PostgresPart:
    """The dump: versions (major of pg_dump), and rows by `schema.table` in its snapshot."""

    where: str
    version: str
    pg_dump: int
    tables: Mapping[str, int]


@dataclass(frozen=True)
class QuestDBPart:
    """The copy: rows by table at the checkpoint; `suspended` tables lag behind their WAL.

    `vanished` counts files that the server took away during the copy, such as old logs. `detached`
    names partitions that are in the copy and in no count. `unread` tables could not be read: their
    files were copied as they are, and nothing of them was verified; by name, with the reason.
    """

    where: str
    version: str
    tables: Mapping[str, int]
    suspended: tuple[str, ...]
    files: int
    bytes: int
    vanished: int
    detached: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. `revision` is that of the schema, None where nothing was migrated."""

    version: str
    database: str
    revision: str | None
    started: str
    finished: str
    postgres: PostgresPart
    questdb: QuestDBPart | None
    files: Mapping[str, File]
    made_by: str = MADE_BY

    def write(self, directory: Path) -> None:
        """Write it into `directory`. Raises OSError."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        (directory / MANIFEST).write_text(text, encoding="utf-8")


def read(directory: Path) -> Manifest:
    """Return the manifest in `directory`. Raises Stage1Error when this is no whole backup."""
    try:
        found = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        if found["made_by"] != MADE_BY or directory.name.endswith(PARTIAL):
            raise ValueError  # noqa: TRY301 - said below
        found["postgres"] = PostgresPart(**found["postgres"])
        if found["questdb"]:
            series = found["questdb"]
            detached = {n: tuple(each) for n, each in series.get("detached", {}).items()}
            tuples = {"suspended": tuple(series["suspended"]), "detached": detached}
            found["questdb"] = QuestDBPart(**series | tuples)
        found["files"] = {name: File(**each) for name, each in found["files"].items()}
        return Manifest(**found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise Stage1Error(
            f"{directory} is no whole backup of stage1.",
            next_step="name a directory stage1_<time> that stage1 backup finished.",
        ) from None


def verify(directory: Path, manifest: Manifest) -> None:
    """Raise VerificationError unless every file is there and is what was written."""
    wrong = [name for name, file in manifest.files.items() if _measured(directory / name) != file]
    if not wrong and manifest.questdb:
        sums = _read_sums(directory)
        names = set(_names(directory / ROOT))
        wrong += sorted(names ^ sums.keys())
        wrong += [n for n in sorted(names & sums.keys()) if _sum(directory / ROOT / n) != sums[n]]
    if wrong:
        more = f" and {len(wrong) - _LISTED:,} more" if len(wrong) > _LISTED else ""
        raise VerificationError(
            f"{directory} is damaged: {', '.join(wrong[:_LISTED])}{more} is not what was written.",
            next_step="use another backup, or fetch this one again from where it is kept.",
        )


def measure(path: Path) -> File:
    """Return size and hash of a file. Raises OSError."""
    return File(path.stat().st_size, _sum(path))


def write_sums(directory: Path, files: Mapping[str, File]) -> None:
    """Write the hashes of the copy of QuestDB, by path below its root."""
    lines = [f"{file.sha256}  {ROOT}/{name}\n" for name, file in files.items()]
    (directory / SUMS).write_text("".join(lines), encoding="utf-8")


def copy_tree(
    source: Path, target: Path, told: Callable[[str], None], below: str = ""
) -> Iterator[tuple[str, File | None]]:
    """Copy a tree and yield the path below it of each file, and None for one that vanished.

    Links are followed, so that a table on another volume is in the copy. Raises OSError, and
    Stage1Error before the disk is full: where QuestDB is on it too, that would stop its writers.
    """
    target.mkdir(exist_ok=True)
    told(below or source.name)
    try:
        entries = sorted(os.scandir(source), key=lambda entry: entry.name)
    except FileNotFoundError:
        yield below, None
        return
    for entry in entries:
        name = f"{below}{entry.name}"
        try:
            directory, file = entry.is_dir(), entry.is_file()
        except FileNotFoundError:
            directory, file = False, False
        if directory:
            yield from copy_tree(source / entry.name, target / entry.name, told, f"{name}/")
        elif file:
            yield name, _copy(source / entry.name, target / entry.name)


def _copy(source: Path, target: Path) -> File | None:
    try:
        reader = source.open("rb")
    except FileNotFoundError:
        return None
    hashed, size = hashlib.sha256(), 0
    with reader, target.open("wb") as writer:
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
        target.chmod(os.fstat(reader.fileno()).st_mode & 0o777)
    return File(size, hashed.hexdigest())


def _refuse_full_disk(target: Path, size: int) -> None:
    disk = shutil.disk_usage(target.parent)
    if disk.free - size < min(SPARED_BYTES, disk.total // 20):
        raise Stage1Error(
            f"The disk of {target.parent} has only {disk.free // 2**20:,} MiB left; the copy was"
            " stopped before it is full.",
            next_step="make room there, or name another directory.",
        )


def _measured(path: Path) -> File | None:
    try:
        return measure(path)
    except OSError:
        return None


def _sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_sums(directory: Path) -> dict[str, str]:
    lines = (directory / SUMS).read_text(encoding="utf-8").splitlines()
    pairs = (line.split(f"  {ROOT}/", 1) for line in lines)
    return {name: digest for digest, name in pairs}


def _names(root: Path) -> Iterator[str]:
    for path, _, names in os.walk(root):
        yield from (Path(path, name).relative_to(root).as_posix() for name in names)
