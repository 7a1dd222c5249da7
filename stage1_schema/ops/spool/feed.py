"""From pieces of a file to staged rows, refusals and quarantine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from stage1_schema.ops.spool import grammar
from stage1_schema.ops.spool.contract import DATASET_TABLES, Place
from stage1_schema.ops.spool.faults import Fault
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
        self._staging = staging
        self._datasets = datasets
        self._quarantine = quarantine
        self._report = report
        self._tally = Tally()
        self.shapes = Shapes(staging.now, self._tally)

    def take(self, piece: Raw | Fast, waiting: str | None = None) -> None:
        """Stage a piece, or hold it back; of one from quarantine the rows that are `waiting`."""
        self._report.statements += 1
        if isinstance(piece, Fast):
            self._staging.add(piece.place, piece.shape, piece.fields)
            if self._tally.mended:
                self._mended(piece.shape.target)
            return
        if piece.state is not State.WHOLE:
            self._quarantine.hold(_place(piece), _STATES[piece.state])
            return
        self._tally.mended = 0
        try:
            text = _decoded(piece.text)
            statement = grammar.parse(text)
            rows = [self._fields(statement.shape, row) for row in _those(statement, waiting)]
            _twice(statement.shape, rows)
        except (Refused, Held) as verdict:
            self._hold(piece, waiting, Fault(verdict.kind, str(verdict)))
        else:
            self._tally.mended += statement.mended
            self._mended(statement.shape.target)
            self.shapes.learn(piece.text, statement.shape)
            for row in rows:
                self._stage(piece, statement.shape, row)

    def _fields(self, shape: Shape, row: tuple[Constant, ...]) -> list[bytes]:
        fields = [
            field(kind, constant, self._staging.now, self._tally)
            for kind, constant in zip(shape.kinds, row, strict=True)
        ]
        if shape.table is not None:
            for column in shape.table.key:
                if fields[shape.columns.index(column)] == NULL:
                    raise Held(f"{column} is missing or NaN")
        return fields

    def _stage(self, piece: Raw, shape: Shape, fields: list[bytes]) -> None:
        place = _place(piece)
        if shape.table is None or shape.table in DATASET_TABLES:
            self._datasets.add(place, shape, fields)
        else:
            self._staging.add(place, shape, fields)

    def _mended(self, target: str) -> None:
        self._report.tables[target].mended += self._tally.mended
        self._tally.mended = 0

    def _hold(self, piece: Raw, waiting: str | None, found: Fault) -> None:
        target = row_key = None
        if found.kind != "syntax":
            target, row_key = grammar.aim(piece.text.replace(b"\0", b"").decode(errors="replace"))
        # What refers to a row that is never run does not wait for it.
        waited_for = None if found.kind == "refused" else waiting or row_key
        self._quarantine.hold(_place(piece), found, target, waited_for)


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


def statements(file: BinaryIO) -> Iterator[str | None]:
    """Yield the statements of a spool; None for what is no statement, or has not arrived whole."""
    end = file.seek(0, 2)
    file.seek(0)
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
        if isinstance(piece, Fast) or piece.state is not State.WHOLE:
            yield None
            continue
        try:
            yield _decoded(piece.text)
        except _UnreadableError:
            yield None
