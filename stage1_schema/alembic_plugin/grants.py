"""Rights of the roles of the settings, compared one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stage1_schema.alembic_plugin.comparison import Comparison, of_items
from stage1_schema.alembic_plugin.history import TABLE
from stage1_schema.alembic_plugin.sql_ops import OPTION, GrantOp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic.operations.ops import MigrateOperation

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Item

ROLES = ("app", "readonly", "PUBLIC")
OWNERS = {"TABLE alembic_version", f"TABLE {TABLE}"}
"""What nobody but the owner writes, whatever the default privileges give."""
LATER = {"TABLE": "later TABLES", "FUNCTION": "later FUNCTIONS", "SEQUENCE": "later SEQUENCES"}


def compare_grants(declared: Catalogue, live: Catalogue) -> tuple[list[Comparison], list[GrantOp]]:
    """Compare the rights, and return the operations that bring the declared ones.

    What default privileges give to a later table is neither required nor a difference.
    """
    found: list[Comparison] = []
    operations: list[GrantOp] = []
    wanted, stands = declared["grants"], live["grants"]
    known, standing = set(_targets(declared)), set(_targets(live))
    by_default = set(_by_default(declared, known - OWNERS))
    for name in sorted(wanted.keys() | stands.keys()):
        item = wanted.get(name) or stands[name]
        if item.stem not in known or (name not in wanted and name in by_default):
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
        if not (new and (name in by_default or item.definition == "PUBLIC")):
            operations.append(
                GrantOp(item.signature, item.stem, item.definition, revoke=name not in wanted)
            )
    return found, operations


def rights_of(live: Catalogue, dropped: Iterable[str]) -> list[MigrateOperation]:
    """Return the operations that revoke what is granted on what will be dropped.

    They are there for the way back, which grants it again.
    """
    targets = set(dropped)
    return [
        GrantOp(item.signature, item.stem, item.definition, revoke=True)
        for _, item in sorted(live["grants"].items())
        if item.stem in targets and item.definition in ("app", "readonly")
    ]


def _targets(catalogue: Catalogue) -> Iterator[str]:
    """Yield what rights can be granted on."""
    yield from ("SCHEMA public", *LATER.values())
    yield from (f"TABLE {name}" for kind in ("tables", "views") for name in catalogue[kind])
    yield from (f"FUNCTION {name}" for name in catalogue["functions"])
    yield from (f"SEQUENCE {name}" for name in catalogue["sequences"])


def _by_default(declared: Catalogue, targets: set[str]) -> Iterator[str]:
    """Yield the rights that the declared default privileges would give on each target."""
    later: dict[str, list[Item]] = {}
    for item in declared["grants"].values():
        later.setdefault(item.stem, []).append(item)
    for target in targets:
        for item in later.get(LATER.get(target.partition(" ")[0], ""), ()):
            yield f"{item.signature} on {target} to {item.definition}"
