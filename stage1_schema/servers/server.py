"""What both local servers share: found, started detached, watched until ready, stopped.

A server is known by its process alone, the one whose command line names its data directory: pid
files outlive a reboot, and a pid is given again to somebody else.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import psutil

from stage1_schema.errors import ServerStartError
from stage1_schema.servers import account
from stage1_schema.servers.files import private_directory, private_opener

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence

HOST = "127.0.0.1"
POLL_SECONDS = 0.05
PORT_ATTEMPTS = 3
TAIL_LINES = 15
LITTLE_DISK_MIB = 64
TELLING = re.compile(
    r"^(?!\s+at ).*(FATAL|PANIC|ERROR|Exception|error:| [CE] |[Nn]o space left|File too large"
    r"|could not look up)"
)

# The server goes to the background with as many file descriptors as the system allows (each
# QuestDB table takes some 30); its pid is printed. The shell is gone at once, so the server has
# no parent that would have to reap it.
LAUNCH = 'ulimit -Sn "$(ulimit -Hn)"; "$@" >&2 & echo $!'


def port_problem(port: int) -> str | None:
    """Return why a server cannot listen on `port` of the loopback address, None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return os.strerror(error.errno) if error.errno else str(error)
        except OverflowError:
            return "not a port number"
    return None


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_alive(process: psutil.Process) -> bool:
    """Tell whether this very process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def child_environment() -> dict[str, str]:
    """Return what a server may see of the environment.

    Not more, because PG*, QDB_* and JAVA_* variables change settings, and STAGE1_* hold secrets.
    """
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


class LocalServer(ABC):
    """One server in one directory. A context manager that starts it and stops it again.

    `port` asks for that port; without it the last one is taken again if it is free, else any.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]]
    start_timeout: ClassVar[float] = 90  # seconds

    def __init__(self, directory: Path, *, port: int | None) -> None:
        self.directory = directory.resolve()
        self.data = self.directory
        self.host = HOST
        self.port = 0
        self.process: psutil.Process | None = None
        self._asked_port = port

    @property
    def log(self) -> Path:
        """The log of the running or the last server; the one before has the suffix `.1`."""
        return self.directory / f"{self.name.lower()}.log"

    @abstractmethod
    def _prepare(self) -> None:
        """Make everything that has to stand before a start."""

    @abstractmethod
    def _command(self, port: int) -> list[str]:
        """Return the command line; it must name `self.data`. May write configuration."""

    @abstractmethod
    def _ready(self, process: psutil.Process, port: int) -> bool:
        """Tell whether `process` itself answers on `port`."""

    @abstractmethod
    def _programs(self) -> Sequence[Path]:
        """Return the files and directories that the server's user reads and runs."""

    def _run_options(self) -> Mapping[str, Any]:
        """Return further arguments of `subprocess.run`: the user to run as."""
        if (number := account.number_for(self.directory)) is None:
            return {}
        return {"user": number, "group": number, "extra_groups": []}

    @property
    def way(self) -> account.Way:
        """What root opened for this server's user."""
        return account.Way(self.directory)

    def _let_in(self) -> None:
        """Give the server's user its directory, and the way to it and to its programs."""
        if (number := account.number_for(self.directory)) is not None:
            account.give(self.directory, number)
            self.way.open(number, self._programs())

    def find(self) -> psutil.Process | None:
        """Return the running server of this directory, whoever started it, or None."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if command and Path(command[0]).name == self.program and str(self.data) in command[1:]:
                found[process.pid] = process
        for process in found.values():
            # A child that was forked a moment ago still shows its parent's command line.
            with suppress(psutil.NoSuchProcess):
                if process.ppid() not in found and is_alive(process):
                    return process
        return None

    def start(self) -> Self:
        """Start the server, or take over the one that runs already, and wait until it answers.

        One that ends while it is waited for, such as one that is shut down, is started again.
        Raises ServerStartError with the end of the server's log in `log_tail`.
        """
        running, port = self.find(), self._last_port()
        if running and port is None:  # its directory was removed under it
            self.stop()
            running = None
        if running and port:
            if self._asked_port not in (None, port):
                raise ServerStartError(
                    f"{self.name} already runs on port {port}, not {self._asked_port}.",
                    next_step="stop it with 'make down', or ask for no port",
                )
            if self._is_taken_over(running, port):
                return self
        if self._asked_port and (problem := port_problem(self._asked_port)):
            raise ServerStartError(
                f"{self.name} cannot listen on {HOST}:{self._asked_port}: {problem}.",
                next_step="ask for another port, or for none to get a free one",
            )
        try:
            private_directory(self.directory)
            if self.log.exists():
                self.log.replace(f"{self.log}.1")
            self._prepare()
            self._let_in()
            self._start_on_some_port(port)
        except OSError as error:
            raise self._failure(f"{self.name} did not start: {error}.") from error
        return self

    def stop(self) -> None:
        """Stop the server and wait until it is gone; nothing to do is no error.

        Raises ServerStartError when it belongs to another user.
        """
        process = self.find()
        self.process = None
        if process is not None:
            self._end(process)
        self.way.close()

    def _end(self, process: psutil.Process) -> None:
        try:
            for number, patience in self.stop_signals:
                process.send_signal(number)
                deadline = time.monotonic() + patience
                while is_alive(process) and time.monotonic() < deadline:
                    time.sleep(POLL_SECONDS)
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied as error:
            raise ServerStartError(
                f"{self.name} (pid {process.pid}) belongs to another user and cannot be stopped.",
                next_step="run the command as the user who started it",
            ) from error

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def log_tail(self) -> str:
        """Return the last lines of the log, empty without one."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(line for line in text.splitlines()[-TAIL_LINES * 4 :] if line.strip())

    def _last_port(self) -> int | None:
        try:
            return int((self.directory / "port").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def _start_on_some_port(self, last: int | None) -> None:
        port = self._asked_port or last
        problem = port_problem(port) if port else None
        for attempt in range(1, PORT_ATTEMPTS + 1):
            if not port or problem:
                port = free_port()
            account.write_owned(self.directory / "port", str(port))
            process: psutil.Process | None = None
            try:
                process = self._launch(self._command(port))
                self._wait(process, port)
            except BaseException as error:
                with suppress(psutil.NoSuchProcess):
                    if process is not None:
                        process.kill()
                problem = port_problem(port)
                lost = isinstance(error, ServerStartError) and problem and not self._asked_port
                if not lost or attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def _launch(self, command: Sequence[str]) -> psutil.Process:
        with open(self.log, "ab", opener=private_opener) as log:
            shell = subprocess.run(  # noqa: S603 - an own program, arguments not from outside
                ["/bin/sh", "-c", LAUNCH, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                check=True,
                cwd=self.directory,
                env=child_environment(),
                umask=0o077,
                start_new_session=True,
                **self._run_options(),
            )
        try:
            return psutil.Process(int(shell.stdout))
        except psutil.NoSuchProcess:
            raise self._failure(f"{self.name} did not start.") from None

    def _is_taken_over(self, running: psutil.Process, port: int) -> bool:
        """Wait until it answers, and tell whether it did: False if it ended instead."""
        try:
            self._wait(running, port)
        except ServerStartError:
            if is_alive(running):
                raise
            return False
        return True

    def _wait(self, process: psutil.Process, port: int) -> None:
        deadline = time.monotonic() + self.start_timeout
        while not self._ready(process, port):
            if not is_alive(process):
                raise self._failure(f"{self.name} did not start.")
            if time.monotonic() > deadline:
                raise self._failure(f"{self.name} was not ready in {self.start_timeout:.0f} s.")
            time.sleep(POLL_SECONDS)
        self.port, self.process = port, process

    def _failure(self, message: str) -> ServerStartError:
        lines = self.log_tail().splitlines()
        telling = next((line for line in reversed(lines) if TELLING.search(line)), "")
        with suppress(OSError):  # QuestDB says nothing when it cannot unpack its library
            free = shutil.disk_usage(self.directory).free // 2**20
            if not telling and free < LITTLE_DISK_MIB:
                telling = f"Only {free} MiB are free on its disk."
        error = ServerStartError(
            f"{message} {telling.strip()}", next_step=f"see {self.log}, then run 'make up' again"
        )
        error.log_tail = "\n".join(lines[-TAIL_LINES:])
        return error
