"""The errors of this package: each is one line, and none ever holds a password."""

from __future__ import annotations


def _one_line(text: str, limit: int = 240) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


class QuestDBDDLError(Exception):
    """The base of every error that this package raises."""


class DeclarationError(QuestDBDDLError, ValueError):
    """A table, column, type or name is declared in a way that QuestDB would refuse or misread."""


class Unreachable(QuestDBDDLError):  # noqa: N818 - it says what happened
    """No QuestDB answers at the address, or it did not answer in time."""


class AuthenticationFailed(QuestDBDDLError):  # noqa: N818 - it says what happened
    """QuestDB refused the user or the password."""


class QueryError(QuestDBDDLError):
    """QuestDB answered a statement with an error.

    `sql` is the statement, `message` the server's text and `position` the character it points at
    (None where the server names none).
    """

    def __init__(self, sql: str, message: str, position: int | None = None) -> None:
        self.sql = sql
        self.message = message
        self.position = position
        where = "" if position is None else f" at character {position}"
        super().__init__(f"QuestDB refused `{_one_line(sql)}`: {_one_line(message)}{where}.")


class TableSuspended(QuestDBDDLError):  # noqa: N818 - it says what happened
    """A WAL table stopped applying its transactions; later changes answer OK and never happen.

    `remedy` is the statement to run once the cause is removed.
    """

    def __init__(self, table: str, detail: str = "", remedy: str | None = None) -> None:
        self.table = table
        self.remedy = remedy or f'ALTER TABLE "{table}" RESUME WAL'
        because = f" ({_one_line(detail)})" if detail else ""
        super().__init__(
            f'The table "{table}" is suspended{because}: remove the cause, then run {self.remedy}.'
        )


class PlanRefused(QuestDBDDLError):  # noqa: N818 - it says what happened
    """A plan is not carried out: stale, with refusals, or with hazards that were not allowed."""


class DetachedPartitions(PlanRefused):
    """A table has rows in detached partitions, which would be lost; `table` is its name."""

    def __init__(self, table: str, message: str) -> None:
        self.table = table
        super().__init__(f"{message}.")


class VerificationFailed(QuestDBDDLError):  # noqa: N818 - it says what happened
    """A table that was read back is not what was declared; `differences` says where."""

    def __init__(self, message: str, differences: tuple[object, ...] = ()) -> None:
        self.differences = differences
        super().__init__(message)
