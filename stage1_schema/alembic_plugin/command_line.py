"""Alembic's own command line: what it prints is visible text, and its errors are one line."""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from alembic import util

from stage1_schema import terminal

if TYPE_CHECKING:
    from types import TracebackType


def guard() -> None:
    """Do that where this process is `alembic`; Alembic offers nothing else to do it with."""
    program = sys.argv[0] if sys.argv else ""
    as_module = program == "-m" and "alembic" in sys.orig_argv
    if Path(program).name != "alembic" and not as_module:
        return
    terminal.prepare(verbatim="--sql" in sys.argv)  # a script is run, not looked at
    if not os.environ.get(terminal.DEBUG) and "--raiseerr" not in sys.argv:
        sys.excepthook = _report
    util.err = _fail  # Alembic's own goes to stdout, wrapped
    atexit.register(_finish)


def _fail(message: str, quiet: bool = False) -> NoReturn:  # noqa: FBT001, FBT002, ARG001 - Alembic's
    # Differences are a line each, and are made visible where they are listed.
    print(f"FAILED: {terminal.visible(message, one_line=False)}", file=sys.stderr)  # noqa: T201
    sys.exit(255)


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    del kind, trace
    if isinstance(error, KeyboardInterrupt):
        _fail("interrupted.")
    if not isinstance(error, terminal.OutputError):  # `_finish` says it
        _fail(str(terminal.explain(error)))


def _finish() -> None:
    if code := terminal.flush():
        os._exit(code)
