"""Run the command lines as a shell would: argv and environment in, exit code and text out."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.plugins.databases import environment

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def error_lines(self):
        """What a person reads as the error."""
        lines = (self.out + self.err).splitlines()
        return [line for line in lines if line.startswith(("FAILED: ", "stage1: ", "ERROR"))]


@pytest.fixture
def shell(tmp_path):
    """Run `stage1 …` or `alembic …` in a process of its own, in the checkout."""

    def run(program, *arguments, settings=None, **variables):
        given = {k: v for k, v in os.environ.items() if not k.startswith("STAGE1_")}
        given |= {"STAGE1_LOCAL_DIR": str(tmp_path / "local")}
        given |= environment(settings) if settings else {}
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=ROOT,
            env=given | variables,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
