"""A local QuestDB in a directory of its own."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

import psutil
from fasteners import InterProcessLock

from stage1_schema.errors import ServerStartError
from stage1_schema.servers.account import write_owned
from stage1_schema.servers.binaries import java, questdb_jar
from stage1_schema.servers.files import private_opener
from stage1_schema.servers.server import HOST, LocalServer, child_environment, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SETTINGS = {
    "http.min.enabled": "false",
    "pg.enabled": "false",
    "line.udp.enabled": "false",
    "line.default.partition.by": "MONTH",
    "line.tcp.default.partition.by": "MONTH",  # its name before 9.3
    "telemetry.enabled": "false",
    "shared.worker.count": "2",
    # The default of 16 MB for each column and partition takes gigabytes for a few small tables.
    "cairo.writer.data.append.page.size": "256k",
    "cairo.writer.data.index.value.append.page.size": "256k",
    "cairo.o3.column.memory.size": "256k",
    # A table that is created and read holds some 11 files open: 2,000 are more than many a machine
    # allows, unless idle ones are given back soon.
    "cairo.inactive.reader.ttl": "5000",
    "cairo.wal.inactive.writer.ttl": "2000",
    "cairo.idle.check.interval": "500",
}
LOG_SETTINGS = {
    "writers": "stdout",
    "w.stdout.class": "io.questdb.log.LogConsoleWriter",
    "w.stdout.level": "ADVISORY,ERROR,CRITICAL",  # INFO writes a line per query
}
JVM_OPTIONS = (
    "-Xmx1g",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # starts in two thirds of the time
    "-XX:-UsePerfData",
    "--enable-native-access=io.questdb",
    "--sun-misc-unsafe-memory-access=allow",
)
# What the JVM says of a cache that it cannot use is no business of the server's log.
CACHE_OPTIONS = ("-XX:+VerifySharedSpaces", "-Xlog:aot*=off,cds*=off")
CACHE_TIMEOUT = 120  # seconds
TRAINING = (
    "CREATE TABLE t (s SYMBOL, n LONG, at TIMESTAMP) TIMESTAMP(at) PARTITION BY MONTH WAL",
    "INSERT INTO t VALUES ('a', 1, '2025-01-01T00:00:00Z')",
    "SELECT wait_wal_table('t')",
    "ALTER TABLE t ADD COLUMN value DOUBLE",
    "SELECT wait_wal_table('t')",
    "SELECT s, count(), sum(n) FROM t WHERE at > '2024' ORDER BY s",
    "SELECT * FROM tables()",
    "SELECT * FROM wal_tables()",
    "DROP TABLE t",
)
ANSWERS = (http.HTTPStatus.OK, http.HTTPStatus.UNAUTHORIZED)  # the latter when http.user is set


class LocalQuestDB(LocalServer):
    """A QuestDB that listens on 127.0.0.1 only: HTTP, and line protocol over TCP if asked for.

    `directory` is its root. `jar` is the server, by default the pinned version; `settings` go
    into server.conf over this module's own. `ilp_port` is 0 without `ilp_tcp`.
    """

    name = "QuestDB"
    program = "java"
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = (
        (signal.SIGTERM, 30),
        (signal.SIGKILL, 5),
    )

    def __init__(
        self,
        directory: Path,
        *,
        jar: Path | None = None,
        port: int | None = None,
        ilp_tcp: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, port=port)
        self.ilp_port = 0
        self._jar = jar
        self._ilp_tcp = ilp_tcp
        self._settings = settings or {}
        self._cache_options: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The base URL of the REST interface."""
        return f"http://{self.host}:{self.port}"

    def _prepare(self) -> None:
        if self._jar is None:
            self._jar = questdb_jar()
        if not self._cache_options and (cache := class_cache(self._jar)):
            self._cache_options = (*CACHE_OPTIONS, f"-XX:AOTCache={cache}")
        # QuestDB unpacks its native library there, and a killed one leaves it behind.
        shutil.rmtree(self.directory / "tmp", ignore_errors=True)
        (self.directory / "tmp").mkdir()
        (self.directory / "conf").mkdir(exist_ok=True)
        _write_settings(self.directory / "conf" / "log.conf", LOG_SETTINGS)

    def _programs(self) -> Sequence[Path]:
        cache = [Path(each.partition("=")[2]) for each in self._cache_options[len(CACHE_OPTIONS) :]]
        return [java().parents[1], *([self._jar] if self._jar else []), *cache]

    def _command(self, port: int) -> list[str]:
        listening = {
            "http.bind.to": f"{HOST}:{port}",
            "line.tcp.enabled": str(self._ilp_tcp).lower(),
        }
        if self._ilp_tcp:
            self.ilp_port = free_port()
            listening["line.tcp.net.bind.to"] = f"{HOST}:{self.ilp_port}"
        conf = self.directory / "conf" / "server.conf"
        _write_settings(conf, {**SETTINGS, **listening, **self._settings})
        return [
            str(java()),
            *JVM_OPTIONS,
            *self._cache_options,
            f"-Djava.io.tmpdir={self.directory / 'tmp'}",
            *_program(self._jar),
            "-d",
            str(self.data),
        ]

    def _ready(self, process: psutil.Process, port: int) -> bool:
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:  # it is about to end
            return False
        if not any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return False
        return _status(port, "select 1") in ANSWERS


class _Trained(LocalQuestDB):
    """A server that notes in a file what it loads, once it ends."""

    def __init__(self, directory: Path, jar: Path, notes: Path) -> None:
        super().__init__(directory, jar=jar)
        self._cache_options = ("-XX:AOTMode=record", f"-XX:AOTConfiguration={notes}")

    def _programs(self) -> Sequence[Path]:
        return [java().parents[1], *([self._jar] if self._jar else [])]

    def assemble(self, command: Sequence[str]) -> None:
        """Make the cache of what was noted, as the server's user. Raises SubprocessError."""
        self._let_in()
        try:
            subprocess.run(  # noqa: S603 - an own program, arguments not from outside
                command,
                env=child_environment(),
                cwd=self.directory,
                umask=0o077,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=CACHE_TIMEOUT,
                check=True,
                **self._run_options(),
            )
        finally:
            self.way.close()


def class_cache(jar: Path) -> Path | None:
    """Return the JVM's cache of the loaded classes of `jar`, made beside it if it is not there.

    With it a server starts in half the time. None where it cannot be made, which is not an error:
    an empty file then says so. The JVM itself ignores a cache that does not fit or is damaged.
    """
    with suppress(OSError):
        found, release = jar.stat(), java().parents[1] / "release"
        key = (found.st_size, found.st_mtime_ns, release.read_text("utf-8"), JVM_OPTIONS)
        name = f"{jar.stem}-{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}.aot"
        cache = jar.with_name(name)
        if not cache.exists():
            with InterProcessLock(cache.with_suffix(".lock")):
                if not cache.exists():
                    _make_cache(jar, cache)
        return cache if cache.stat().st_size else None
    return None


def _make_cache(jar: Path, cache: Path) -> None:
    """Let a server run for a moment, make the cache of what it loaded, and move it to its place."""
    with tempfile.TemporaryDirectory(prefix=".stage1-aot-", dir=jar.parent) as name:
        root, final = Path(name, "server"), Path(name, "cache")
        notes, made = root / "notes", root / "made"
        assemble = ("-XX:AOTMode=create", f"-XX:AOTConfiguration={notes}", f"-XX:AOTCache={made}")
        try:
            with _Trained(root, jar, notes) as server:
                for statement in TRAINING:
                    _status(server.port, statement)
            server.assemble([str(java()), *JVM_OPTIONS, *assemble, *_program(jar)])
            with open(made, "rb", opener=private_opener) as stream:
                final.write_bytes(stream.read())
        except (OSError, ServerStartError, subprocess.SubprocessError):
            final.write_bytes(b"")
        final.replace(cache)


def _program(jar: Path | None) -> tuple[str, ...]:
    return ("-p", str(jar), "-m", "io.questdb/io.questdb.ServerMain")


def _status(port: int, statement: str) -> int | None:
    """Return the HTTP status of a statement, None when the server does not answer."""
    client = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        client.request("GET", f"/exec?query={quote(statement)}")
        return client.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        client.close()


def _write_settings(path: Path, settings: Mapping[str, str]) -> None:
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    write_owned(path, "# Rewritten at every start.\n" + "".join(lines))
