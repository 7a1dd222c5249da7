"""Frozen bodies: revision NNNN replays `migrations/sql/NNNN/<name>.sql`, and nothing edits it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_MAKES = re.compile(
    r"^\s*CREATE\b[\w\s]*?\b(?:FUNCTION|PROCEDURE|VIEW|TRIGGER)\s+"
    r"(?:IF\s+NOT\s+EXISTS\s+)?(?:public\.)?\"?([^\s(\"]+)",
    re.IGNORECASE | re.MULTILINE,
)


def next_number(script: ScriptDirectory, after: int = 1) -> str:
    """Return the number of the revision so many `after` the head: 0001, 0002 and so on.

    A head without a number (`alembic merge`, `--rev-id`) counts from the highest below it.
    """
    head = script.get_current_head() or "0"
    below = [head] if head.isdecimal() else [each.revision for each in script.walk_revisions()]
    return f"{max((int(each) for each in below if each.isdecimal()), default=0) + after:04d}"


def newest(script: ScriptDirectory) -> dict[str, Path]:
    """Return the newest frozen body of each object that a revision ever made, by its name."""
    paths = sorted((Path(script.dir) / "sql").glob("[0-9]*/*.sql"))
    return {path.stem: path for path in paths if _makes_its_name(path)}


def name_of(path: Path) -> str:
    """Return the name that a revision runs a frozen body by, such as `0005/dataset_catalog.sql`."""
    return f"{path.parent.name}/{path.name}"


def read(path: Path) -> str:
    """Return a frozen body; raises Stage1Error for one that is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Stage1Error(
            f"{path.relative_to(path.parents[2])} is not UTF-8 (byte {error.start}).",
            next_step="save it as UTF-8, or restore it from git.",
        ) from None


def _makes_its_name(path: Path) -> bool:
    """Tell the body of an object from a step, such as a fill, whatever either is called."""
    made = _MAKES.findall(read(path))
    # A trigger's file is called after its table too.
    return any(path.stem.casefold().endswith(name.casefold()) for name in made)
