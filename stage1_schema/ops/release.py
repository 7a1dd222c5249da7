"""The ledger of released revisions: what was deployed once is never edited again.

`migrations/released.txt` holds one line for each released revision and frozen body, in order:
`<sha256>  <path below migrations/>`, the form of sha256sum.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from stage1_schema.alembic_plugin import frozen
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

LEDGER = "released.txt"


def release(directory: Path | None = None) -> tuple[str, ...]:
    """Add every revision and frozen body that is not listed; return their paths.

    Raises Stage1Error when a listed file was changed, a released revision got another file,
    or one is not UTF-8.
    """
    directory = directory or _migrations()
    if problems := tuple(check(directory)):
        raise Stage1Error(
            f"What was released has changed: {' '.join(problems)}",
            next_step="git checkout the files, and make a new revision for the change.",
        )
    listed = _listed(directory)
    added = {path: _hash(directory / path) for path in _files(directory) if path not in listed}
    for path in added:
        frozen.read(directory / path)
    with (directory / LEDGER).open("a", encoding="utf-8") as ledger:
        ledger.writelines(f"{digest}  {path}\n" for path, digest in added.items())
    return tuple(added)


def check(directory: Path | None = None) -> Iterator[str]:
    """Yield a sentence for each released file that is changed, gone or new.

    A file is new where its number is not past the last released one; before the first release,
    every file may change.
    """
    directory = directory or _migrations()
    listed = _listed(directory)
    last = max(map(_number, listed), default="")
    for path, digest in listed.items():
        if not (directory / path).is_file():
            yield f"{path} was released and is gone."
        elif _hash(directory / path) != digest:
            yield f"{path} was released and has been changed."
    for path in _files(directory):
        if path not in listed and _number(path) <= last:
            yield f"{path} is not listed, and {last} has been released."


def _migrations() -> Path:
    return Path(migrate.config().config_file_name or ".").parent / "migrations"


def _listed(directory: Path) -> dict[str, str]:
    ledger = directory / LEDGER
    lines = ledger.read_text(encoding="utf-8").splitlines() if ledger.is_file() else []
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def _files(directory: Path) -> list[str]:
    """Return revisions and their frozen bodies in the order of the history."""
    found = [*directory.glob("versions/*.py"), *directory.glob("sql/*/*.sql")]
    paths = [path.relative_to(directory).as_posix() for path in found]
    return sorted(paths, key=lambda path: (_number(path), not path.startswith("versions"), path))


def _number(path: str) -> str:
    return path.split("/")[1].partition("_")[0]


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
