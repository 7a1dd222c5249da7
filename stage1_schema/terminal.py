"""What both command lines, `stage1` and `alembic`, print: visible text, and one line for an error.

Everything goes through one stream, so no command has to remember it.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stage1_schema.errors import NoPythonError, Stage1Error

if TYPE_CHECKING:
    from collections.abc import Iterator

DEBUG = "STAGE1_DEBUG"
NO_READER = 141  # what a shell makes of SIGPIPE
_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")
_NOT_PLAIN_TEXT = re.compile(r"[^\x20-\x7e\n\t]")


def visible(text: str, *, one_line: bool = True) -> str:
    r"""Return somebody else's text for a terminal: what would steer it as `\x1b` and the like.

    Without `one_line`, line feeds and tabs stay.
    """
    pattern = _NOT_PLAIN if one_line else _NOT_PLAIN_TEXT
    return pattern.sub(lambda found: _shown(found[0]), text)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


class OutputError(Stage1Error):
    """The output cannot be written."""


class Visible:
    """A text stream that shows control characters instead of sending them."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self.lost: OutputError | None = None

    def write(self, text: str) -> int:
        """Write `text`, control characters escaped. Raises OutputError."""
        with self._giving_up():
            return self._stream.write(visible(text, one_line=False))

    def flush(self) -> None:
        """Write what is left. Raises OutputError."""
        with self._giving_up():
            self._stream.flush()

    def writelines(self, lines: list[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            _discard(self._stream.fileno())
            self.lost = OutputError(f"The output cannot be written: {error.strerror}.")
            raise self.lost from None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        if name == "buffer":  # click writes to it, past us
            raise AttributeError(name)
        return getattr(self._stream, name)


def prepare(*, verbatim: bool = False) -> None:
    """Let this process print visible text only; `verbatim` leaves stdout as it is.

    A stream that is closed takes everything and keeps nothing. What the encoding lacks is escaped.
    """
    warnings.formatwarning = lambda message, *_args, **_rest: f"warning: {message}\n"
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for good
        stream.reconfigure(errors="backslashreplace")
        keep = verbatim and name == "stdout"
        setattr(sys, name, stream if keep else Visible(stream))


def flush() -> int:
    """Write what is left; return the exit code of output that nobody takes, else 0.

    A reader that has enough, such as `head`, is no error to speak of.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(1)
        return NO_READER
    except OutputError:
        pass
    # The interpreter flushes before it comes to us, and keeps what went wrong to itself.
    if error := getattr(sys.stdout, "lost", None):
        print(f"stage1: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _discard(descriptor: int) -> None:
    """Let go what cannot be written: the interpreter would try again at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def explain(error: BaseException) -> Stage1Error:
    """Return the one line for an error that no command has explained."""
    from alembic.util import CommandError  # noqa: PLC0415 - slow to import

    from questdb_ddl.errors import QuestDBDDLError  # noqa: PLC0415

    if isinstance(error, Stage1Error):
        return error
    if isinstance(error, SyntaxError):
        return NoPythonError(error)
    if isinstance(error, QuestDBDDLError | CommandError):
        return Stage1Error(str(error))
    text, next_step = _unexpected(error)
    return Stage1Error(text, next_step=next_step)


def _unexpected(error: BaseException) -> tuple[str, str]:
    git = "correct it, or restore it from git."
    frames = traceback.extract_tb(error.__traceback__)
    of_revision = [each for each in frames if Path(each.filename).parent.name == "versions"]
    if of_revision:
        at = of_revision[-1]
        return f"{at.filename}, line {at.lineno}: {type(error).__name__}: {error}.", git
    if frames and Path(frames[-1].filename).parts[-3:] == ("alembic", "script", "revision.py"):
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        return f"The files in migrations/versions are no history: {what}.", git
    if isinstance(error, FileNotFoundError) and not error.filename:
        gone = "The current directory does not exist any more."
        return gone, "cd into the checkout and run the same command again."
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror or error}."
        return text, "correct that and run the same command again."
    if isinstance(error, configparser.Error | UnicodeDecodeError | ImportError):
        text = f"alembic.ini or another file of the checkout cannot be read: {error}."
        return text, git
    return (
        f"This is a fault of stage1: {type(error).__name__}: {error}.",
        f"run it again with {DEBUG}=1 and report what it prints.",
    )
