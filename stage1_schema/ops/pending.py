"""The pending revisions as Alembic would run them: the SQL of each, and what it does in QuestDB.

What belongs to which revision is told by Alembic as it writes the script, and not read out of the
text: a body may hold any comment.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic import command

from stage1_schema.ops import migrate

if TYPE_CHECKING:
    from stage1_schema.alembic_plugin.questdb_changes import Operation
    from stage1_schema.settings import Settings

_RUNNING = "-- Running "


@dataclass(frozen=True)
class Step:
    """One pending revision; its `sql` begins at `line` of the whole script."""

    revision: str
    sql: str
    line: int
    questdb: tuple[Operation, ...]


@dataclass(frozen=True)
class Script:
    """What `alembic upgrade head --sql` writes, without the history of the steps."""

    text: str
    steps: tuple[Step, ...]

    @property
    def questdb(self) -> tuple[Operation, ...]:
        """All operations on QuestDB, in order."""
        return tuple(each for step in self.steps for each in step.questdb)


def read(settings: Settings, revision: str | None) -> Script:
    """Return what would run from `revision` to head. Raises Stage1Error."""
    config = migrate.config(settings)
    config.output_buffer = buffer = io.StringIO()
    operations: list[Operation] = []
    ends: list[tuple[str, int, int]] = []

    def on_version_apply(*, step: Any, **_: Any) -> None:  # noqa: ANN401 - Alembic's hook
        ends.append((step.up_revision_id, buffer.tell(), len(operations)))

    config.attributes["on_version_apply"] = on_version_apply
    config.attributes["questdb_pending"] = operations
    with migrate.one_line_errors():
        command.upgrade(config, f"{revision}:head" if revision else "head", sql=True)
    text = buffer.getvalue()
    steps = []
    start, done = 0, 0
    for number, end, count in ends:
        start = text.index("\n", text.index(_RUNNING, start)) + 1  # behind Alembic's own line
        line = text.count("\n", 0, start) + 1
        steps.append(Step(number, text[start:end], line, tuple(operations[done:count])))
        start, done = end, count
    return Script(text, tuple(steps))
