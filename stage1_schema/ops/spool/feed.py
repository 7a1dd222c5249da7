"""From pieces of a file to staged rows, refusals and quarantine."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, BinaryIO

from stage1_schema.ops.spool import grammar
from stage1_schema.ops.spool.contract import DATASET_TABLES, Place
from stage1_schema.ops.spool.faults import Fault
from stage1_schema.ops.spool.likeness import Likeness
from stage1_schema.ops.spool.reader import Raw, Reader, State
from stage1_schema.ops.spool.shapes import Fast, Shapes
from stage1_schema.ops.spool.values import NULL, Constant, Held, Refused, Tally, field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stage1_schema.ops.spool.contract import Shape
    from stage1_schema.ops.spool.datasets import Datasets
    from stage1_schema.ops.spool.grammar import Statement
    from stage1_schema.ops.spool.quarantine import Quarantine
    from stage1_schema.ops.spool.report import Report
    from stage1_schema.ops.spool.staging import Staging

_ENDS = re.compile(rb"\s*(?:commit|end|rollback|abort|prepare)\b", re.IGNORECASE)
_STATES = {
    State.BROKEN: Fault("broken", "it breaks off, and another statement follows"),
    State.TOO_LARGE: Fault("too large", "it has no end within 8 MB"),
    State.META: Fault("refused", "a psql command is never run"),
    State.TAIL: Fault("tail", "its end has not arrived"),
}


class Feed:
    """Decides what becomes of each piece."""

    def __init__(
        self,
        staging: Staging,
        datasets: Datasets,
        quarantine: Quarantine,
        report: Report,
    ) -> None:
        self.staging = staging
        self.datasets = datasets
        self._quarantine = quarantine
        self._report = report
        self._tally = Tally()
        self.shapes = Shapes(staging.now, self._tally)
        self.likeness = Likeness()
        self._own: _Own | None = None
        self._same: tuple[bytes, Refused | Held] | None = None  # the last that was not taken

    def take(self, piece: Raw | Fast, waiting: str | None = None) -> None:
        """Stage a piece, or hold it back; of one from quarantine the rows that are `waiting`."""
        self._report.statements += 1
        if self._own is not None:
            if isinstance(piece, Fast) or piece.state is not State.TAIL:
                self._within(self._own, piece)
                return
            self.finish()  # a tail is read again when it is whole
        if isinstance(piece, Fast):
            self.staging.add(piece.place, piece.shape, piece.fields)
            self.likeness.add_known(piece.place.length)
            if self._tally.mended:
                self._mended(piece.shape.target)
            return
        if piece.state is not State.WHOLE:
            self.likeness.add(piece.text, understood=False, tail=piece.state is State.TAIL)
            self._quarantine.hold(_place(piece), _STATES[piece.state])
            return
        try:
            self._stage(piece, waiting)
        except grammar.Transaction as command:
            if command.opens and waiting is None:
                self._own = _Own(piece)
            else:
                self._hold(piece, waiting, command)
        except (Refused, Held) as verdict:
            self._tally.mended = 0
            self._same = (piece.text, verdict) if waiting is None else None
            self._hold(piece, waiting, verdict)

    def finish(self) -> None:
        """Hold a transaction back of which no end has come."""
        if self._own is not None:
            own, self._own = self._own, None
            self._quarantine.hold(own.place, Fault("refused", own.reason))

    def _within(self, own: _Own, piece: Raw | Fast) -> None:
        """Add a piece to the transaction that it is within, and hold that back at its end."""
        own.add(piece)
        if isinstance(piece, Raw) and piece.state is State.WHOLE and _ENDS.match(piece.text):
            try:
                grammar.parse(_decoded(piece.text))
            except grammar.Transaction as command:
                if command.closes:
                    own.is_whole = True
                    self.finish()
            except (Refused, Held):
                pass

    def _stage(self, piece: Raw, waiting: str | None) -> None:
        """Stage the rows of a statement; raises Refused or Held."""
        if self._same is not None and waiting is None and self._same[0] == piece.text:
            raise self._same[1].with_traceback(None)  # else it grows each time
        self._tally.mended = 0
        statement = grammar.parse(_decoded(piece.text))
        rows = [self._fields(statement.shape, row) for row in _those(statement, waiting)]
        _twice(statement.shape, rows)
        self.likeness.add_known(len(piece.text))
        self._tally.mended += statement.mended
        self._mended(statement.shape.target)
        self.shapes.learn(piece.text, statement.shape)
        for row in rows:
            self._stage_row(piece, statement.shape, row)

    def _fields(self, shape: Shape, row: tuple[Constant, ...]) -> list[bytes]:
        fields = [
            field(kind, constant, self.staging.now, self._tally)
            for kind, constant in zip(shape.kinds, row, strict=True)
        ]
        if shape.table is not None:
            for column in shape.table.key:
                if fields[shape.columns.index(column)] == NULL:
                    raise Held(f"{column} is missing or NaN")
        return fields

    def _stage_row(self, piece: Raw, shape: Shape, fields: list[bytes]) -> None:
        place = _place(piece)
        if shape.table is None or shape.table in DATASET_TABLES:
            self.datasets.add(place, shape, fields)
        else:
            self.staging.add(place, shape, fields)

    def _mended(self, target: str) -> None:
        self._report.tables[target].mended += self._tally.mended
        self._tally.mended = 0

    def _hold(self, piece: Raw, waiting: str | None, verdict: Refused | Held) -> None:
        target = row_key = None
        if verdict.kind != "syntax":
            target, row_key = grammar.aim(piece.text.replace(b"\0", b"").decode(errors="replace"))
        self.likeness.add(piece.text, understood=verdict.kind not in ("syntax", "unreadable"))
        # What refers to a row that is never run does not wait for it.
        waited_for = None if verdict.kind == "refused" else waiting or row_key
        fault = Fault(verdict.kind, str(verdict))
        self._quarantine.hold(_place(piece), fault, target, waited_for)


class _Own:
    """A transaction of a spool's own: it is one statement, and never run."""

    def __init__(self, begin: Raw) -> None:
        self.place = _place(begin)
        self._count = 0
        self.is_whole = False

    @property
    def reason(self) -> str:
        """Why it is held."""
        end = "" if self.is_whole else ", and it has no COMMIT or ROLLBACK"
        held = f"{self._count - self.is_whole:,} statements are within it"
        return f"a transaction of its own is never run: {held}{end}"

    def add(self, piece: Raw | Fast) -> None:
        """Let a piece belong to it."""
        place = piece.place if isinstance(piece, Fast) else _place(piece)
        self._count += 1
        end = place.position + place.length
        self.place = self.place._replace(length=end - self.place.position)


def _twice(shape: Shape, rows: list[list[bytes]]) -> None:
    """Raise Held where a statement writes one row twice, which PostgreSQL refuses."""
    if len(rows) > 1 and shape.table is not None and (shape.plain or shape.updates):
        at = [shape.columns.index(column) for column in shape.table.key]
        if len({tuple(row[n].lower() for n in at) for row in rows}) < len(rows):
            raise Held("it writes the same row twice")


def _those(statement: Statement, waiting: str | None) -> Sequence[tuple[Constant, ...]]:
    """Return the rows whose keys are `waiting`; all, where not each of these keys is found."""
    shape = statement.shape
    if waiting is None or shape.table is None:
        return statement.rows
    at = [shape.columns.index(column) for column in shape.table.key]
    wanted = set(waiting.split(","))
    keys = [grammar.key_of(row[n] for n in at) for row in statement.rows]
    if not wanted <= set(keys):
        return statement.rows
    return [row for row, key in zip(statement.rows, keys, strict=True) if key in wanted]


def _place(piece: Raw) -> Place:
    return Place(piece.position, piece.line, len(piece.text))


class _UnreadableError(Held):
    """The bytes are no text."""

    kind = "unreadable"


def _decoded(text: bytes) -> str:
    if b"\0" in text:
        raise _UnreadableError("it has a NUL byte")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise _UnreadableError(f"byte {error.start} is no UTF-8") from None


def parses(text: bytes) -> bool:
    """Tell whether `text` is SQL at all."""
    try:
        return grammar.parses(_decoded(text))
    except _UnreadableError:
        return False


def statements(file: BinaryIO, name: str) -> Iterator[str | None]:
    """Yield the statements of a spool; None for what is no statement, or has not arrived whole.

    Raises NoSpoolError at the end where the file `name` is none.
    """
    end = file.seek(0, 2)
    file.seek(0)
    likeness = Likeness()
    reader = Reader(
        file,
        start=0,
        end=end,
        line=1,
        shapes=Shapes("", Tally()),  # none is learnt
        parses=parses,
        digest=hashlib.sha256(),
    )
    for piece in reader:
        if isinstance(piece, Fast):
            continue
        whole = piece.state is State.WHOLE and parses(piece.text)
        likeness.add(piece.text, understood=whole, tail=piece.state is State.TAIL)
        if likeness.is_surely_none():
            break
        yield piece.text.decode() if whole else None
    likeness.check(name)
