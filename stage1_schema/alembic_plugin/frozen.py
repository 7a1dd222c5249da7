"""Frozen bodies: revision NNNN replays `migrations/sql/NNNN/<name>.sql`, and nothing edits it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory


def next_number(script: ScriptDirectory, after: int = 1) -> str:
    """Return the number of the revision so many `after` the head: 0001, 0002 and so on."""
    return f"{int(script.get_current_head() or '0') + after:04d}"


def newest(script: ScriptDirectory) -> dict[str, Path]:
    """Return the newest frozen body of each object that a revision ever made, by its name."""
    paths = sorted((Path(script.dir) / "sql").glob("[0-9]*/*.sql"))
    steps = ("drop", "backfill", "revoke", "import_")
    return {path.stem: path for path in paths if not path.stem.startswith(steps)}


def name_of(path: Path) -> str:
    """Return the name that a revision runs a frozen body by, such as `0005/dataset_catalog.sql`."""
    return f"{path.parent.name}/{path.name}"
