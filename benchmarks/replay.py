"""Time `stage1 replay` against `psql -f`: whole processes, one server, one run.

The server is the benchmark's own, with fsync. psql gets every parent beforehand, so that all of
its statements succeed; both write into databases cloned from one template. At last `stage1` alone
takes 1 GB: the rate and the peak memory must stay.

Run: .venv/bin/python -m benchmarks.replay
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from stage1_schema.ops import migrate
from stage1_schema.servers.binaries import postgres_binaries
from stage1_schema.servers.postgres import LocalPostgres
from stage1_schema.settings import PostgresSettings, QuestDBSettings, Settings
from tests.spool import generator

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = {
    "50 MB, first": 6,
    "50 MB, unchanged": 30,
    "50 MB, 1% new": 20,
    "5 MB, first": 3,
}
MB = 10**6
LARGE_MB = 1_000
LARGE_RATE = 0.5
"""The least part of the rate of the 50 MB file."""
LARGE_PEAK_MB = 200
STAGE1 = Path(sys.executable).with_name("stage1")
# Linux carries the peak of a parent over to its children: between is one that is small.
BETWEEN = """
import os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(process, 0)
print(used.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Bench:
    """One server with a migrated template."""

    def __init__(self, server: LocalPostgres, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.admin = psycopg.connect(**self.login("postgres"), autocommit=True)
        self.admin.execute("CREATE DATABASE template_stage1")
        settings = Settings(
            PostgresSettings({k: str(v) for k, v in self.login("template_stage1").items()}),
            QuestDBSettings("http://127.0.0.1:1"),
        )
        migrate.upgrade(settings, arguments=("questdb=skip",))

    def login(self, database: str) -> dict[str, object]:
        """Return the connection parameters of a database."""
        server = self.server
        return {
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "password": server.password,
            "dbname": database,
        }

    def clone(self, name: str, spool: generator.Spool) -> str:
        """Make a database that has every dataset and run that `spool` refers to and lacks."""
        self.admin.execute(f"CREATE DATABASE {name} TEMPLATE template_stage1")
        with psycopg.connect(**self.login(name), autocommit=True) as connection:
            for run_id, dataset_id in spool.parents:
                connection.execute("SELECT ensure_dataset_placeholder(%s::uuid)", (dataset_id,))
                if run_id:
                    connection.execute(
                        "SELECT ensure_run_placeholder(%s::uuid, %s::uuid)", (run_id, dataset_id)
                    )
            connection.execute("CHECKPOINT")
        return name

    def psql(self, database: str, file: Path) -> float:
        """Return the seconds of `psql -f`; fails when any statement does."""
        login = self.login(database)
        names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
        variables = {f"PG{names[k]}": str(v) for k, v in login.items() if k in names}
        command = [postgres_binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        command += ["-o", os.devnull, "-d", database, "-f", file]
        return timed(command, variables)

    def replay(self, database: str, file: Path) -> float:
        """Return the seconds of `stage1 replay`; fails unless all is in."""
        return timed([STAGE1, "replay", file], self.variables(database))

    def variables(self, database: str) -> dict[str, str]:
        """Return the environment in which `stage1` works on a database."""
        names = {"host": "HOST", "port": "PORT", "dbname": "DB", "user": "USER"}
        names["password"] = "PASSWORD"  # noqa: S105 - the name of a variable
        login = self.login(database)
        variables = {f"STAGE1_POSTGRES_{names[k]}": str(v) for k, v in login.items()}
        variables["STAGE1_QUESTDB_REST"] = "http://127.0.0.1:1"
        return variables


def timed(command: list[object], variables: dict[str, str]) -> float:
    """Run a command and return its seconds."""
    began = time.monotonic()
    subprocess.run(
        [str(word) for word in command],
        env=os.environ | variables,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - began


def measured(command: list[object], variables: dict[str, str]) -> tuple[int, float, float]:
    """Run a command; return its exit code, its seconds, and its peak memory in MB."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", BETWEEN, *map(str, command)],
        env=os.environ | variables,
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    seconds = time.monotonic() - began
    return done.returncode, seconds, int(done.stderr.split()[-1]) * 1024 / MB


@contextmanager
def bench() -> Iterator[Bench]:
    """Start the server in a directory that goes afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="stage1-bench-"))
    directory.chmod(0o755)
    try:
        with LocalPostgres(directory / "postgres") as server:
            yield Bench(server, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(on: Bench, name: str, runs: int) -> Iterator[tuple[str, Path, float, float]]:
    """Yield what was measured, the file, psql's seconds and ours, for one size of file."""
    spool = generator.usual(runs=runs, folds=500, trades=runs * 250, seed=runs)
    file = on.directory / f"spool_{runs}.sql"
    file.write_bytes(spool.bytes())
    before = len(spool.statements)
    psql, ours = on.clone(f"psql_{runs}", spool), on.clone(f"ours_{runs}", spool)
    yield f"{name}, first", file, on.psql(psql, file), on.replay(ours, file)
    if runs <= 10:
        return
    yield f"{name}, unchanged", file, on.psql(psql, file), on.replay(ours, file)
    # One per cent more: runs over the last dataset, which stands.
    dataset = spool.parents[-1][1]
    while len(spool.statements) < before * 1.01:
        spool.run("C", dataset, folds=min(500, before // 100))
    with file.open("ab") as appended:
        for statement in spool.statements[before:]:
            appended.write(statement.encode() + b"\n")
    yield f"{name}, 1% new", file, on.psql(psql, file), on.replay(ours, file)


def large(on: Bench, file: Path, rate: float) -> bool:
    """Print what 1 GB takes, made of copies of `file`; `rate` is that file's, in MB/s.

    Returns whether it is within its marks.
    """
    block = file.read_bytes()
    whole = on.directory / "large.sql"
    with whole.open("wb") as written:
        written.writelines(generator.copies(block, LARGE_MB * MB // len(block) + 1))
    database = on.clone("large", generator.Spool())
    code, seconds, peak = measured([STAGE1, "replay", whole], on.variables(database))
    found = whole.stat().st_size / MB / seconds
    print(
        f"{'1 GB, first':18} stage1 {seconds:6.2f} s  {found:6.1f} MB/s"
        f" (at least {LARGE_RATE} of {rate:.1f})  peak {peak:.0f} MB (at most {LARGE_PEAK_MB})"
        f"  exit code {code}",
        flush=True,
    )
    return code == 0 and found >= LARGE_RATE * rate and peak <= LARGE_PEAK_MB


def main() -> int:
    """Print one line for each measurement; the exit code is 1 when one is below its mark."""
    failed = False
    rates = {}
    with bench() as on:
        for name, runs in (("5 MB", 8), ("50 MB", 80)):
            for what, file, psql, ours in measure(on, name, runs):
                factor = psql / ours
                failed |= factor < WANTED[what]
                rates[what] = file.stat().st_size / MB / ours
                print(
                    f"{what:18} psql {psql:7.2f} s  stage1 {ours:6.2f} s"
                    f"  {factor:6.1f}x (at least {WANTED[what]}x)",
                    flush=True,
                )
        failed |= not large(on, file, rates["50 MB, first"])
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
