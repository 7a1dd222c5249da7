"""Small files that hold secrets: readable by their owner only, written whole or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write `path` with mode 0600 in one step: a reader sees the old text or the new one.

    Raises OSError when the directory cannot be written (a full disk, for one).
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def private_opener(path: str, flags: int) -> int:
    """Open a file as `open(…, opener=private_opener)`: a new one is its user's alone at once."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def private_directory(path: Path) -> None:
    """Make `path` and what is missing above it with mode 0700; what exists stays as it is.

    Raises OSError.
    """
    for missing in reversed([each for each in (path, *path.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(exist_ok=True)  # raises where something else has the name


def new_password() -> str:
    """Return a random password that needs no quoting in a URL or a shell."""
    return secrets.token_urlsafe(24)
