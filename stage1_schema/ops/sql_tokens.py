"""Where a string, a name, a comment and a statement end: PostgreSQL's lexical rules, on bytes."""

from __future__ import annotations

import re

SPECIAL = re.compile(rb"[;'\"$]|--|/\*")
_STRING = re.compile(rb"'[^']*+(?:''[^']*+)*+'")
_ESCAPED = re.compile(rb"'[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+'", re.DOTALL)
_IDENTIFIER = re.compile(rb'"[^"]*+"')
_DOLLAR = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$")
_NESTED = re.compile(rb"/\*|\*/")
_LINE_END = re.compile(rb"\r\n?|\n")
_WORD = re.compile(rb"[\w$\x80-\xff]")
_TOKEN = re.compile(rb"[\w\x80-\xff][\w$\x80-\xff]*+|--|/\*|\S")
_UNCOUNTED = (b",", b"(", b")")


def count(data: bytes, most: int) -> int:
    """Return how many tokens there are, and at most `most` + 1; commas and brackets are none."""
    found = at = 0
    while found <= most and (match := _TOKEN.search(data, at)):
        token = match[0]
        at = match.end()
        if token in (b"'", b'"', b"$", b"--", b"/*"):
            end = token_end(data, match.start(), token)
            at = len(data) if end is None else end
        found += token not in _UNCOUNTED
    return found


def token_end(data: bytes, at: int, token: bytes) -> int | None:
    """Return where what begins at `at` with `token` ends; None where that is not in sight."""
    if token == b"'":
        match = (_ESCAPED if _escapes(data, at) else _STRING).match(data, at)
        return match.end() if match else None
    if token == b'"':
        match = _IDENTIFIER.match(data, at)
        return match.end() if match else None
    if token == b"$":
        tag = None if at and _WORD.match(data, at - 1) else _DOLLAR.match(data, at)
        if tag is None:
            return at + 1
        end = data.find(tag[0], tag.end())
        return None if end < 0 else end + len(tag[0])
    return comment_end(data, at)


def _escapes(data: bytes, at: int) -> bool:
    """Tell whether the quote at `at` opens an E'…' string."""
    return at > 0 and data[at - 1] in b"eE" and not (at > 1 and _WORD.match(data, at - 2))


def comment_end(data: bytes, at: int) -> int | None:
    """Return the position after the comment at `at`; None where its end is not in sight."""
    if data.startswith(b"--", at):
        line = _LINE_END.search(data, at)
        return None if line is None else line.end()
    depth = 0
    for found in _NESTED.finditer(data, at):
        depth += 1 if found[0] == b"/*" else -1
        if depth == 0:
            return found.end()
    return None
