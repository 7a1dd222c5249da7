"""What Stage1 needs of a QuestDB server's settings, and which of them differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from questdb_ddl import Client
    from stage1_schema.settings import QuestDBSettings

NEEDS = {
    "line.default.partition.by": (
        "MONTH",
        "a table that an exporter creates is partitioned by day otherwise",
    ),
    "line.tcp.default.partition.by": ("MONTH", "the same setting under its older name"),
    "line.auto.create.new.tables": (
        "false",
        "a table that an exporter creates has no deduplication, so a re-export doubles its rows",
    ),
    "cairo.ttl.use.wall.clock": (
        "true",
        "one row dated in the future would let TTL empty its table otherwise",
    ),
    "telemetry.enabled": ("false", "the server reports to its makers and keeps tables for it"),
}
"""Setting, value, and why. A setting that the server does not know is passed over."""

ADVISED = frozenset({"line.auto.create.new.tables", "telemetry.enabled"})
"""What may stay as it is without harm as long as every table is created by `stage1`."""

QUESTDB_PORT = 9000
FILES_PER_TABLE = 50
"""Open files of a table once written to in two months and queried (5 when fresh)."""


@dataclass(frozen=True)
class Finding:
    """One setting that differs; `must` is False where the server only should be changed."""

    setting: str
    value: str
    needed: str
    why: str
    must: bool


@dataclass(frozen=True)
class ServerCheck:
    """The findings, and how many files the tables may come to hold open."""

    version: str
    findings: tuple[Finding, ...]
    tables: int
    files: int
    files_limit: int | None

    @property
    def passed(self) -> bool:
        """Whether nothing must change."""
        return not any(finding.must for finding in self.findings)

    @property
    def server_conf(self) -> str:
        """The lines for server.conf."""
        lines = [f"{f.setting}={f.needed}" for f in self.findings if "." in f.setting]
        return "\n".join(lines)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return {**asdict(self), "passed": self.passed, "server_conf": self.server_conf}


def read(settings: QuestDBSettings, *, files_limit: int | None = None) -> ServerCheck:
    """Return what differs. `files_limit` is the server's `ulimit -n` where it is known.

    QuestDB does not tell its limit; for a server on this machine it is read from the process.
    Raises QuestDBError.
    """
    files_limit = files_limit or _limit_here(settings.url)
    with plain_questdb_errors(), client(settings) as questdb:
        rows = questdb.query("show parameters")
        tables = questdb.query("select count() as n from tables()")[0]["n"]
        values = {str(row["property_path"]): str(row["value"]) for row in rows}
        files = tables * FILES_PER_TABLE
        findings = [*_version(questdb), *_settings(values), *_files(tables, files, files_limit)]
        version = questdb.server_version()
        return ServerCheck(version, tuple(findings), tables, files, files_limit)


def _limit_here(url: str) -> int | None:
    """Return the limit of the process that listens at a loopback address; None where unknown."""
    parts = urlsplit(url)
    if parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        return None
    try:
        import psutil  # noqa: PLC0415
    except ImportError:  # it comes with the local servers only
        return None
    try:
        for found in psutil.net_connections("tcp"):
            listens = found.status == psutil.CONN_LISTEN
            if found.pid and listens and found.laddr[1:] == (parts.port or QUESTDB_PORT,):
                return _files_limit(found.pid)
    except (psutil.Error, OSError):  # a process that ends, or of another user
        pass
    return None


def _version(questdb: Client) -> Iterator[Finding]:
    from questdb_ddl import versions  # noqa: PLC0415 - as in stage1_schema.questdb

    if why := versions.untested(questdb):
        newest = ".".join(map(str, versions.NEWEST_TESTED))
        why = f"{why}: a backup of it cannot be verified"
        yield Finding("version", questdb.server_version(), f"at most {newest}", why, must=False)


def _settings(values: Mapping[str, str]) -> Iterator[Finding]:
    for name, (needed, why) in NEEDS.items():
        value = values.get(name)
        # Since 9.3 the older name is an alias and shows its own default.
        if name == "line.tcp.default.partition.by" and "line.default.partition.by" in values:
            continue
        if value is not None and value.upper() != needed.upper():
            yield Finding(name, value, needed, why, must=name not in ADVISED)


def _files_limit(pid: int) -> int | None:
    """Return the soft limit from /proc: psutil may not ask about the process of another user."""
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
    soft = line.split()[3]
    return None if soft == "unlimited" else int(soft)


def _files(tables: int, files: int, limit: int | None) -> Iterator[Finding]:
    if limit is not None and files > limit:
        yield Finding(
            "open files",
            str(limit),
            str(2 * files),
            f"{tables:,} tables come to hold {files:,} files open ({FILES_PER_TABLE} each)",
            must=True,
        )
