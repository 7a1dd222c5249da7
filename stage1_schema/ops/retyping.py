"""Whether a column's new type keeps each value, or an ALTER of it fails; and each row as it is.

PostgreSQL casts as in an assignment: what is out of range is an error, but digits behind the
point, parts of a second, a time zone and trailing blanks go without one.
"""

from __future__ import annotations

from stage1_schema.ops.sql_parser import parse

_INTEGERS = {"int2": 5, "int4": 10, "int8": 19}
"""With the digits of the largest."""
_KEPT = {
    ("int2", "float4"),
    ("int2", "float8"),
    ("int4", "float8"),
    ("float4", "float8"),
    ("date", "timestamp"),
}
_TEXTS = {"text", "varchar"}
_PADDED = "bpchar"
_MOST = {"timestamp": 6, "timestamptz": 6, "time": 6, "timetz": 6}
"""The modifier that a type without one has."""
_DIGITS = 2
_LENGTHENED = {"varchar", "numeric", "varbit", *_MOST}
"""What is written alike whatever the modifier, which is more room, and most of it without one."""


def keeps_values(old: str, new: str) -> bool:
    """Tell whether no value of type `old`, as PostgreSQL writes it, is another one as a `new`."""
    (old_name, old_mods, old_array), (new_name, new_mods, new_array) = map(_parsed, (old, new))
    if new_name in _TEXTS and not new_mods and not new_array:
        return old_array or old_name != _PADDED
    if old_array != new_array:
        return False
    if old_name == new_name:
        return not new_mods or old_mods == new_mods or _longer(old_name, old_mods, new_mods)
    if new_name == "numeric" and old_name in _INTEGERS:
        return not new_mods or _longer("numeric", (_INTEGERS[old_name], 0), new_mods)
    return {old_name, new_name} <= set(_INTEGERS) or (
        (old_name, new_name) in _KEPT and not new_mods
    )


def keeps_rows(old: str, new: str) -> bool:
    """Tell whether PostgreSQL writes no row anew, and reads none, for a column's new type.

    As ATColumnChangeRequiresRewrite in its tablecmds.c: the same bytes, or more room for them.
    """
    (old_name, old_mods, old_array), (new_name, new_mods, new_array) = map(_parsed, (old, new))
    if old_array or new_array:
        return (old_name, old_mods, old_array) == (new_name, new_mods, new_array)
    if {old_name, new_name} <= _TEXTS and not new_mods:
        return True
    if old_name != new_name or old_mods == new_mods:
        return old_name == new_name
    more = old_mods[:1] <= new_mods[:1] and old_mods[1:] == new_mods[1:]
    return old_name in _LENGTHENED and (
        not new_mods or (more and _longer(old_name, old_mods, new_mods))
    )


def _longer(name: str, old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """Tell whether a type with the modifiers `new` has room for all of the modifiers `old`."""
    if name == "numeric":
        return len(old) == _DIGITS == len(new) and new[1] >= old[1]
    before = old[0] if old else _MOST.get(name)
    return name != "bit" and before is not None and len(new) == 1 and new[0] >= before


def _parsed(type_: str) -> tuple[str, tuple[int, ...], bool]:
    found = parse(f"SELECT NULL::{type_}")[0].targetList[0].val.typeName
    values = [each.ival for each in found.typmods or ()]
    if not all(values):
        return type_, (), False  # of an extension
    mods = tuple(value.ival or 0 for value in values)
    if found.names[-1].sval == "numeric" and len(mods) == 1:
        mods = (*mods, 0)
    return found.names[-1].sval, mods, found.arrayBounds is not None
