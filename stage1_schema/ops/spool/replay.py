"""One replay of one file, from its bytes to the report."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from stage1_schema.errors import Stage1Error
from stage1_schema.locks import REPLAY_LOCK, UPGRADE_LOCK, wait_for
from stage1_schema.ops.spool import history
from stage1_schema.ops.spool.quarantine import Quarantine, count_open
from stage1_schema.ops.spool.report import Report
from stage1_schema.ops.spool.session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stage1_schema.ops.spool.contract import Place, Shape
    from stage1_schema.ops.spool.datasets import Datasets
    from stage1_schema.ops.spool.faults import Fault
    from stage1_schema.ops.spool.feed import Feed
    from stage1_schema.ops.spool.reader import Reader
    from stage1_schema.ops.spool.session import SpoolConnection
    from stage1_schema.ops.spool.staging import Staging
    from stage1_schema.settings import Settings

READING = 0.5
"""The part of the work that reading is, for the progress bar."""


@dataclass(frozen=True)
class Options:
    """How to replay.

    Without `placeholders` what lacks its parent is held back. `again` reads the file from its
    start whatever the history says; `prune` does so too, and removes surplus trades. A replay
    waits up to `wait_s` seconds for another one, or for an upgrade, to end.
    """

    placeholders: bool = True
    prune: bool = False
    again: bool = False
    dry_run: bool = False
    wait_s: float = 600.0


def replay(
    settings: Settings,
    path: Path,
    options: Options | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Report:
    """Replay the file at `path` and return what came of it.

    `progress` is told the part that is done, from 0 to 1, and what goes on. Raises Stage1Error;
    what was committed until then are whole units, and the next replay goes on.
    """
    options = options or Options()
    told = progress or (lambda _, __: None)

    def turn(connection: SpoolConnection) -> None:
        for key, other in ((UPGRADE_LOCK, "an upgrade"), (REPLAY_LOCK, "another replay")):
            told(0.0, f"waiting for {other}")
            wait_for(connection, key, other, options.wait_s, shared=key == UPGRADE_LOCK)

    with _opened(path) as file, session(settings, turn) as connection:
        report = Report(_source(path), dry_run=options.dry_run)
        held = Quarantine(connection, file, report)
        run = _Run(connection, file, held, options, told)
        with connection.transaction(force_rollback=True) if options.dry_run else nullcontext():
            return run.run()


def _source(path: Path) -> str:
    """Return what a file is known by: its path, in which bytes that are no UTF-8 are escaped."""
    return os.fsencode(path.resolve()).decode(errors="backslashreplace")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if not path.is_file():
            raise Stage1Error(
                f"{path} is no file." if path.exists() else f"{path} does not exist.",
                next_step="give the path of pending_postgres_inserts.sql.",
            )
        file = path.open("rb")
    except OSError as error:
        raise Stage1Error(
            f"{path} cannot be read: {error.strerror}.", next_step="correct its permissions."
        ) from None
    with file:
        yield file


class _Run:
    """The state of one replay."""

    def __init__(
        self,
        connection: SpoolConnection,
        file: BinaryIO,
        quarantine: Quarantine,
        options: Options,
        told: Callable[[float, str], None],
    ) -> None:
        self._connection = connection
        self._file = file
        self._options = options
        self._told = told
        self._report = quarantine.report
        self._quarantine = quarantine

    def run(self) -> Report:
        began = time.monotonic()
        self._told(0.0, "reading")
        report, connection = self._report, self._connection
        report.file_bytes = size = self._file.seek(0, 2)  # what comes later is the next replay's
        again = self._options.again or self._options.prune
        start = history.find_start(connection, self._file, report.source, size, again=again)
        report.mode = start.mode
        number = history.begin(connection, report)
        position, line = start.position, start.line
        if start.position < size or count_open(connection):
            position, line = self._work(start, size)
        report.read_bytes = size - start.position
        report.duration_s = round(time.monotonic() - began, 3)
        # Everything before was committed in order: once this is on disk, all is.
        connection.execute("SET synchronous_commit TO on")
        history.finish(
            connection, number, report, position=position, line=line, digest=start.digest
        )
        self._told(1.0, "done")
        return report

    def _work(self, start: history.Start, size: int) -> tuple[int, int]:
        """Read, stage and apply; return how far the file is taken up."""
        # A file without news needs none of these.
        from stage1_schema.ops.spool.datasets import Datasets  # noqa: PLC0415
        from stage1_schema.ops.spool.feed import Feed, parses  # noqa: PLC0415
        from stage1_schema.ops.spool.reader import Raw, Reader  # noqa: PLC0415
        from stage1_schema.ops.spool.staging import Staging  # noqa: PLC0415

        connection, quarantine, report = self._connection, self._quarantine, self._report
        staging = Staging(connection, self._held, datetime.now(UTC).isoformat())
        datasets = Datasets(connection, staging, quarantine, report)
        feed = Feed(staging, datasets, quarantine, report)
        for position, line, text, row_key in quarantine.retries():
            feed.take(Raw(position, line, text), row_key)
        self._file.seek(start.position)
        reader = Reader(
            self._file,
            start=start.position,
            end=size,
            line=start.line,
            shapes=feed.shapes,
            parses=parses,
            digest=start.digest,
        )
        self._read(reader, feed, start.position, size)
        reader.finish()
        self._apply(staging, datasets)
        return reader.consumed, reader.consumed_lines

    def _apply(self, staging: Staging, datasets: Datasets) -> None:
        from stage1_schema.ops.spool import after  # noqa: PLC0415 - a file without news needs none
        from stage1_schema.ops.spool.apply import Applier  # noqa: PLC0415

        connection, quarantine, report = self._connection, self._quarantine, self._report
        staging.settle()
        datasets.apply()
        quarantine.flush()
        if self._options.prune:
            after.leave_out_surplus(connection, report.source)
        applier = Applier(
            connection, staging, quarantine, report, placeholders=self._options.placeholders
        )
        applier.run(lambda part: self._told(READING + part * (1 - READING), "applying"))
        after.incomplete_runs(connection, report)
        after.supersede(connection, report.source, quarantine.held)
        quarantine.close()
        after.surplus_trades(connection, report, prune=self._options.prune)

    def _read(self, reader: Reader, feed: Feed, start: int, size: int) -> None:
        step = max((size - start) // 100, 1)
        due = start
        for piece in reader:
            feed.take(piece)
            if reader.consumed >= due:
                due = reader.consumed + step
                self._told((reader.consumed - start) / (size - start) * READING, "reading")

    def _held(self, place: Place, found: Fault, shape: Shape, copied: bytes) -> None:
        """Hold back a statement with a value that no column takes."""
        assert shape.table is not None  # noqa: S101 - datasets are not staged
        at = [shape.columns.index(column) for column in shape.table.key]
        rows = [line.split(b"\t")[4:] for line in copied.splitlines()]
        row_key = b",".join(b"/".join(row[n] for n in at) for row in rows)
        self._quarantine.hold(place, found, shape.target, row_key.decode(errors="replace").lower())
