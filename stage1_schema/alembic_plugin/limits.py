"""How long a step may wait for a lock and how long a statement may run, by kind of step.

A statement that waits for a table's lock makes everybody behind it wait as well: plain DDL gives
up at once and is tried again, and only the last try is patient: an autovacuum gives way after
`deadlock_timeout` only. A concurrent index build blocks nobody while it waits, and has to wait for
old transactions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stage1_schema.errors import SettingsError
from stage1_schema.settings import MAX_INTEGER, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORT_LOCK_MS = 50
HELD_MS = 40
"""How long several rows at a time may be kept from writers, waiting for one of them included."""
LONGEST_PAUSE_S = 30

BLOCKED = {"55P03": "a lock", "40P01": "a deadlock"}
"""The sqlstates that are worth another try; what was done is rolled back."""
CANCELED = "57014"
"""The sqlstate of a statement that `statement_timeout` or somebody ended."""


@dataclass(frozen=True)
class Limit:
    """PostgreSQL's `lock_timeout` and `statement_timeout` in ms; 0 is no limit."""

    lock_ms: int
    statement_ms: int

    @property
    def sql(self) -> str:
        """The statements that set both for the session."""
        return f"SET lock_timeout = {self.lock_ms};\nSET statement_timeout = {self.statement_ms}"

    def of_try(self, number: int, retries: int) -> Limit:
        """Return the limit of a try, from 0: all but the last one wait 50 ms for a lock."""
        last = number >= retries
        return self if last else replace(self, lock_ms=min(self.lock_ms, SHORT_LOCK_MS))

    @property
    def held_ms(self) -> int:
        """How long a batch of rows may take: what does not fit is done in smaller ones."""
        return min(self.statement_ms or HELD_MS, HELD_MS)


@dataclass(frozen=True)
class Limits:
    """The limits of a run. `wait_s` is for the upgrade lock, `retry_s` the first pause, in s.

    `ddl` and `backfill` are those of the last of `retries` tries; a fill's is for one row.
    """

    ddl: Limit = Limit(2_000, 600_000)
    index: Limit = Limit(600_000, 0)
    backfill: Limit = Limit(2_000, 60_000)
    validate: Limit = Limit(2_000, 0)
    wait_s: float = 600
    retries: int = 6
    retry_s: float = 1

    def pause_s(self, number: int) -> float:
        """Return the seconds to wait after try `number`, from 0: twice as long each time."""
        return min(self.retry_s * 2.0 ** min(number, 30), LONGEST_PAUSE_S)


DEFAULT = Limits()
KINDS = ("ddl", "index", "backfill", "validate")


def load(given: Mapping[str, str], *, wait: str | None = None) -> Limits:
    """Return the limits that the environment `given` asks for; `wait` is what `-x` said, in s.

    Raises SettingsError for a value that is no number.
    """
    kinds = {
        kind: Limit(
            _whole(given, f"STAGE1_{kind.upper()}_LOCK_TIMEOUT_MS", default.lock_ms),
            _whole(given, f"STAGE1_{kind.upper()}_STATEMENT_TIMEOUT_MS", default.statement_ms),
        )
        for kind in KINDS
        for default in [getattr(DEFAULT, kind)]
    }
    asked = "-x lock_timeout"
    return Limits(
        **kinds,
        wait_s=_seconds(given, "STAGE1_LOCK_TIMEOUT_S", DEFAULT.wait_s)
        if wait is None
        else _seconds({asked: wait}, asked, DEFAULT.wait_s),
        retries=_whole(given, "STAGE1_LOCK_RETRIES", DEFAULT.retries),
        retry_s=_seconds(given, "STAGE1_LOCK_RETRY_S", DEFAULT.retry_s),
    )


def _whole(given: Mapping[str, str], name: str, default: int) -> int:
    value = given.get(name, str(default))
    if (number := whole(value)) is None:
        raise SettingsError(
            f"{name} is {value!r}, not a whole number up to {MAX_INTEGER}.",
            next_step=f"set it to {default}, say.",
        )
    return number


def _seconds(given: Mapping[str, str], name: str, default: float) -> float:
    value = given.get(name, str(default))
    try:
        number = float(value)
    except ValueError:
        number = -1
    if not 0 <= number <= MAX_INTEGER:
        raise SettingsError(
            f"{name} is {value!r}, not a number of seconds.", next_step=f"set it to {default}, say."
        )
    return number
