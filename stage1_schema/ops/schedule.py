"""The nightly jobs, as cron lines or as systemd timers of the user.

What is installed stands between two marks (cron) or in units named `stage1-…` (systemd), so that
installing again replaces it and nothing else.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGIN = "# BEGIN stage1 schedule (stage1 schedule --remove takes it out)"
END = "# END stage1 schedule"
_BLOCK = re.compile(rf"^{re.escape(BEGIN)}\n.*?^{re.escape(END)}\n?", re.MULTILINE | re.DOTALL)
_PULL = re.compile(r"[\w.@-]*[\w.-]+:[^\s'\"\\]+")


@dataclass(frozen=True)
class Job:
    """One nightly job: a shell command line, run at `hour`:`minute` of the local time."""

    name: str
    title: str
    line: str
    hour: int
    minute: int


def jobs(database: str, *, spool: Path, pull: str | None = None) -> list[Job]:
    """Return the nightly jobs, in the order that they run in.

    `database` is the name that retention wants as its confirmation: what goes is archived first.
    `pull` is `host:path` for rsync; raises Stage1Error when it is something else.
    """
    stage1 = shlex.quote(str(Path(sys.executable).with_name("stage1")))
    file = Path.cwd() / spool
    for path in (Path.cwd(), file):
        if not str(path).isprintable():
            raise Stage1Error(
                f"{path} has characters that no line of a crontab can hold.",
                next_step="rename it.",
            )
    replay = f"{stage1} replay {shlex.quote(str(file))}"
    if pull is not None:
        if not _PULL.fullmatch(pull) or pull.startswith("-"):
            raise Stage1Error(
                f"{pull!r} is no source for rsync.", next_step="write it as host:path."
            )
        # A file that could not be fetched today is still worth a replay: quarantine may clear.
        fetch = f"rsync --times --timeout=300 -- {shlex.quote(pull)} {shlex.quote(str(file))}"
        replay = f"{fetch}; fetched=$?; {replay} && exit $fetched"
    retention = f"{stage1} retention apply --confirm {shlex.quote(database)}"
    return [
        Job("replay", "replay the desktop's spool file", replay, 2, 15),
        Job("validate", "validate both stores", f"{stage1} validate", 2, 45),
        Job("backup", "back both stores up", f"{stage1} backup", 3, 15),
        Job("retention", "archive and drop what is past its retention", retention, 4, 15),
    ]


MARK = "# Written by stage1 schedule, which replaces and removes it.\n"


class Cron:
    """The user's crontab."""

    def text(self, jobs: Sequence[Job]) -> str:
        """Return the lines of a crontab."""
        here = shlex.quote(str(Path.cwd()))
        lines = [
            # cron takes a bare % for the end of the line
            f"{job.minute} {job.hour} * * * cd {here} && {{ {job.line}; }}".replace("%", r"\%")
            for job in jobs
        ]
        return "\n".join((BEGIN, *lines, END))

    def change(self, jobs: Sequence[Job], *, dry_run: bool = False) -> list[str]:
        """Install `jobs`, or take ours out when there are none; return what was done."""
        before = self._read()
        rest = _BLOCK.sub("", before)
        if rest and not rest.endswith("\n"):
            rest += "\n"
        after = f"{rest}{self.text(jobs)}\n" if jobs else rest
        if after == before:
            return ["The crontab stays as it is."]
        if not dry_run:
            _run(["crontab", "-"], after)
        would = "would be " if dry_run else ""
        if not jobs:
            return [f"The block of stage1 {would or 'was '}removed from the crontab."]
        return [f"The crontab {would or 'was '}given:", self.text(jobs)]

    def _read(self) -> str:
        done = _run(["crontab", "-l"], check=False)
        if done.returncode and "no crontab" not in done.stderr.lower():
            raise Stage1Error(
                f"crontab -l failed: {done.stderr.strip()[:200]}.",
                next_step="mend that, or use --systemd.",
            )
        return done.stdout if done.returncode == 0 else ""


class Systemd:
    """Timers in the user's own systemd."""

    def text(self, jobs: Sequence[Job]) -> str:
        """Return the units, each under its path."""
        return "\n".join(f"# {path}\n{text}" for path, text in self._units(jobs).items())

    def change(self, jobs: Sequence[Job], *, dry_run: bool = False) -> list[str]:
        """Install `jobs`, or take ours out when there are none; return what was done."""
        units = self._units(jobs)
        directory = self._directory()
        standing = {path for path in directory.glob("stage1-*.*") if _is_ours(path)}
        gone = sorted(standing - set(units))
        if foreign := next((path for path in units if path.exists() and not _is_ours(path)), None):
            raise Stage1Error(
                f"{foreign} was not written by stage1 schedule; nothing was changed.",
                next_step="rename it, or remove it if it is not needed.",
            )
        changed = [
            path for path, text in units.items() if not path.exists() or path.read_text() != text
        ]
        said = [f"remove {path}" for path in gone] + [f"write {path}" for path in changed]
        if dry_run or not (units or gone):
            return said or ["The timers stay as they are."]
        if shutil.which("systemctl") is None:
            raise Stage1Error(
                "There is no program systemctl here; nothing was changed.",
                next_step="use --cron, or install systemd.",
            )
        for path in gone:
            if path.suffix == ".timer":
                self._systemctl("disable", "--now", path.name)
            path.unlink()
        for path in changed:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(units[path])
        self._systemctl("daemon-reload")
        for path in units:
            if path.suffix == ".timer":  # also where it was written by a run that failed here
                self._systemctl("enable", "--now", path.name)
        if not said:
            return ["The timers stay as they are."]
        return [*said, "Timers run when nobody is logged in after: loginctl enable-linger"]

    def _directory(self) -> Path:
        return Path.home() / ".config" / "systemd" / "user"

    def _units(self, jobs: Sequence[Job]) -> dict[Path, str]:
        units: dict[Path, str] = {}
        for job in jobs:
            base = self._directory() / f"stage1-{job.name}"
            line = _systemd_quoted(job.line)
            units[base.with_suffix(".service")] = (
                f"{MARK}[Unit]\nDescription=Stage1: {job.title}\n\n[Service]\nType=oneshot\n"
                f"WorkingDirectory={str(Path.cwd()).replace('%', '%%')}\n"
                f"ExecStart=/bin/sh -c {line}\n"
            )
            units[base.with_suffix(".timer")] = (
                f"{MARK}[Unit]\nDescription=Stage1: {job.title}, every night\n\n[Timer]\n"
                f"OnCalendar=*-*-* {job.hour:02d}:{job.minute:02d}:00\nPersistent=true\n\n"
                "[Install]\nWantedBy=timers.target\n"
            )
        return units

    def _systemctl(self, *words: str) -> None:
        _run(["systemctl", "--user", *words])


def _is_ours(path: Path) -> bool:
    """Tell whether we wrote a unit: an operator may have others of such a name."""
    return path.is_file() and path.read_text(errors="replace").startswith(MARK)


def _systemd_quoted(line: str) -> str:
    for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        line = line.replace(plain, written)
    return f'"{line}"'


def _run(
    words: list[str], given: str | None = None, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            words, input=given, text=True, capture_output=True, check=False
        )
    except OSError:
        raise Stage1Error(
            f"There is no program {words[0]} here.", next_step="use --systemd, or install cron."
        ) from None
    if check and done.returncode:
        raise Stage1Error(
            f"{' '.join(words)} failed: {done.stderr.strip()[:200]}.",
            next_step="mend that and run it again.",
        )
    return done
