"""What a hostile file may cost: time in proportion to its size, bounded memory, no traceback."""

import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.replay import BETWEEN
from stage1_schema.ops.spool.feed import Feed, parses
from stage1_schema.ops.spool.reader import Reader
from stage1_schema.ops.spool.report import Report
from tests.plugins.databases import as_role, environment
from tests.spool import generator, hostile
from tests.spool.test_replay import stands
from tests.spool.test_units import lines

STAGE1 = Path(sys.executable).with_name("stage1")
SMALL, FACTOR = 128 << 10, 4
MOST = 2.5**2
"""How much longer a file of four times the size may take; what is quadratic takes 16 times."""
NOTICED_S = 0.05
PEAK_MB = 300


class Nowhere:
    """Takes what is read, and forgets it."""

    now = "2026-01-01T00:00:00+00:00"

    def add(self, *_):
        pass

    def hold(self, *_):
        pass


def seconds_to_read(data):
    nowhere = Nowhere()
    feed = Feed(nowhere, nowhere, nowhere, Report("file"))
    reader = Reader(
        io.BytesIO(data),
        start=0,
        end=len(data),
        line=1,
        shapes=feed.shapes,
        parses=parses,
        digest=hashlib.sha256(),
    )
    began = time.process_time()
    for piece in reader:
        feed.take(piece)
    feed.finish()
    return time.process_time() - began


@pytest.mark.slow
@pytest.mark.parametrize("kind", hostile.KINDS)
def test_time_to_read_grows_with_the_size(kind):
    """Processor time; a measurement that something disturbed is repeated."""
    small, large = (hostile.make(kind, size) for size in (SMALL, SMALL * FACTOR))
    found = []
    for _ in range(3):
        before = max(seconds_to_read(small), NOTICED_S)
        found.append(seconds_to_read(large) / before)
        if found[-1] < MOST:
            return
    pytest.fail(f"{FACTOR} times the size takes {min(found):.1f} times as long")


@pytest.mark.slow
@pytest.mark.parametrize("kind", hostile.KINDS)
def test_memory_is_bounded_and_nothing_ends_in_a_traceback(migrated, tmp_path, kind):
    path = tmp_path / "spool.sql"
    path.write_bytes(hostile.make(kind, (8 << 20) if kind in hostile.ONES else (1 << 20)))
    done = subprocess.run(
        [sys.executable, "-c", BETWEEN, STAGE1, "replay", path],
        env=os.environ | environment(as_role(migrated, migrated.roles.app)),
        capture_output=True,
        text=True,
        check=False,
    )
    stores, *said, peak = done.stderr.splitlines()
    assert stores.startswith("PostgreSQL ")
    assert "Traceback" not in done.stderr
    assert (done.returncode, len(said)) in ((0, 0), (3, 0), (1, 1)), done.stderr
    assert int(peak) * 1024 / 1e6 < PEAK_MB


LARGE = {
    "rows": "it has 1,001 rows; 1,000 are the most",
    "values": "it has more than 20,000 values, names and operators",
    "bytes": "it has 9,4",
    "more bytes": "it has no end within 8 MB",
    "levels": "it is nested too deep",
}


@pytest.mark.parametrize("kind", LARGE)
def test_statement_that_is_too_large_is_held_as_that(field, kind):
    spool = generator.usual(runs=2, folds=9, trades=0)
    fold = spool.statements[1]
    row = fold[fold.index("(", fold.index("VALUES")) : fold.index(" ON CONFLICT")]
    rows = ", ".join(f"('{spool.id()}', 1)" for _ in range(1_001))
    text = {
        "rows": f"INSERT INTO walkforward_folds (run_id, fold_number) VALUES {rows};",
        "values": fold.replace(row, ", ".join([row] * 2_000)),
        "bytes": fold.replace("::jsonb", "x" * (9 << 20), 1),
        "more bytes": fold.replace("::jsonb", "x" * (19 << 20), 1),
        "levels": fold.replace("}'::jsonb", "}'" + "::jsonb" * 2_000, 1),
    }[kind]
    field.replay(lines(*spool.statements, text, spool.statements[2]))
    held = field.quarantine()
    assert len(held) == 1 or kind == "more bytes"
    for _, found, reason, kept in held:
        assert (found, reason.startswith(LARGE[kind])) == ("too large", True)
        assert len(kept) <= 1 << 20
    stands(field, spool)
