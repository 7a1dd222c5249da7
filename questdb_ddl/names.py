"""Names: QuestDB's rules for tables and columns, quoting, and the slug of a dataset.

The rules were tried character by character on QuestDB 8.2.0 and 9.3.4. Two are stricter here:
ASCII only (a long UTF-8 name can report success and create nothing) and no control characters
at all (the server lets some of them through).
"""

from __future__ import annotations

import re

from questdb_ddl.errors import DeclarationError

MAX_NAME_LENGTH = 127
"""Characters; the same for tables and columns."""

_FORBIDDEN_IN_TABLE = frozenset("/\\:?*,'\"%()+~")
_FORBIDDEN_IN_COLUMN = _FORBIDDEN_IN_TABLE | frozenset(".-")
_SYSTEM_TABLES = frozenset({"telemetry", "telemetry_config", "_query_trace"})
_FIRST_PRINTABLE, _DELETE = 0x20, 0x7F


def is_system_table(name: str) -> bool:
    """Tell whether `name` is one of QuestDB's own tables: telemetry, query trace, `sys.*`."""
    lower = name.lower()
    return lower in _SYSTEM_TABLES or lower.startswith("sys.")


def _check(kind: str, name: str, forbidden: frozenset[str]) -> str:
    if not name:
        raise DeclarationError(f"A {kind} name is empty.")
    if not name.isascii():
        raise DeclarationError(f"The {kind} name {name!r} is not ASCII.")
    if len(name) > MAX_NAME_LENGTH:
        raise DeclarationError(
            f"The {kind} name {name[:20]!r}… has {len(name)} characters; "
            f"QuestDB takes {MAX_NAME_LENGTH}."
        )
    bad = sorted({c for c in name if c in forbidden or is_control(c)})
    if bad:
        raise DeclarationError(
            f"The {kind} name {name!r} contains {' '.join(map(repr, bad))}, "
            "which QuestDB does not allow there."
        )
    return name


def is_control(character: str) -> bool:
    """Tell whether `character` is an ASCII control character, DEL included."""
    return ord(character) < _FIRST_PRINTABLE or ord(character) == _DELETE


def check_table_name(name: str) -> str:
    """Return `name` if QuestDB takes it as a table's; raises DeclarationError saying why not."""
    _check("table", name, _FORBIDDEN_IN_TABLE)
    if name[0] in ". " or name[-1] in ". " or ".." in name:
        raise DeclarationError(
            f"The table name {name!r} begins or ends with a dot or a space, or has two dots in a "
            "row; QuestDB does not allow that."
        )
    if is_system_table(name):
        raise DeclarationError(f"The table name {name!r} is one of QuestDB's own tables.")
    return name


def check_column_name(name: str) -> str:
    """Return `name` if QuestDB takes it as a column's; raises DeclarationError saying why not."""
    return _check("column", name, _FORBIDDEN_IN_COLUMN)


def quote(name: str) -> str:
    """Return `name` in double quotes for use in SQL.

    QuestDB has no escape inside quotes, so a name with a quote in it raises DeclarationError.

    >>> quote("ohlcv_btc25_4h")
    '"ohlcv_btc25_4h"'
    """
    return f'"{_unquotable(name)}"'


def literal(name: str) -> str:
    """Return `name` as an SQL string, as `table_columns('x')` wants it; raises DeclarationError.

    >>> literal("ohlcv_btc25_4h")
    "'ohlcv_btc25_4h'"
    """
    return f"'{_unquotable(name)}'"


def _unquotable(name: str) -> str:
    if not name or any(c in "\"'\\" or is_control(c) for c in name):
        raise DeclarationError(f"The name {name!r} cannot be written in QuestDB's SQL.")
    return name


def slug(text: str) -> str:
    """Return the slug of a dataset's name; raises DeclarationError when nothing is left of it.

    ASCII letters and digits are lower-cased, every run of other characters (the underscore too)
    becomes one `_`, and none stands at the ends.

    >>> slug("BTC/USDT  4h (2025)")
    'btc_usdt_4h_2025'
    """
    # Lower-casing comes last: str.lower() turns the Kelvin sign, which is not ASCII, into a k.
    result = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()
    if not result:
        raise DeclarationError(f"The name {text!r} has no ASCII letter or digit to make a slug of.")
    return result
