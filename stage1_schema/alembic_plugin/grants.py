"""Rights of the roles of the settings, compared one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stage1_schema.alembic_plugin.comparison import Comparison, of_items
from stage1_schema.alembic_plugin.history import TABLE
from stage1_schema.alembic_plugin.sql_ops import OPTION, GrantOp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from alembic.operations.ops import MigrateOperation

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item

ROLES = ("app", "readonly", "PUBLIC")
OWNERS = {"TABLE alembic_version", f"TABLE {TABLE}"}
"""What nobody but the owner writes, whatever the default privileges give."""
LATER = {"TABLE": "later TABLES", "FUNCTION": "later FUNCTIONS", "SEQUENCE": "later SEQUENCES"}


def compare_grants(
    declared: Catalogue, live: Catalogue, lost: Collection[str]
) -> tuple[list[Comparison], list[GrantOp], list[GrantOp]]:
    """Compare the rights; return the operations that bring the declared ones, and the last.

    Those take back what default privileges give with an object that is new, or that the way back
    may leave out (`lost`, as rights name it).

    What default privileges give to a later table is neither required nor a difference, unless
    rights on it are declared: those are all, then.
    """
    found: list[Comparison] = []
    operations: list[GrantOp] = []
    wanted, stands = declared["grants"], live["grants"]
    known, standing = set(_targets(declared)), set(_targets(live))
    told = {item.stem for item in wanted.values() if item.definition in ("app", "readonly")}
    carried = {_of_any_signature(item) for item in stands.values()}
    by_default = {_name(each): each for each in _by_default(declared, known - OWNERS)}
    for name in sorted(wanted.keys() | stands.keys()):
        item = wanted.get(name) or stands[name]
        free = name not in wanted and name in by_default and item.stem not in told
        if item.stem not in known or free:
            continue
        if item.definition not in ROLES:
            found.append(Comparison(f"right {name}", skipped="not a role of Stage1"))
            continue
        if item.signature == "USAGE" and f"USAGE on {item.stem} to PUBLIC" in stands:
            continue  # held through PUBLIC, and this role may not grant it
        result = of_items(wanted.get(name), stands.get(name))
        if result.equal:
            found.append(result)
            continue
        new = item.stem not in standing  # its missing is said already
        right = name.removeprefix(OPTION)
        if not new and (right == name or (right in wanted) == (right in stands)):
            found.append(result)
        free = name in by_default or item.definition == "PUBLIC"
        if not (new and (free or _of_any_signature(item) in carried)):
            operations.append(
                GrantOp(item.signature, item.stem, item.definition, revoke=name not in wanted)
            )
    given = told - (standing - set(lost))
    last = [
        GrantOp(each.right, each.on, each.role, revoke=True)
        for name, each in by_default.items()
        if each.on in given and name not in wanted
    ]
    return found, operations, last


def _of_any_signature(item: Item) -> tuple[str, str, str]:
    """Return a right as it is carried over while a function changes its signature."""
    return item.signature, item.stem.partition("(")[0], item.definition


def _name(right: GrantOp) -> str:
    return f"{right.right} on {right.on} to {right.role}"


def rights_of(live: Catalogue, dropped: Iterable[str]) -> list[MigrateOperation]:
    """Return the operations that revoke what is granted on what will be dropped.

    They are there for the way back, which grants it again.
    """
    gone = set(dropped)
    return [
        GrantOp(item.signature, item.stem, item.definition, revoke=True)
        for _, item in sorted(live["grants"].items())
        if item.stem in gone and item.definition in ("app", "readonly")
    ]


def _targets(catalogue: Catalogue) -> Iterator[str]:
    """Yield what rights can be granted on."""
    yield from ("SCHEMA public", *LATER.values())
    yield from (f"TABLE {name}" for kind in ("tables", "views") for name in catalogue[kind])
    yield from (f"FUNCTION {name}" for name in catalogue["functions"])
    yield from (f"SEQUENCE {name}" for name in catalogue["sequences"])


def _by_default(declared: Catalogue, targets: set[str]) -> Iterator[GrantOp]:
    """Yield the rights that the declared default privileges would give on each target."""
    later: dict[str, list[Item]] = {}
    for item in declared["grants"].values():
        later.setdefault(item.stem, []).append(item)
    for target in targets:
        for item in later.get(LATER.get(target.partition(" ")[0], ""), ()):
            yield GrantOp(item.signature, target, item.definition)
