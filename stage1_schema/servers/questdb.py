"""A local QuestDB in a directory of its own."""

from __future__ import annotations

import http.client
import shutil
import signal
from typing import TYPE_CHECKING, ClassVar

import psutil

from stage1_schema.servers.binaries import java, questdb_jar
from stage1_schema.servers.server import HOST, LocalServer, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SETTINGS = {
    "http.min.enabled": "false",
    "pg.enabled": "false",
    "line.udp.enabled": "false",
    "line.default.partition.by": "MONTH",
    "line.tcp.default.partition.by": "MONTH",  # its name before 9.3
    "telemetry.enabled": "false",
    "shared.worker.count": "2",
    # An idle worker turns 7,000 times before it sleeps at all, which keeps a small machine busy.
    "shared.worker.nap.threshold": "50",
    "shared.worker.sleep.threshold": "500",
    "wal.apply.worker.nap.threshold": "50",
    "wal.apply.worker.sleep.threshold": "500",
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

    @property
    def url(self) -> str:
        """The base URL of the REST interface."""
        return f"http://{self.host}:{self.port}"

    def _prepare(self) -> None:
        if self._jar is None:
            self._jar = questdb_jar()
        # QuestDB unpacks its native library there, and a killed one leaves it behind.
        shutil.rmtree(self.directory / "tmp", ignore_errors=True)
        (self.directory / "tmp").mkdir()
        (self.directory / "conf").mkdir(exist_ok=True)
        _write_settings(self.directory / "conf" / "log.conf", LOG_SETTINGS)

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
            f"-Djava.io.tmpdir={self.directory / 'tmp'}",
            "-p",
            str(self._jar),
            "-m",
            "io.questdb/io.questdb.ServerMain",
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
        client = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            client.request("GET", "/exec?query=select%201")
            return client.getresponse().status in ANSWERS
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()


def _write_settings(path: Path, settings: Mapping[str, str]) -> None:
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    path.write_text("# Written anew at every start.\n" + "".join(lines), encoding="utf-8")
    path.chmod(0o600)
