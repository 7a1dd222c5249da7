"""A backup on disk: its name, its manifest, its files, and the proof that they are unchanged.

`stage1_<time>/` holds `manifest.json`, `postgres.dump`, and with QuestDB in it `questdb/` and
`questdb.sha256`, which `sha256sum --check` reads too. Times are UTC.
"""

from __future__ import annotations

import errno
import json
import re
from dataclasses import asdict, dataclass, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from stage1_schema.errors import Stage1Error, VerificationError
from stage1_schema.ops import trees
from stage1_schema.ops.trees import File
from stage1_schema.servers.files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

NAME = re.compile(r"stage1_\d{8}T\d{6}Z")
PARTIAL = ".partial"
"""What a backup is called until it is whole, and again before it is removed."""
MANIFEST, DUMP, ROOT, SUMS = "manifest.json", "postgres.dump", "questdb", "questdb.sha256"
MADE_BY = "stage1 backup"
_LISTED = 3
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class PostgresPart:
    """The dump: versions (major of pg_dump), and rows by `schema.table` in its snapshot.

    `others` are the owners of the objects that did not belong to `owner`, the database's.
    """

    where: str
    version: str
    pg_dump: int
    tables: Mapping[str, int]
    owner: str
    others: Mapping[str, str]


@dataclass(frozen=True)
class QuestDBPart:
    """The copy: rows by table at the checkpoint; `suspended` tables lag behind their WAL.

    `vanished` counts files that the server took away during the copy, such as old logs, and
    `left_out` names symbolic links and devices: nothing from outside the root is copied. `detached`
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
    left_out: tuple[str, ...]
    detached: Mapping[str, tuple[str, ...]]
    unread: Mapping[str, str]


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
        write_private(directory / MANIFEST, text)


def read(directory: Path) -> Manifest:
    """Return the manifest in `directory`. Raises Stage1Error when this is no whole backup."""
    try:
        found = json.loads(_text(directory / MANIFEST))
        if found["made_by"] != MADE_BY or directory.name.endswith(PARTIAL):
            raise ValueError  # noqa: TRY301 - said below
        if not {DUMP} <= found["files"].keys() <= {DUMP, SUMS}:
            raise ValueError  # noqa: TRY301 - likewise: no name leads elsewhere
        found["postgres"] = _typed(PostgresPart, found["postgres"])
        if found["questdb"]:
            found["questdb"] = _typed(QuestDBPart, found["questdb"])
        found["files"] = {name: _typed(File, each) for name, each in found["files"].items()}
        return _typed(Manifest, found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Stage1Error(
            f"{directory} is no whole backup of stage1.",
            next_step="name a directory stage1_<time> that stage1 backup finished.",
        ) from None


_PLAIN = {"str": str, "int": int, "str | None": (str, NoneType)}
_ITEMS = {"Mapping[str, int]": int, "Mapping[str, str]": str, "tuple[str, ...]": str}

_LISTS = "Mapping[str, tuple[str, ...]]"


def _strings(value: Any) -> tuple[str, ...] | None:  # noqa: ANN401 - what JSON gives
    return (
        tuple(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else None
    )


def _typed(kind: Callable[..., _Part], found: Any) -> _Part:  # noqa: ANN401 - what JSON gives
    """Return a part of the manifest. Raises TypeError where it is not what a backup writes."""
    for each in fields(kind):  # type: ignore[arg-type]
        value = found.get(each.name)
        if wanted := _PLAIN.get(str(each.type)):
            fits = isinstance(value, wanted)  # type: ignore[arg-type]
        elif str(each.type) == _LISTS:
            value = {name: _strings(listed) for name, listed in value.items()}
            found[each.name], fits = value, None not in value.values()
        elif items := _ITEMS.get(str(each.type)):
            of_these = value.values() if isinstance(value, dict) else value
            fits = isinstance(value, dict | list) and all(isinstance(v, items) for v in of_these)
            fits = fits and isinstance(value, dict) is str(each.type).startswith("Mapping")
        else:
            fits = True  # a part that was read before
        if not fits:
            raise TypeError(each.name)
        if isinstance(value, list):
            found[each.name] = tuple(value)
    return kind(**found)


def verify(directory: Path, manifest: Manifest) -> None:
    """Raise VerificationError unless every file is there and is what was written."""
    wrong = [name for name, file in manifest.files.items() if _measured(directory / name) != file]
    if not wrong and manifest.questdb:
        found = (
            (entry.name, entry.kind, trees.measure(entry.stream) if entry.stream else None)
            for entry in trees.walk(directory / ROOT)
        )
        wrong = differences(directory, found)
    refuse_damaged(directory, wrong)


def differences(directory: Path, found: Iterable[tuple[str, trees.Kind, File | None]]) -> list[str]:
    """Return the names of a copy of QuestDB that are not as written: more, fewer or changed."""
    sums, wrong = _read_sums(directory), []
    for name, kind, file in found:
        if kind is not trees.Kind.DIRECTORY and (file is None or sums.pop(name, "") != file.sha256):
            wrong.append(name)
    return sorted({*wrong, *sums})


def refuse_damaged(directory: Path, wrong: list[str]) -> None:
    """Raise VerificationError when a name is `wrong`."""
    if wrong:
        more = f" and {len(wrong) - _LISTED:,} more" if len(wrong) > _LISTED else ""
        raise VerificationError(
            f"{directory} is damaged: {', '.join(wrong[:_LISTED])}{more} is not what was written.",
            next_step="use another backup, or fetch this one again from where it is kept.",
        )


def measure(path: Path) -> File:
    """Return size and hash of a file. Raises OSError."""
    stream = trees.open_file(path)
    if stream is None:
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with stream:
        return trees.measure(stream)


def write_sums(directory: Path, files: Mapping[str, File]) -> None:
    """Write the hashes of the copy of QuestDB, by path below its root."""
    lines = [f"{file.sha256}  {ROOT}/{name}\n" for name, file in files.items()]
    write_private(directory / SUMS, "".join(lines))


def _measured(path: Path) -> File | None:
    try:
        return measure(path)
    except OSError:
        return None


def _read_sums(directory: Path) -> dict[str, str]:
    lines = _text(directory / SUMS).splitlines()
    pairs = (line.split(f"  {ROOT}/", 1) for line in lines)
    return {name: digest for digest, name in pairs}


def _text(path: Path) -> str:
    """Return the text of a file that is neither a link nor a device. Raises OSError."""
    stream = trees.open_file(path)
    if stream is None:
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with stream:
        return stream.read().decode()
