"""What autogenerate does after Alembic compared the tables: everything that Alembic cannot see.

The declared catalogue and the live one are compared; each difference becomes operations, ordered
so that what depends on a changed table or view is dropped before and made again after.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from stage1_schema import sql
from stage1_schema.alembic_plugin import catalogue, checks, frozen, tables, touched
from stage1_schema.alembic_plugin.comparison import (
    FOREIGN,
    REFUSED,
    WORDS,
    Comparison,
    of_alembic,
    of_items,
)
from stage1_schema.alembic_plugin.declared import CannotCompareError, build
from stage1_schema.alembic_plugin.grants import compare_grants, rights_of
from stage1_schema.alembic_plugin.renamed import Renamed
from stage1_schema.alembic_plugin.sql_ops import (
    DropSqlObjectOp,
    GrantOp,
    KeepGrantsOp,
    RunSqlFileOp,
)
from stage1_schema.errors import Stage1Error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import MigrateOperation, UpgradeOps

    from stage1_schema.alembic_plugin.catalogue import Edge, Item
    from stage1_schema.alembic_plugin.declared import Declared
    from stage1_schema.sql import SqlObject

OBJECTS = ("functions", "views", "triggers")
Key = tuple[str, str]


@dataclass
class _Plan:
    """What becomes of views, functions and triggers; keys are (kind, name)."""

    declared: Declared
    live: catalogue.Catalogue
    uses: tuple[Edge, ...]
    files: Files
    roots: frozenset[tuple[str, str]]
    """(table, column) of what changes its type or goes, `*` for a table."""
    lost: set[Key] = field(default_factory=set)
    """(kind, stem) of what the way back cannot make: what it uses did not stand."""
    drop: set[Key] = field(default_factory=set)
    create: set[Key] = field(default_factory=set)
    replace: set[Key] = field(default_factory=set)

    def item(self, key: Key) -> Item | None:
        return self.live[key[0]].get(key[1]) if key[0] in self.live else None


class Files:
    """Which file holds a body: the newest frozen one, or a new one where the body changed."""

    def __init__(self, context: AutogenContext) -> None:
        """Read what was frozen and what is declared."""
        self.script = script = (context.opts or {})["script"]
        self.frozen = frozen.newest(script)
        self.current = {each.name: each.text for each in sql.objects()}
        self.number = frozen.next_number(script)

    def before(self, stem: str) -> str | None:
        """Return the frozen body that the history made last, or None."""
        path = self.frozen.get(stem)
        return frozen.name_of(path) if path else None

    def after(self, stem: str) -> str:
        """Return the frozen body that a new revision runs."""
        return f"{self.number}/{stem}.sql" if self.changed(stem) else self.before(stem) or ""

    def changed(self, stem: str) -> bool:
        """Tell whether the declared body has never been frozen."""
        path = self.frozen.get(stem)
        return path is None or frozen.read(path) != self.current[stem]

    def ours(self, stem: str) -> bool:
        """Tell whether an object of that name is or once was declared."""
        return stem in self.frozen or stem in self.current


def compare(context: AutogenContext, upgrade_ops: UpgradeOps) -> tuple[Comparison, ...]:
    """Compare everything, put the operations into `upgrade_ops`, return what was found.

    Raises Stage1Error when a declaration is wrong.
    """
    connection, metadata = context.connection, context.metadata
    if connection is None or metadata is None or isinstance(metadata, list | tuple):
        return tuple(of_alembic(upgrade_ops.as_diffs()).values())
    try:
        declared = build(connection, metadata, sql.objects())  # type: ignore[arg-type]
    except CannotCompareError as error:
        what = "views, functions, triggers, CHECKs, index predicates and grants"
        seen = of_alembic(upgrade_ops.as_diffs())
        return (*seen.values(), Comparison(what, skipped=str(error)))
    files = Files(context)
    renamed = Renamed(declared.catalogue, catalogue.read(connection), files.script)
    renamed.take_out(upgrade_ops)
    live = renamed.live
    seen = of_alembic(upgrade_ops.as_diffs())
    sides = tables.sides(context, declared.catalogue, live, partial(renamed.reflect, connection))
    for each in tables.compare(connection, sides, upgrade_ops):
        said = seen.get(each.what)
        if said and each.difference and each.what.startswith("column "):  # Alembic saw a part of it
            seen[each.what] = replace(said, difference=f"{said.difference}; {each.difference}")
        elif each.difference or said is None:  # it knows better what differs
            seen[each.what] = each
    for said, operation in renamed.comments(declared.catalogue):
        seen[f"comment of {said.what}"] = said
        upgrade_ops.ops.append(operation)
    roots = frozenset(touched.roots(upgrade_ops))
    uses = renamed.edges(catalogue.edges(connection))
    plan = _Plan(declared, live, uses, files, roots)
    found = [*renamed.compare(), *seen.values(), *_objects(plan)]
    _lose(plan)
    _take_dependents(plan)
    found += dict.fromkeys(_in_the_way(plan))
    aside = checks.step_aside(sides, upgrade_ops, _calling(plan))
    lost = [f"TABLE {name}" for kind, name in plan.lost if kind == "views"]
    rights, grant_ops, last = compare_grants(declared.catalogue, live, lost)
    found += rights
    _arrange(plan, upgrade_ops, grant_ops, aside)
    upgrade_ops.ops[:] = [*renamed.operations(), *upgrade_ops.ops, *last]
    return tuple(found)


def _objects(plan: _Plan) -> Iterator[Comparison]:
    for kind in OBJECTS:
        declared, live = plan.declared.catalogue[kind], plan.live[kind]
        for name in sorted(declared.keys() | live.keys()):
            wanted, stands = declared.get(name), live.get(name)
            result = of_items(wanted, stands)
            if wanted is None and stands is not None and _foreign(plan, (kind, name), stands):
                yield Comparison(result.what, skipped=_why_foreign(plan, (kind, name)))
                continue
            yield result
            if result.equal:
                continue
            if wanted and stands and _replaceable(wanted, stands):
                plan.replace.add((kind, name))
                continue
            if stands:
                plan.drop.add((kind, name))
            if wanted:
                plan.create.add((kind, name))


def _foreign(plan: _Plan, key: Key, item: Item) -> bool:
    """Tell what other software built: no trigger by which our function runs on what is ours."""
    used = [edge.used for edge in plan.uses if key[0] == "triggers" and edge.user == key]
    own = {kind for kind, name in used if name in plan.declared.catalogue[kind]}
    return not plan.files.ours(item.stem) and ("functions" not in own or len(own) == 1)


def _why_foreign(plan: _Plan, key: Key) -> str:
    """Return the reason: a trigger on a table of ours may keep rows from it, and is told.

    So is what has a table's name.
    """
    tables = plan.declared.catalogue["tables"]
    if key[0] == "views" and key[1] in tables:
        return f"{FOREIGN[0]}, and has the name of a table: drop it"
    ours = [edge.used[1] for edge in plan.uses if edge.user == key and edge.used[1] in tables]
    return f"{FOREIGN[0]}, but runs on {ours[0]}" if key[0] == "triggers" and ours else FOREIGN[0]


def _replaceable(declared: Item, live: Item) -> bool:
    """Tell whether CREATE OR REPLACE does it, on the way back too: it cannot take a comment off."""
    fixed = declared.signature.startswith("m ") or declared.signature == "true"
    same = declared.signature == live.signature
    return same and not fixed and bool(declared.comment) == bool(live.comment)


def _touches(edge: Edge, columns: Collection[tuple[str, str]]) -> bool:
    """Tell whether it is one of the columns that is used, or of a table (`*`) among them."""
    kind, name = edge.used
    return kind == "tables" and ((name, edge.column) in columns or (name, "*") in columns)


def _made(plan: _Plan) -> set[tuple[str, str]]:
    """Return (table, column) of what is declared and does not stand, `*` for a table."""
    declared, live = (
        {(name, "*") for name in side["tables"]}
        | {(each.stem, each.signature) for each in side["columns"].values()}
        for side in (plan.declared.catalogue, plan.live)
    )
    return declared - live


def _lose(plan: _Plan) -> None:
    """Find what the way back must leave out: its body uses what did not stand before the repair.

    Somebody dropped or renamed a table, a column or a view by hand. What was replaced by hand
    steps aside, so that it does not keep the way back from dropping what it uses.
    """
    made = _made(plan)
    stood = {(kind, item.stem) for kind in OBJECTS for item in plan.live[kind].values()}
    for key, file in _in_order(plan):
        stem = (file.kind, file.name)
        before = plan.files.before(file.name)
        uses = [edge for edge in plan.declared.uses if edge.user == key]
        gone = any(_stem(plan, edge.used) in plan.lost for edge in uses)
        if stem not in stood:
            gone = gone or before != plan.files.after(file.name)
            lost = gone or any(_touches(edge, made) for edge in uses)
        else:  # `SELECT *` takes what there is
            names = [edge.column or edge.used[1] for edge in uses if _touches(edge, made)]
            said = any(re.search(rf"\b{re.escape(name)}\b", file.text) for name in names)
            lost = before == plan.files.after(file.name) and (gone or said)
        if lost:
            plan.lost.add(stem)
        if lost and key in plan.replace:
            plan.replace.remove(key)
            plan.drop.add(key)
            plan.create.add(key)


def _in_order(plan: _Plan) -> Iterator[tuple[Key, SqlObject]]:
    """Yield what is declared with its file, what is used before what uses it."""
    keys = {
        (kind, item.stem): (kind, name)
        for kind in OBJECTS
        for name, item in plan.declared.catalogue[kind].items()
    }
    for file in plan.declared.order:
        if (file.kind, file.name) in keys:
            yield keys[file.kind, file.name], file


def _stem(plan: _Plan, key: Key) -> Key:
    item = plan.declared.catalogue.get(key[0], {}).get(key[1])
    return key[0], item.stem if item else key[1]


def _take_dependents(plan: _Plan) -> None:
    """Have what uses a changed column, or something dropped, dropped before and made again."""
    waiting = [edge.user for edge in plan.uses if _touches(edge, plan.roots)]
    waiting += [edge.user for key in plan.drop for edge in plan.uses if edge.used == key]
    while waiting:
        key = waiting.pop()
        item = plan.item(key)
        if key in plan.drop or item is None or not plan.files.ours(item.stem):
            continue
        plan.drop.add(key)
        plan.replace.discard(key)
        if key[1] in plan.declared.catalogue[key[0]]:
            plan.create.add(key)
        waiting += [edge.user for edge in plan.uses if edge.used == key]


def _in_the_way(plan: _Plan) -> Iterator[Comparison]:
    """Name what will stop a drop: what other software built, or a part of a table."""
    for edge in plan.uses:
        item, what = plan.item(edge.user), f"{WORDS[edge.user[0]]} {edge.user[1]}"
        if _touches(edge, plan.roots) and _stays(plan, edge):
            used = ".".join(filter(None, (edge.used[1], edge.column)))
            yield Comparison(what, skipped=f"not of Stage1, and uses {used}: drop it")
        if edge.used not in plan.drop or item in set(_calling(plan)):
            continue
        if edge.user[0] not in OBJECTS:
            way_out = "take it away in a revision before, and declare it again in one after"
            yield Comparison(what, f"uses {edge.used[1]}, which must be dropped{REFUSED}{way_out}")
        elif item is None or not plan.files.ours(item.stem):
            yield Comparison(what, skipped=f"not of Stage1, and uses {edge.used[1]}: drop it")


def _stays(plan: _Plan, edge: Edge) -> bool:
    """Tell whether what uses a column or a table is of other software, and does not go with it."""
    item, (kind, _) = plan.item(edge.user), edge.user
    with_table = kind == "triggers" and (edge.used[1], "*") in plan.roots
    return kind in OBJECTS and not with_table and not (item and plan.files.ours(item.stem))


def _calling(plan: _Plan) -> Iterator[Item]:
    """Yield the CHECKs of our tables that call a function which must be dropped."""
    users = {edge.user for edge in plan.uses if edge.used in plan.drop}
    for name in sorted(name for kind, name in users if kind == "constraints"):
        item = plan.item(("constraints", name))  # None where it stands in another schema
        ours = item and item.stem in plan.declared.catalogue["tables"]
        if item and ours and item.definition.startswith("CHECK"):
            yield item


def refuse(found: Iterable[Comparison]) -> None:
    """Raise Stage1Error where PostgreSQL would refuse the new revision."""
    for each in found:
        what, refused, way_out = (each.difference or "").partition(REFUSED)
        if refused and not each.what.startswith("QuestDB"):
            raise Stage1Error(f"No revision can do this: {each.what} {what}.", next_step=way_out)


def _arrange(
    plan: _Plan,
    upgrade_ops: UpgradeOps,
    grant_ops: list[GrantOp],
    aside: tuple[list[MigrateOperation], list[MigrateOperation]],
) -> None:
    tables.keep_names(upgrade_ops)
    first, after = _creations(plan)
    names = _made_again(plan)
    # A right on a column is taken back while the column is there.
    before: list[MigrateOperation] = [each for each in grant_ops if each.revoked]
    before += [KeepGrantsOp(names, restore=False)] if names else []
    before += rights_of(plan.live, _gone(plan, upgrade_ops))
    before += [*aside[0], *_drops(plan)]
    last = [*aside[1], *([KeepGrantsOp(names, restore=True)] if names else [])]
    last += [each for each in grant_ops if not each.revoked]
    upgrade_ops.ops[:] = [*before, *first, *upgrade_ops.ops, *after, *last]


def _made_again(plan: _Plan) -> tuple[str, ...]:
    """Return the views and functions that are dropped and made again, by name.

    A function whose arguments changed is another one for PostgreSQL; its rights go with the name.
    """
    keys = ((plan.live, plan.drop), (plan.declared.catalogue, plan.create))
    old, new = (
        {side[kind][name].stem for kind, name in chosen if kind != "triggers"}
        for side, chosen in keys
    )
    return tuple(sorted(old & new))


def _gone(plan: _Plan, upgrade_ops: UpgradeOps) -> Iterator[str]:
    """Yield what will not stand any more, as rights name it."""
    made = set(_made_again(plan))
    words = {"views": "TABLE", "functions": "FUNCTION"}
    for kind, name in plan.drop:
        item = plan.live[kind][name]
        if kind in words and item.stem not in made and not _beside_ours(plan, item):
            yield f"{words[kind]} {name}"
    yield from (f"TABLE {name}" for name, column in touched.roots(upgrade_ops) if column == "*")


def _beside_ours(plan: _Plan, item: Item) -> bool:
    """Tell whether it is a second signature beside the declared one, which no revision made."""
    declared = plan.declared.catalogue[item.kind]
    same = [name for name, other in declared.items() if other.stem == item.stem]
    return item.name not in same and any(name in plan.live[item.kind] for name in same)


def _drops(plan: _Plan) -> list[MigrateOperation]:
    """Return the drops, what uses something before what it uses."""
    done: dict[Key, MigrateOperation] = {}

    def visit(key: Key) -> None:
        item = plan.item(key)
        if key in done or key not in plan.drop or item is None:
            return
        for edge in plan.uses:
            if edge.used == key:
                visit(edge.user)
        leave = _beside_ours(plan, item) or (key[0], item.stem) in plan.lost
        before = None if leave else plan.files.before(item.stem)
        done[key] = DropSqlObjectOp(_word(key, item), item.name, before)

    for key in sorted(plan.drop, key=lambda k: (OBJECTS[::-1].index(k[0]), k[1])):
        visit(key)
    return list(done.values())


def _word(key: Key, item: Item) -> str:
    special = {"m ": "materialized view", "p ": "procedure"}
    return special.get(item.signature[:2], key[0].removesuffix("s"))


def _creations(plan: _Plan) -> tuple[list[MigrateOperation], list[MigrateOperation]]:
    """Return what to create or replace: what a table may need before the tables, the rest after."""
    first: list[MigrateOperation] = []
    after: list[MigrateOperation] = []
    undone: set[Key] = set()
    for key, file in _in_order(plan):
        if key in plan.create or key in plan.replace:
            early = file.kind == "functions" and key[1] in plan.declared.independent
            operation = _creation(plan, key, file.name, undone)
            (first if early else after).append(operation)
            undone |= {key} if isinstance(operation.inverse, DropSqlObjectOp) else set()
    return first, after


def _creation(plan: _Plan, key: Key, stem: str, undone: set[Key]) -> RunSqlFileOp:
    """Return the operation that runs a body; on the way back the body before it, or a drop.

    What was dropped by hand comes back as the history has it, unless it would stand in the way:
    it uses what the way back drops or changes (`undone`: views and functions).
    """
    before, after = plan.files.before(stem), plan.files.after(stem)
    back = key in plan.replace
    if not back and key not in plan.drop and before == after:
        uses = [edge for edge in plan.declared.uses if edge.user == key]
        changed = plan.roots | _made(plan)
        back = not any(edge.used in undone or _touches(edge, changed) for edge in uses)
    if before and back:
        return RunSqlFileOp(after, RunSqlFileOp(before))
    word = _word(key, plan.declared.catalogue[key[0]][key[1]])
    return RunSqlFileOp(after, DropSqlObjectOp(word, key[1], after))
