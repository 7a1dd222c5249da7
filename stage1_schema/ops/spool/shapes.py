"""The quick way: statements of a shape that the parser has seen before.

A statement is a head (`INSERT INTO t (…) VALUES (`), values, and a tail (`) ON CONFLICT …`). Once
the parser has accepted one, another with the same head and tail, byte for byte, differs only in
its values; where each of those is one plain constant of its column's type, the parser would
accept it too. Whatever is less plain goes to the parser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from stage1_schema.ops.spool import mend
from stage1_schema.ops.spool.contract import STAGED_TABLES, Kind, Place
from stage1_schema.ops.spool.values import NULL, Held, moment

if TYPE_CHECKING:
    from stage1_schema.ops.spool.contract import Shape, Table
    from stage1_schema.ops.spool.values import Tally

BLANK = rb"((?:[\s;]|\xef\xbb\xbf)*+)"
"""What may stand between statements."""
MOST = 40
"""Shapes that are kept; the contract has some fifteen."""

_HEAD = re.compile(rb"INSERT\s+INTO\s+\w+\s*\([\w\s,]+\)\s*VALUES\s*\(", re.IGNORECASE)
_TAIL = re.compile(
    rb"\)\s*ON\s+CONFLICT\s*\([\w\s,]+\)\s*DO\s+(?:NOTHING|UPDATE\s+SET\s+[\w\s,=.]+);\Z",
    re.IGNORECASE,
)
# Without backslashes and control characters a string is its own field of COPY.
_STRING = rb"'([^'\\\x00-\x1f\x7f]*+(?:''[^'\\\x00-\x1f\x7f]*+)*+)'"
_INTEGER = rb"(?:(0|-?[1-9][0-9]{0,17})|NULL)"
_SLOTS = {
    Kind.UUID: rb"'([0-9a-fA-F-]{36})'",
    Kind.TEXT: rb"(?:" + _STRING + rb"|NULL)",
    Kind.JSON: rb"(?:" + _STRING + rb"(?:::jsonb)?|NULL)",
    Kind.INTEGER: _INTEGER,
    Kind.BIGINT: _INTEGER,
    Kind.FLOAT: rb"(?:(-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,20}|0|-?[1-9][0-9]{0,17})|NULL)",
    Kind.TIME: rb"(?:(TO_TIMESTAMP\((?:0|-?[1-9][0-9]{0,12})\)|NOW\(\))|NULL)",
}
_KEY_SLOTS = {
    **_SLOTS,
    Kind.INTEGER: rb"(0|-?[1-9][0-9]{0,17})",
    Kind.TEXT: _STRING,
}


class Fast(NamedTuple):
    """A recognised statement: its fields are in the order of `shape.columns`.

    `end` is where it ends in the window, `lines` how many it and the blanks before it take.
    """

    place: Place
    shape: Shape
    fields: list[bytes]
    end: int
    lines: int


class _Pattern:
    def __init__(self, shape: Shape, table: Table, head: bytes, tail: bytes) -> None:
        slots = [
            (_KEY_SLOTS if column in table.key else _SLOTS)[table.columns[column]]
            for column in shape.columns
        ]
        self.shape = shape
        self.key = (head, tail)
        self.match = re.compile(
            BLANK + re.escape(head) + rb"\s*" + rb"\s*,\s*".join(slots) + rb"\s*" + re.escape(tail)
        ).match
        kinds = list(enumerate(shape.kinds))
        self.times = [n for n, kind in kinds if kind is Kind.TIME]
        self.texts = [n for n, kind in kinds if kind in (Kind.TEXT, Kind.JSON)]
        self.numbers = [n for n, kind in kinds if kind is Kind.FLOAT]
        self.documents = [n for n, kind in kinds if kind is Kind.JSON]


class Shapes:
    """The shapes learnt so far. `now` is what NOW() stands for."""

    def __init__(self, now: str, tally: Tally) -> None:
        self._patterns: list[_Pattern] = []
        self._now = now.encode()
        self._tally = tally
        self._times: dict[bytes, bytes] = {}
        self._ascii = self._suspect = True

    def learn(self, text: bytes, shape: Shape) -> None:
        """Remember the head and tail of a statement that the parser accepted."""
        head, tail = _HEAD.match(text), _TAIL.search(text)
        if head is None or tail is None or shape.table not in STAGED_TABLES or shape.plain:
            return
        key = (head[0], tail[0])
        if all(pattern.key != key for pattern in self._patterns):
            self._patterns.insert(0, _Pattern(shape, shape.table, *key))
            del self._patterns[MOST:]

    def window(self, data: bytes) -> None:
        """Look once at what is common to many statements."""
        self._ascii = data.isascii()
        self._suspect = mend.suspect(data)

    def match(self, data: bytes, at: int, base: int, line: int) -> Fast | None:
        """Return the statement at `at`, after blanks, None where it is not of a known shape.

        `base` is the position in the file of the window `data`, `line` the line at `at`.
        """
        for pattern in self._patterns:
            if found := pattern.match(data, at):
                break
        else:
            return None
        if self._patterns[0] is not pattern:  # the next statement is mostly of the same shape
            self._patterns.remove(pattern)
            self._patterns.insert(0, pattern)
        blank, *fields = found.groups(NULL)
        start, end = found.end(1), found.end()
        before = blank.count(b"\n")
        within = data.count(b"\n", start, end)
        if not self._ascii and not _is_utf8(data[start:end]):
            return None
        try:
            for number in pattern.times:
                fields[number] = self._time(fields[number])
        except Held:
            return None
        if data.find(b"''", start, end) >= 0:
            for number in pattern.texts:
                fields[number] = fields[number].replace(b"''", b"'")
        if self._suspect and mend.suspect(data[start:end]):
            self._mend(pattern, fields)
        place = Place(base + start, line + before, end - start)
        return Fast(place, pattern.shape, fields, end, before + within)

    def _time(self, slot: bytes) -> bytes:
        if slot == NULL:
            return slot
        if (field := self._times.get(slot)) is None:
            if len(self._times) > 1 << 16:
                self._times.clear()
            seconds = slot[slot.index(b"(") + 1 : -1]
            field = moment(seconds.decode()).encode() if seconds else self._now
            self._times[slot] = field
        return field

    def _mend(self, pattern: _Pattern, fields: list[bytes]) -> None:
        for number in pattern.documents:
            if fields[number] != NULL:
                text, mended = mend.json_text(fields[number].decode())
                fields[number] = text.encode()
                self._tally.mended += mended


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
