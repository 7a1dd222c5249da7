"""What squawk, a linter of migrations, says about a script. It is optional at run time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# IF EXISTS everywhere would hide what a revision did not expect to find.
EXCLUDED = ("prefer-robust-stmts",)


@dataclass(frozen=True)
class Finding:
    """One finding: squawk's rule, the first line it is about (from 1), and its text."""

    rule: str
    line: int
    message: str


def program() -> str | None:
    """Return squawk's path: beside this Python, else on the PATH; None where it is not."""
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if beside.is_file() else shutil.which("squawk")


def lint(script: str, postgres_version: str) -> tuple[Finding, ...]:
    """Return squawk's findings; empty where it is not installed or cannot read the script."""
    squawk = program()
    if squawk is None or not script.strip():
        return ()
    done = subprocess.run(  # noqa: S603 - a program of this environment, no shell
        [
            squawk,
            "--reporter=json",
            f"--exclude={','.join(EXCLUDED)}",
            f"--pg-version={postgres_version}",
        ],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found = json.loads(done.stdout or "[]")
    except ValueError:
        return ()
    return tuple(
        Finding(each["rule_name"], each.get("line", 0) + 1, each["message"]) for each in found
    )
