"""Time and memory of `stage1 replay` on hostile files of 1, 2, 4 and 8 MB, one kind after another.

Every kind of `tests.spool.hostile` is replayed by a whole process into a database of its own. The
exit code is 1 when the processor time of a kind grows by more than 2.5 where its size doubles, or
the peak of its memory passes 300 MB. What takes less than 0.5 s is start-up.

Run: .venv/bin/python -m benchmarks.hostile [KIND …]
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

from benchmarks.replay import MB, STAGE1, bench
from tests.spool import generator, hostile

SIZES_MB = (1, 2, 4, 8)
GROWTH = 2.5
PEAK_MB = 300
NOTICED_S = 0.5
BETWEEN = """
import os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(process, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measured(path: object, variables: dict[str, str]) -> tuple[int, float, float]:
    """Replay a file; return the exit code, the processor's seconds, and the peak memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", BETWEEN, STAGE1, "replay", path],
        env=os.environ | variables,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    seconds, peak = done.stderr.split()[-2:]
    return done.returncode, float(seconds), int(peak) * 1024 / MB


def main(kinds: tuple[str, ...]) -> int:
    """Print one line for each kind; the exit code is 1 when one is past a mark."""
    failed = False
    with bench() as on:
        for number, kind in enumerate(kinds):
            found = []
            for size in SIZES_MB:
                file = on.directory / "hostile.sql"
                file.write_bytes(hostile.make(kind, size << 20))
                database = on.clone(f"hostile_{number}_{size}", generator.Spool())
                found.append(measured(file, on.variables(database)))
                on.admin.execute(f"DROP DATABASE {database}")
            growth = max(after[1] / max(before[1], NOTICED_S) for before, after in pairwise(found))
            peak = max(each[2] for each in found)
            passed = growth < GROWTH and peak < PEAK_MB
            failed |= not passed
            times = " ".join(f"{seconds:6.2f}" for _, seconds, _ in found)
            print(
                f"{kind:36} {times} s  grows by {growth:.2f}  peak {peak:.0f} MB"
                f"  exit code {found[-1][0]}{'' if passed else '  TOO MUCH'}",
                flush=True,
            )
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(tuple(sys.argv[1:]) or hostile.KINDS))
