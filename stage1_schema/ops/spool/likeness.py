"""Whether a file is a spool at all: a README, an archive or UTF-16 text is refused whole."""

from __future__ import annotations

import re

from stage1_schema.errors import Stage1Error
from stage1_schema.ops.spool.contract import TABLES, UPSERT_DATASET

ENOUGH = 10
"""Statements of the contract that make a spool of a file, whatever else it holds."""
SURE = 1 << 20
"""Bytes of something else, without a single statement, after which it is none."""
_STARTS = [f"INSERT INTO {name} (" for name in TABLES] + [f"SELECT {UPSERT_DATASET}("]
_START = re.compile(
    rb"(?:INSERT\s+INTO\s+(?:%s)\b|SELECT\s+%s\s*\()"
    % ("|".join(TABLES).encode(), UPSERT_DATASET.encode()),
    re.IGNORECASE,
)
_LIKE = re.compile(rb"\s*+(?:INSERT|SELECT)\b", re.IGNORECASE)
_MAGIC = (
    (b"\x1f\x8b", "gzip data"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\x7fELF", "a program"),
    (b"PGDMP", "a dump of pg_dump"),
    (b"SQLite format 3", "an SQLite database"),
)
_HEAD = 512


class NoSpoolError(Stage1Error):
    """The file is no spool."""


class Likeness:
    """Weighs what was read of a file: statements against bytes that are none."""

    def __init__(self) -> None:
        self._statements = 0
        self._like = 0
        self._unlike = 0
        self._head = b""

    def add(self, text: bytes, *, understood: bool, tail: bool = False) -> None:
        """Add a piece; `understood` is one that PostgreSQL's parser takes, allowed or not.

        Of a tail that may be the start of a statement, or hide some, nobody can tell.
        """
        self._head = self._head or text[:_HEAD]
        self._statements += bool(understood and _START.match(text.lstrip()))
        if understood or _LIKE.match(text):
            self._like += len(text)
        elif not (tail and (_begins(text) or _START.search(text))):
            self._unlike += len(text)

    def add_known(self, size: int) -> None:
        """Add a statement of the contract that has `size` bytes."""
        self._statements += 1
        self._like += size

    def is_surely_none(self) -> bool:
        """Tell whether so much was read without a statement that no more need be."""
        return not self._like and self._unlike > SURE

    def check(self, name: str) -> None:
        """Raise NoSpoolError where the file `name` is none."""
        if self._unlike > self._like and self._statements < ENOUGH:
            raise NoSpoolError(
                f"{name} is no spool: it holds {_what(self._head)}."
                " The file was refused and nothing was changed.",
                next_step="give the path of pending_postgres_inserts.sql.",
            )


def _begins(text: bytes) -> bool:
    """Tell whether a cut may have left this of a statement."""
    start = " ".join(text.decode(errors="replace").split()).upper()
    return any(each.upper().startswith(start) for each in _STARTS)


def _what(head: bytes) -> str:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) * 3 > len(head):
        return "UTF-16 text, where a spool is UTF-8" if head.count(0) < len(head) else "zeros"
    return "binary data" if b"\0" in head else "text that is not SQL of a spool"
