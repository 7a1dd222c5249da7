"""`nan` and `inf`, which writers emit and no database takes, become NULL or JSON's null.

The rule: where a number stands as a value it becomes NULL, inside JSON it becomes null. Where an
identifying column or a time would be lost by it the statement is held instead. Text in quotes is
never touched, in SQL or in JSON.
"""

from __future__ import annotations

import re
from typing import Any

Tree = dict[str, Any]
_WORD = r"[-+]?(?:nan(?:\([a-z0-9_]*\))?|inf(?:inity)?|1\.\#(?:ind|inf|qnan|snan)[0-9]*)"
_NONFINITE = re.compile(_WORD, re.IGNORECASE)
_JSON = re.compile(
    # A string that is left open reaches to the end: so each character is looked at once.
    rf'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|(?<![\w.#])({_WORD})(?![\w.])',
    re.IGNORECASE | re.DOTALL,
)
_NAN, _INFINITE = {"nan"}, {"inf", "infinity"}
_MICROSOFT = re.compile(r"(?:ind|inf|qnan|snan)[0-9]*")
_HINTS = (b"nan", b"inf", b"1.#")
_VALUE_BEGINS = re.compile(rb"(?:[:\[,(]|\A)\s*+[-+]?\Z")
_NEAR = 64


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


def is_bare(node: Tree, source: bytes) -> bool:
    """Tell whether an expression is what a writer emits for a nan or an infinity.

    To PostgreSQL's parser that is a column (`nan`), a call (`nan(ind)`), or `1.` and an operator
    (`1.#QNAN`), with or without a sign. A name in quotes is none of them: `source` is the text
    that was parsed.
    """
    ((kind, value),) = node.items()
    if kind == "A_Expr" and value.get("kind") == "AEXPR_OP":
        operator = value["name"][-1]["String"]["sval"]
        if operator in ("-", "+") and "lexpr" not in value:
            return is_bare(value["rexpr"], source)
        return operator == "#" and _is_one(value.get("lexpr")) and _is_kind(value["rexpr"], source)
    if kind == "FuncCall":
        arguments = value.get("args", ())
        return _name(value["funcname"], value, source) in _NAN and (
            not arguments
            or (len(arguments) == 1 and arguments[0].keys() <= {"ColumnRef", "A_Const"})
        )
    return kind == "ColumnRef" and _name(value["fields"], value, source) in _NAN | _INFINITE


def _is_one(node: Tree | None) -> bool:
    """Tell whether this is `1.`, with or without a sign."""
    ((kind, value),) = (node or {"": {}}).items()
    if kind == "A_Expr":
        return "lexpr" not in value and _is_one(value.get("rexpr"))
    return kind == "A_Const" and value.get("fval", {}).get("fval") in ("1.", "-1.")


def _is_kind(node: Tree, source: bytes) -> bool:
    """Tell whether this is what Microsoft writes behind the `#`."""
    column = node.get("ColumnRef")
    return column is not None and bool(
        _MICROSOFT.fullmatch(_name(column["fields"], column, source))
    )


def _name(names: list[Tree], value: Tree, source: bytes) -> str:
    """Return a name that stands alone and without quotes."""
    if len(names) != 1 or source[value.get("location", 0) :].startswith(b'"'):
        return ""
    return str(names[0].get("String", {}).get("sval", ""))
