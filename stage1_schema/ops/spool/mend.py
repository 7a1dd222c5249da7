"""`nan` and `inf`, which writers emit and no database takes, become NULL or JSON's null.

The rule: where a number stands as a value it becomes NULL, inside JSON it becomes null. Where an
identifying column or a time would be lost by it the statement is held instead. Text in quotes is
never touched, in SQL or in JSON.
"""

from __future__ import annotations

import re

_WORD = r"[-+]?(?:nan(?:\([a-z0-9_]*\))?|inf(?:inity)?|1\.\#(?:ind|inf|qnan|snan)[0-9]*)"
_NONFINITE = re.compile(_WORD, re.IGNORECASE)
_JSON = re.compile(rf'"(?:[^"\\]|\\.)*+"|(?<![\w.#])({_WORD})(?![\w.])', re.IGNORECASE)
_SQL = re.compile(
    r"'[^']*+(?:''[^']*+)*+'|\"[^\"]*+\"|--[^\n]*+"
    rf"|(?<=[(,\s])({_WORD})(?=\s*[,)])",
    re.IGNORECASE,
)
_HINTS = (b"nan", b"inf", b"1.#")
_VALUE_BEGINS = re.compile(rb"(?:[:\[,(]|\A)\s*+[-+]?\Z")
_NEAR = 64
_AS_TIME = re.compile(r"to_timestamp\s*\(\s*$", re.IGNORECASE)


def suspect(data: bytes) -> bool:
    """Tell whether `data` may hold something to mend; False is certain."""
    lowered = data.lower()
    for hint in _HINTS:  # one regular expression for all takes ten times as long
        at = lowered.find(hint)
        while at >= 0:
            if _VALUE_BEGINS.search(lowered[max(at - _NEAR, 0) : at]):
                return True
            at = lowered.find(hint, at + 1)
    return False


def is_nonfinite(text: str) -> bool:
    """Tell whether a value's text is a nan or an infinity, in any C library's spelling."""
    return _NONFINITE.fullmatch(text.strip()) is not None


def json_text(text: str) -> tuple[str, int]:
    """Return JSON with every bare nan or infinity as null, and how many there were."""
    count = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        if match[1] is None:
            return match[0]
        count += 1
        return "null"

    return _JSON.sub(replaced, text), count


def sql_text(text: str) -> tuple[str, int]:
    """Return a statement with every bare nan or infinity as NULL, and how many there were.

    One that stands for a time becomes a plain `nan`, which is held.
    """
    values = re.search(r"\bvalues\b|\bselect\b", text, re.IGNORECASE)
    if values is None:
        return text, 0
    pieces, at, count = [text[: values.end()]], values.end(), 0
    for match in _SQL.finditer(text, at):
        if match[1] is not None:
            is_time = _AS_TIME.search(text, 0, match.start()) is not None
            pieces += (text[at : match.start()], "nan" if is_time else "NULL")
            at = match.end()
            count += not is_time
    return "".join((*pieces, text[at:])), count
