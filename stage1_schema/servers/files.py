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


def new_password() -> str:
    """Return a random password that needs no quoting in a URL or a shell."""
    return secrets.token_urlsafe(24)
