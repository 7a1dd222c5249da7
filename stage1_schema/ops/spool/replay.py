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
from stage1_schema.ops.spool.session import check_schema, has_schema, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stage1_schema.ops.spool.contract import Place, Shape
    from stage1_schema.ops.spool.faults import Fault
    from stage1_schema.ops.spool.feed import Feed
    from stage1_schema.ops.spool.reader import Reader
    from stage1_schema.ops.spool.session import SpoolConnection
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

    The file is read before the locks are taken, so that only applying keeps an upgrade waiting.
    `progress` is told the part that is done, from 0 to 1, and what goes on. Raises Stage1Error;
    what was committed until then are whole units, and the next replay goes on.
    """
    options = options or Options()
    told = progress or (lambda _, __: None)
    with _opened(path) as file, session(settings, checked=False) as connection:
        run = _Run(connection, file, path, options, told) if has_schema(connection) else None
        for key, other in ((UPGRADE_LOCK, "an upgrade"), (REPLAY_LOCK, "another replay")):
            told(READING, f"waiting for {other}")
            wait_for(connection, key, other, options.wait_s, shared=key == UPGRADE_LOCK)
        check_schema(settings, connection)
        if run is None or run.is_outdated():
            run = _Run(connection, file, path, options, told)
        with connection.transaction(force_rollback=True) if options.dry_run else nullcontext():
            return run.apply()


def source_of(path: Path) -> str:
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
    """One replay: the file is read and staged, which no other session sees, and then applied."""

    def __init__(
        self,
        connection: SpoolConnection,
        file: BinaryIO,
        path: Path,
        options: Options,
        told: Callable[[float, str], None],
    ) -> None:
        self._began = time.monotonic()
        told(0.0, "reading")
        self._connection = connection
        self._file = file
        self._path = path
        self._options = options
        self._told = told
        self._report = Report(source_of(path), dry_run=options.dry_run)
        self._report.file_bytes = size = file.seek(0, 2)  # what comes later is the next replay's
        again = options.again or options.prune
        self._start = history.find_start(connection, file, self._report.source, size, again=again)
        self._before = self._start.digest.copy()
        self._position, self._line = self._start.position, self._start.line
        self._report.mode = self._start.mode
        self._report.left_out = self._start.left_out
        self._quarantine = Quarantine(connection, file, self._report)
        self._feed: Feed | None = None
        if self._start.position < size:
            self._read(size)

    def is_outdated(self) -> bool:
        """Tell whether another replay of the file has ended since it was read."""
        last = history.last_replay(self._connection, self._report.source)
        return last != self._start.replay_id

    def _get_feed(self) -> Feed:
        """Return what decides about pieces; a file without news needs none of it."""
        from stage1_schema.ops.spool.datasets import Datasets  # noqa: PLC0415
        from stage1_schema.ops.spool.feed import Feed  # noqa: PLC0415
        from stage1_schema.ops.spool.staging import Staging  # noqa: PLC0415

        if self._feed is None:
            staging = Staging(self._connection, self._held, datetime.now(UTC).isoformat())
            datasets = Datasets(self._connection, staging, self._quarantine, self._report)
            self._feed = Feed(staging, datasets, self._quarantine, self._report)
        return self._feed

    def _read(self, size: int) -> None:
        from stage1_schema.ops.spool.feed import parses  # noqa: PLC0415 - as above
        from stage1_schema.ops.spool.reader import Reader  # noqa: PLC0415

        feed, start = self._get_feed(), self._start
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
        self._take(reader, feed, start.position, size)
        feed.finish()
        reader.finish()
        if start.position == 0:
            feed.likeness.check(str(self._path))
        self._position, self._line = reader.consumed, reader.consumed_lines

    def _take(self, reader: Reader, feed: Feed, start: int, size: int) -> None:
        step = max((size - start) // 100, 1)
        due = start
        for piece in reader:
            feed.take(piece)
            if reader.consumed >= due:
                due = reader.consumed + step
                self._told((reader.consumed - start) / (size - start) * READING, "reading")
                if start == 0 and feed.likeness.is_surely_none():
                    return

    def _held(self, place: Place, found: Fault, shape: Shape, copied: bytes) -> None:
        """Hold back a statement with a value that no column takes."""
        assert shape.table is not None  # noqa: S101 - datasets are not staged
        at = [shape.columns.index(column) for column in shape.table.key]
        rows = [line.split(b"\t")[4:] for line in copied.splitlines()]
        row_key = b",".join(b"/".join(row[n] for n in at) for row in rows)
        self._quarantine.hold(place, found, shape.target, row_key.decode(errors="replace").lower())

    def apply(self) -> Report:
        """Apply what was read, and record the replay; the locks are held."""
        report, connection, start = self._report, self._connection, self._start
        number = history.begin(connection, report)
        if start.position < report.file_bytes or count_open(connection):
            self._apply()
        report.read_bytes = report.file_bytes - start.position
        report.duration_s = round(time.monotonic() - self._began, 3)
        # Everything before was committed in order: once this is on disk, all is.
        connection.execute("SET synchronous_commit TO on")
        position, line, digest = self._position, self._line, start.digest
        carried = report.left_out
        if self._quarantine.again:  # there was no room for what may be applied later
            position, line, digest = start.position, start.line, self._before
            carried = start.left_out
        history.finish(
            connection, number, report, position=position, line=line, digest=digest, carried=carried
        )
        self._told(1.0, "done")
        return report

    def _apply(self) -> None:
        from stage1_schema.ops.spool import after  # noqa: PLC0415 - a file without news needs none
        from stage1_schema.ops.spool.apply import Applier  # noqa: PLC0415
        from stage1_schema.ops.spool.reader import Raw  # noqa: PLC0415

        connection, quarantine, report = self._connection, self._quarantine, self._report
        feed = self._get_feed()
        staging, datasets = feed.staging, feed.datasets
        quarantine.open()
        for position, line, text, row_key in quarantine.retries():
            feed.take(Raw(position, line, text), row_key)
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
