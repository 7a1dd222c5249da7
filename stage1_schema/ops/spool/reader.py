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
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from stage1_schema.ops import sql_tokens
from stage1_schema.ops.spool.contract import LONGEST, TABLES, UPSERT_DATASET
from stage1_schema.ops.spool.shapes import BLANK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from hashlib import _Hash

    from stage1_schema.ops.spool.shapes import Fast, Shapes

WINDOW = 4 << 20
LOOK = 1 << 9
"""Bytes past what looks like the start of the next statement that are looked at first."""
MARGIN = 1 << 18
"""Bytes that a statement may run past what looks like the start of the next one."""
SHORTEST = len("INSERT INTO datasets")
"""Bytes of the shortest text that looks like the start of a statement."""
OVERLAP = 1 << 10
"""Bytes at the end of what was read that may hold half the start of a statement."""

_BLANK = re.compile(BLANK)
_STATEMENT = rb"(?:INSERT\s+INTO\s+(?:%s)\b|SELECT\s+%s\s*\()" % (
    "|".join(TABLES).encode(),
    UPSERT_DATASET.encode(),
)
_START = re.compile(_STATEMENT, re.IGNORECASE)
_LINE_START = re.compile(rb"(?<=[\r\n])" + _STATEMENT, re.IGNORECASE)
_Ranges = list[tuple[int, int]]
TRIED = 8
"""How many places are tried, from each end of what is broken, for a statement."""
WITHIN = 4
"""How many statements that begin a line, outside quotes, may be part of another one."""


class State(Enum):
    """What a piece of the file is."""

    WHOLE = "a statement with its semicolon"
    BROKEN = "text that is no statement"
    TOO_LARGE = "text that is too long for a statement"
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
                end = sql_tokens.comment_end(self._buffer, at)
                if end is None and not self._drained and len(self._buffer) - at < LONGEST:
                    self._more()
                    continue
                if end is None:
                    self._advance(at)
                    # A comment that is left open is a tail, and a line too long to be read.
                    return self._buffer.startswith(b"/*", at) or not self._drained
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
        scan = self._extent()
        if scan.astray is not None:
            return self._broken(scan, [scan.astray], scan.astray)
        starts = [
            found.start()
            for found in _START.finditer(self._buffer, self._at + 1, scan.end or scan.reach)
            if not _inside(scan.shields, found.start())
        ]
        if scan.end and (not starts or self._parses(self._buffer[self._at : scan.end])):
            return self._raw(scan.end, State.WHOLE)
        lines = [start for start in starts if self._buffer[start - 1] in b"\r\n"]
        if scan.end is None and not (lines and self._is_whole_at(lines)):
            if self._drained or _open(scan.shields):
                return self._raw(len(self._buffer), State.TAIL)
            return self._to_next_line(scan.shields)
        return self._broken(scan, starts, lines[0] if lines else None)

    def _broken(self, scan: _Scan, starts: list[int], line: int | None) -> Raw:
        """Return what is broken: up to a statement within its line, else up to `line`."""
        stop = scan.end or len(self._buffer) if line is None else line
        if line is not None:
            found = _START.finditer(self._buffer, self._at + 1, line)
            starts = [each.start() for each in found if not _inside(scan.shields, each.start())]
        if not _inside(scan.strings, stop):  # every string is closed before: it holds text
            starts = [start for start in starts if not _inside(scan.strings, start)]
        if (within := self._within(starts, stop)) is not None:
            return self._raw(within, State.BROKEN)
        # Without a line that begins another its parser says what is wrong.
        return self._raw(stop, State.WHOLE if line is None else State.BROKEN)

    def _extent(self) -> _Scan:
        """Read on until the statement's end is in sight, or another begins a line long before."""
        scan = _Scan(self._at)
        step = min(LOOK, MARGIN)
        while True:
            boundary = self._boundary(scan.shields)
            limit = len(self._buffer)
            if boundary is not None:
                limit = min(limit, boundary + step)
            scan.run(self._buffer, limit, final=self._drained)
            if scan.end is not None:
                return scan
            if boundary is not None and _inside(scan.shields, boundary):
                continue
            if boundary is not None and not _open(scan.shields):
                if self._has_too_many(scan, boundary):
                    scan.astray = boundary
                    return scan
                if limit < len(self._buffer):
                    if step >= MARGIN:
                        return scan
                    step = MARGIN if _open(scan.strings) else min(step * 4, MARGIN)
                    continue
            at = self._at
            if not self._grow():
                return scan
            scan.move(at)

    def _has_too_many(self, scan: _Scan, boundary: int) -> bool:
        """Tell whether too many lines begin with a statement, outside quotes, to be part of it."""
        found = _LINE_START.finditer(self._buffer, boundary, scan.at)
        bare = (
            each
            for each in found
            if not _inside(scan.strings, each.start()) and not _inside(scan.shields, each.start())
        )
        return next(islice(bare, WITHIN, None), None) is not None

    def _to_next_line(self, shields: _Ranges) -> Raw:
        """Give up what is too long to be read, up to a line that begins with a statement."""
        while (end := self._boundary(shields)) is None and self._grow():
            pass
        long = self._adrift
        self._adrift = end is None and not self._drained
        if end is None:
            end = len(self._buffer)
        if self._adrift:  # the next window may bring the rest of such a line
            end = max(end - OVERLAP, self._at + 1)
        long = long or end - self._at >= LONGEST - OVERLAP
        return self._raw(end, State.TOO_LARGE if long else State.BROKEN)

    def _within(self, starts: list[int], stop: int) -> int | None:
        """Return where a whole statement begins in a line that breaks off before it."""
        return next((start for start in _ends(starts) if self._is_whole(start, stop)), None)

    def _is_whole_at(self, starts: list[int]) -> bool:
        """Tell whether a statement of the contract that has arrived whole begins at one of these.

        Else what was broken off may be the last piece that has arrived of a string with such text.
        """
        size = len(self._buffer)
        return any(size - start > MARGIN or self._is_whole(start, size) for start in _ends(starts))

    def _is_whole(self, start: int, stop: int) -> bool:
        scan = _Scan(start)
        scan.run(self._buffer, stop, final=True)
        return scan.end is not None and self._parses(self._buffer[start : scan.end])

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


class _Scan:
    """Looks for the `;` that ends the statement at `start`, further and further.

    `shields` is where comments and bodies in dollars begin and end, in which nothing is a
    statement, `strings` where strings and names in quotes do; what is too short to hold a
    statement is left out, and what is left open never ends.
    """

    def __init__(self, start: int) -> None:
        self.at = self.reach = start
        self.end: int | None = None
        self.shields = _Ranges()
        self.strings = _Ranges()
        self.astray: int | None = None  # the line up to which it is broken, whatever follows

    def run(self, data: bytes, limit: int, *, final: bool) -> None:
        """Look up to `limit`; where the last time ended in something left open, at that again."""
        self.reach = limit
        for ranges in (self.shields, self.strings):
            if _open(ranges):
                ranges.pop()
        while found := sql_tokens.SPECIAL.search(data, self.at, limit):
            token = found[0]
            if token == b";":
                self.at = self.end = found.end()
                return
            end = sql_tokens.token_end(data, found.start(), token)
            ranges = self.shields if token in (b"/*", b"$") else self.strings
            if end is None or (end >= len(data) and not final):
                if token != b"--":
                    ranges.append((found.start(), _NEVER))
                self.at = found.start()
                return
            if token != b"--" and end - found.start() >= SHORTEST:
                ranges.append((found.start(), end))
            self.at = end
        self.at = max(self.at, limit - 1)  # half a `--` may be before it

    def move(self, by: int) -> None:
        """Follow the buffer, from whose start `by` bytes were dropped."""
        self.at -= by
        for ranges in (self.shields, self.strings):
            ranges[:] = [(start - by, end - by * (end != _NEVER)) for start, end in ranges]


def _ends(starts: list[int]) -> Iterable[int]:
    return dict.fromkeys((*starts[:TRIED], *starts[-TRIED:]))


def _open(ranges: _Ranges) -> bool:
    return bool(ranges) and ranges[-1][1] == _NEVER


def _inside(ranges: _Ranges, at: int) -> bool:
    """Tell whether `at` is within one of the ranges, which are in order."""
    place = bisect(ranges, (at,)) - 1
    return place >= 0 and at < ranges[place][1]
