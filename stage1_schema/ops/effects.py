"""The locks and hazards of PostgreSQL's statements, and what of them one statement has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Hazard(StrEnum):
    """What `stage1 upgrade --allow` wants to hear by name."""

    DELETES_DATA = "deletes data"
    REWRITES_TABLE = "rewrites table"
    BLOCKS_WRITES = "blocks writes"
    BLOCKS_READS = "blocks reads and writes"
    PUTS_DATA_AWAY = "puts data away"
    CHANGES_ROWS = "changes many rows"
    CHANGES_VALUES = "changes values"
    CHANGES_NAMES = "changes names"
    FAILS_ON_ROWS = "fails on rows"
    CALLS_FUNCTION = "calls function"
    DROPS_DEDUPLICATION = "drops deduplication"
    MERGES_ROWS = "makes one row of rows that a key told apart"
    INVALIDATES_VIEWS = "invalidates materialized views"
    NOT_REVERSIBLE = "not reversible"
    UNKNOWN = "unknown statement"


@dataclass(frozen=True)
class Lock:
    """A lock mode, whom it keeps waiting, and whether only for an instant."""

    mode: str
    blocks: str
    instant: bool = True

    def __str__(self) -> str:
        if not self.blocks:
            return f"{self.mode} (blocks nobody)"
        how = "for an instant" if self.instant else "while it runs"
        return f"{self.mode} (blocks {self.blocks} {how})"


ROWS = Lock("ROW EXCLUSIVE", "")
CHANGED_ROWS = Lock("ROW EXCLUSIVE", "writes of the same rows", instant=False)
ONLINE = Lock("SHARE UPDATE EXCLUSIVE", "", instant=False)
BUILD = Lock("SHARE", "writes", instant=False)
TRIGGER = Lock("SHARE ROW EXCLUSIVE", "writes")
REFERENCE = Lock("SHARE ROW EXCLUSIVE", "writes", instant=False)
CATALOGUE = Lock("ACCESS EXCLUSIVE", "reads and writes")
SCAN = Lock("ACCESS EXCLUSIVE", "reads and writes", instant=False)
_ORDER = [None, ROWS, CHANGED_ROWS, ONLINE, BUILD, TRIGGER, REFERENCE, CATALOGUE, SCAN]


def strongest(locks: Iterable[Lock | None]) -> Lock | None:
    """Return the lock that keeps most waiting."""
    return max(locks, key=_ORDER.index)


@dataclass(frozen=True)
class Check:
    """A CHECK of a table: the columns it says, and whether it is `column IS NOT NULL` alone."""

    columns: frozenset[str]
    valid: bool
    not_null: bool


@dataclass(frozen=True)
class Effect:
    """What one statement does.

    `lock` is on `tables` and on the tables of `indexes`; `references` are locked too, against
    writes; with `cascades` the tables whose foreign keys refer to `tables` go the same way.
    `creates` names a table that is new with the statement, or with `may_stand` one that may
    stand before it all the same; `defines` a function that may write; `calls` are the functions
    that it runs. `retypes` has (table, column, new type) for each column whose type it changes,
    without the type where an expression gives the values. `drops` has (table, what, name) for each
    part that may take a foreign key along: a CONSTRAINT, a COLUMN, or the TABLE, without a name.
    `renames` has (old, new name) for each table, `moves` (table, old name) for each column.
    `alters` counts the commands of an ALTER TABLE; `fills` and `frees` are (table, column) of its
    SET and DROP NOT NULL, `checks` (table, name, CHECK) that it adds, and `validates` (table, name)
    of a constraint.
    """

    kind: str
    tables: tuple[str, ...] = ()
    lock: Lock | None = None
    hazards: tuple[Hazard, ...] = ()
    creates: str | None = None
    may_stand: bool = False
    cascades: bool = False
    indexes: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    defines: str | None = None
    calls: tuple[str, ...] = ()
    retypes: tuple[tuple[str, str, str], ...] = ()
    drops: tuple[tuple[str, str, str], ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    moves: tuple[tuple[str, str], ...] = ()
    alters: int = 0
    fills: tuple[tuple[str, str], ...] = ()
    frees: tuple[tuple[str, str], ...] = ()
    checks: tuple[tuple[str, str, Check], ...] = ()
    validates: tuple[tuple[str, str], ...] = ()

    def with_parts(self, parts: Sequence[Effect]) -> Effect:
        """Return this effect and those of the statements inside."""
        every = (self, *parts)
        together: dict[str, Any] = {
            name: tuple(dict.fromkeys(value for each in every for value in getattr(each, name)))
            for name, value in vars(self).items()
            if isinstance(value, tuple)
        }
        return replace(
            self,
            lock=strongest(each.lock for each in every),
            cascades=any(each.cascades for each in every),
            alters=sum(each.alters for each in every),
            **together,
        )
