"""Bytes of a spool, cut into statements in constant memory.

A statement ends at a `;` outside quotes and comments. One without it at the end of the file is a
tail that has not arrived. Where a quote is left open, reading goes on at the next statement of the
contract that is whole and begins a line, so that one stray quote does not swallow what follows;
within a line text that looks like a statement is text. In a comment or a body in dollars that is
left open nothing is a statement: all of it is a tail.
"""

from __future__ import annotations

import re
from bisect import bisect
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, BinaryIO

from stage1_schema.ops.spool.contract import TABLES, UPSERT_DATASET
from stage1_schema.ops.spool.shapes import BLANK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from hashlib import _Hash

    from stage1_schema.ops.spool.shapes import Fast, Shapes

WINDOW = 4 << 20
MARGIN = 1 << 18
"""Bytes that a statement may run past what looks like the start of the next one."""
LONGEST = 16 << 20
"""Bytes of the longest statement; what is longer is broken."""
OVERLAP = 1 << 10
"""Bytes at the end of what was read that may hold half the start of a statement."""

_BLANK = re.compile(BLANK)
_SPECIAL = re.compile(rb"[;'\"$]|--|/\*")
_STRING = re.compile(rb"'[^']*+(?:''[^']*+)*+'")
_ESCAPED = re.compile(rb"'(?:[^'\\]|\\.|'')*+'", re.DOTALL)
_IDENTIFIER = re.compile(rb'"[^"]*+"')
_DOLLAR = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$")
_NESTED = re.compile(rb"/\*|\*/")
_LINE_END = re.compile(rb"\r\n?|\n")
_WORD = re.compile(rb"[\w$\x80-\xff]")
_STATEMENT = rb"(?:INSERT\s+INTO\s+(?:%s)\b|SELECT\s+%s\s*\()" % (
    "|".join(TABLES).encode(),
    UPSERT_DATASET.encode(),
)
_START = re.compile(_STATEMENT, re.IGNORECASE)
_LINE_START = re.compile(rb"(?<=[\r\n])" + _STATEMENT, re.IGNORECASE)
_Ranges = list[tuple[int, int]]
TRIED = 8
"""How many places within a broken line are tried, from each of its ends, for a statement."""


class State(Enum):
    """What a piece of the file is."""

    WHOLE = "a statement with its semicolon"
    BROKEN = "text that is no statement"
    META = "a psql command"
    TAIL = "the start of a statement that has not arrived whole"


@dataclass(frozen=True)
class Raw:
    """A piece of the file: where it starts (bytes and lines, from 0 and 1) and its bytes."""

    position: int
    line: int
    text: bytes
    state: State = State.WHOLE


class Reader:
    """Reads one file from `start` up to `end`, which may be before its present end.

    `consumed` and `consumed_lines` say how far whole statements reach; `digest` is fed with what
    is consumed, once `finish` was called: the bytes that were read, whatever the file holds now.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        start: int,
        end: int,
        line: int,
        shapes: Shapes,
        parses: Callable[[bytes], bool],
        digest: _Hash,
    ) -> None:
        self._digest = digest
        self._start = -1
        self._searched = start
        self._file = file
        self._end = end
        self._buffer = b""
        self._base = start
        self._at = 0
        self._line = line
        self._adrift = False  # behind a statement that was too long: perhaps within a string
        self._shapes = shapes
        self._parses = parses
        self.consumed = start
        self.consumed_lines = line

    def __iter__(self) -> Iterator[Raw | Fast]:
        """Yield every piece in order; a `Fast` one was recognised without parsing."""
        self._more()
        match = self._shapes.match
        while True:
            while len(self._buffer) - self._at < MARGIN and self._more():
                pass
            if self._adrift:
                raw = self._to_next_line([])
                self._advance(self._at + len(raw.text))
                yield raw
                continue
            fast = match(self._buffer, self._at, self._base, self._line)
            if fast is not None:
                self._at = fast.end
                self._line += fast.lines
                self.consumed, self.consumed_lines = self._base + self._at, self._line
                yield fast
                continue
            if not self._skip():
                return
            raw = self._slow()
            if raw.state is not State.TAIL:
                self._advance(self._at + len(raw.text))
            yield raw
            if raw.state is State.TAIL:
                return

    def finish(self) -> None:
        """Feed the digest with the rest of what was consumed; nothing is read after it."""
        self._digest.update(self._buffer[: self._at])
        self._base += self._at
        self._buffer, self._at = b"", 0

    def _advance(self, to: int) -> None:
        self._line += self._buffer.count(b"\n", self._at, to)
        self._at = to
        self.consumed = self._base + to
        self.consumed_lines = self._line

    @property
    def _drained(self) -> bool:
        return self._base + len(self._buffer) >= self._end

    def _more(self) -> bool:
        """Drop what was read and append the next window; False when there is none."""
        left = self._end - self._base - len(self._buffer)
        data = self._file.read(min(WINDOW, left)) if left > 0 else b""
        if not data:  # also when the file shrank
            self._end = self._base + len(self._buffer)
            return False
        self._digest.update(self._buffer[: self._at])
        self._buffer = self._buffer[self._at :] + data
        self._base += self._at
        self._at = 0
        self._shapes.window(self._buffer)
        return True

    def _skip(self) -> bool:
        """Go to the next statement, over blanks and comments; False at the end."""
        while True:
            while len(self._buffer) - self._at < MARGIN and self._more():
                pass
            at = _BLANK.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            if self._buffer.startswith((b"--", b"/*"), at):
                end = _comment(self._buffer, at)
                if end is None and not self._drained and len(self._buffer) - at < LONGEST:
                    self._more()
                    continue
                if end is None:
                    self._advance(at)
                    return self._buffer.startswith(b"/*", at)  # a tail
                at = end
                self._advance(at)
                continue
            self._advance(at)
            if at < len(self._buffer):
                return True
            if not self._more():
                return False

    def _slow(self) -> Raw:
        if self._buffer.startswith(b"\\", self._at):
            return self._meta()
        end, shields, strings = self._extent()
        starts = [
            found.start()
            for found in _START.finditer(self._buffer, self._at + 1, end or len(self._buffer))
            if not _inside(shields, found.start())
        ]
        if end is not None and (not starts or self._parses(self._buffer[self._at : end])):
            return self._raw(end, State.WHOLE)
        lines = [start for start in starts if self._buffer[start - 1] in b"\r\n"]
        if end is None and not (lines and self._is_whole_at(lines)):
            if self._drained or _open(shields):
                return self._raw(len(self._buffer), State.TAIL)
            return self._to_next_line(shields)
        stop = lines[0] if lines else end or len(self._buffer)
        if not _inside(strings, stop):  # every string is closed before: what they hold is text
            starts = [start for start in starts if not _inside(strings, start)]
        if (within := self._within([start for start in starts if start < stop], stop)) is not None:
            return self._raw(within, State.BROKEN)
        # Without a line that begins anew its parser says what is wrong.
        return self._raw(stop, State.BROKEN if lines else State.WHOLE)

    def _extent(self) -> tuple[int | None, _Ranges, _Ranges]:
        """Read on until the statement's end is in sight, or another begins a line long before."""
        shields = _Ranges()
        while True:
            boundary = self._boundary(shields)
            limit = len(self._buffer)
            if boundary is not None:
                limit = min(limit, boundary + MARGIN)
            found = _statement_end(self._buffer, self._at, limit, final=self._drained)
            end, shields, _ = found
            if end is not None:
                return found
            if boundary is not None and _inside(shields, boundary):
                continue
            hurried = boundary is not None and len(self._buffer) - boundary > MARGIN
            if (hurried and not _open(shields)) or not self._grow():
                return found

    def _to_next_line(self, shields: _Ranges) -> Raw:
        """Give up what is too long to be read, up to a line that begins with a statement."""
        while (end := self._boundary(shields)) is None and self._grow():
            pass
        self._adrift = end is None and not self._drained
        if end is None:
            end = len(self._buffer)
        if self._adrift:  # the next window may bring the rest of such a line
            end = max(end - OVERLAP, self._at + 1)
        return self._raw(end, State.BROKEN)

    def _within(self, starts: list[int], stop: int) -> int | None:
        """Return where a whole statement begins in a line that breaks off before it."""
        for start in dict.fromkeys((*starts[:TRIED], *starts[-TRIED:])):
            end, *_ = _statement_end(self._buffer, start, stop, final=True)
            if end is not None and self._parses(self._buffer[start:end]):
                return start
        return None

    def _is_whole_at(self, starts: list[int]) -> bool:
        """Tell whether a statement of the contract that has arrived whole begins at one of these.

        Else what was broken off may be the last piece that has arrived of a string with such text.
        """
        for start in starts:
            if len(self._buffer) - start > MARGIN:
                return True
            end, *_ = _statement_end(self._buffer, start, len(self._buffer), final=True)
            if end is not None and self._parses(self._buffer[start:end]):
                return True
        return False

    def _grow(self) -> bool:
        return len(self._buffer) - self._at < LONGEST and self._more()

    def _boundary(self, shields: _Ranges) -> int | None:
        """Return where a line seems to start with a statement; no byte is searched twice."""
        at = self._base + self._at
        while self._start <= at or _inside(shields, self._start - self._base):
            begin = max(at + 1, self._start + 1, self._searched)
            found = _LINE_START.search(self._buffer, begin - self._base)
            if found is None:
                self._searched = max(begin, self._base + len(self._buffer) - OVERLAP)
                return None
            self._start = self._searched = self._base + found.start()
        return self._start - self._base

    def _meta(self) -> Raw:
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            state = State.TAIL if self._drained else State.BROKEN
            return self._raw(len(self._buffer), state)
        return self._raw(end, State.META)

    def _raw(self, end: int, state: State) -> Raw:
        position = self._base + self._at
        return Raw(position, self._line, self._buffer[self._at : end], state)


_NEVER = 1 << 62


def _statement_end(
    data: bytes, start: int, limit: int, *, final: bool
) -> tuple[int | None, _Ranges, _Ranges]:
    """Return the position after the `;` that ends the statement, None where it is not in sight.

    Also returns where comments and bodies in dollars begin and end, in which nothing is a
    statement, and where strings and identifiers do. What is left open never ends.
    """
    at, shields, strings = start, _Ranges(), _Ranges()
    while found := _SPECIAL.search(data, at, limit):
        token = found[0]
        if token == b";":
            return found.end(), shields, strings
        end = _token_end(data, found.start(), token)
        if token != b"--":
            ranges = shields if token in (b"/*", b"$") else strings
            ranges.append((found.start(), _NEVER if end is None else end))
        if end is None or (end >= len(data) and not final):
            break
        at = end
    return None, shields, strings


def _open(shields: _Ranges) -> bool:
    return bool(shields) and shields[-1][1] == _NEVER


def _inside(ranges: _Ranges, at: int) -> bool:
    """Tell whether `at` is within one of the ranges, which are in order."""
    place = bisect(ranges, (at,)) - 1
    return place >= 0 and at < ranges[place][1]


def _token_end(data: bytes, at: int, token: bytes) -> int | None:
    if token == b"'":
        match = (_ESCAPED if _escapes(data, at) else _STRING).match(data, at)
        return match.end() if match else None
    if token == b'"':
        match = _IDENTIFIER.match(data, at)
        return match.end() if match else None
    if token == b"$":
        tag = None if at and _WORD.match(data, at - 1) else _DOLLAR.match(data, at)
        if tag is None:
            return at + 1
        end = data.find(tag[0], tag.end())
        return None if end < 0 else end + len(tag[0])
    return _comment(data, at)


def _escapes(data: bytes, at: int) -> bool:
    """Tell whether the quote at `at` opens an E'…' string."""
    return at > 0 and data[at - 1] in b"eE" and not (at > 1 and _WORD.match(data, at - 2))


def _comment(data: bytes, at: int) -> int | None:
    """Return the position after the comment at `at`; None where its end is not in sight."""
    if data.startswith(b"--", at):
        line = _LINE_END.search(data, at)
        return None if line is None else line.end()
    depth = 0
    for found in _NESTED.finditer(data, at):
        depth += 1 if found[0] == b"/*" else -1
        if depth == 0:
            return found.end()
    return None
