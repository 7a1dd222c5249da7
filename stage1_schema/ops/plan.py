"""What an upgrade would do to both stores, before anything runs; and carrying out what was shown.

The statements are those of `alembic upgrade head --sql`. A plan is a value: it can be read, kept as
JSON, and refused by hazard. It holds a fingerprint of both stores, taken again under the upgrade
lock: what was shown is what runs.
"""

from __future__ import annotations

import ast
import re
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.script import ScriptDirectory
from sqlalchemy import text

from stage1_schema.alembic_plugin import preflight, questdb_changes, questdb_pending, standing
from stage1_schema.alembic_plugin.backfill import PAGE
from stage1_schema.alembic_plugin.questdb_alter import AlterQuestDBTableOp
from stage1_schema.connect import reading
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import fingerprint, migrate, pending, role_setup, squawk
from stage1_schema.ops.effects import CATALOGUE, REFERENCE, SCAN, TRIGGER, Effect, Hazard
from stage1_schema.ops.plan_standing import ForeignKey, Standing, look
from stage1_schema.ops.retyping import keeps_rows, keeps_values
from stage1_schema.ops.sql_parser import ParseError, split
from stage1_schema.ops.statements import effect
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from alembic.script import Script
    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.questdb_changes import Operation
    from stage1_schema.settings import Settings

SMALL_ROWS = 10_000
"""Up to so many rows, what blocks or rewrites a table is over in an instant, and no hazard."""
_OF_LARGE = {
    Hazard.BLOCKS_WRITES,
    Hazard.BLOCKS_READS,
    Hazard.REWRITES_TABLE,
    Hazard.CHANGES_ROWS,
}
_NOT_SHOWN = {"transaction", "SET"}
_QUESTDB_HAZARDS = (
    (
        re.compile(r"^\s*(DROP TABLE|TRUNCATE|ALTER TABLE \S+ DROP)\b", re.IGNORECASE),
        "deletes data",
    ),
    (re.compile(r"\bSET TTL\b", re.IGNORECASE), "deletes data"),
    (re.compile(r"\bALTER COLUMN \S+ TYPE\b", re.IGNORECASE), "rewrites table"),
    (re.compile(r"\bDEDUP DISABLE\b", re.IGNORECASE), Hazard.DROPS_DEDUPLICATION),
    (re.compile(r'\bTO "[^"]+_retired_\d{8}T\d{6}Z"$', re.IGNORECASE), Hazard.PUTS_DATA_AWAY),
)


class PlanRefusedError(Stage1Error):
    """The plan was not carried out."""


@dataclass(frozen=True)
class TableLock:
    """A lock on a table that stood before the run; `rows` is estimated."""

    table: str
    lock: str
    rows: int


@dataclass(frozen=True)
class Statement:
    """One statement for PostgreSQL."""

    sql: str
    kind: str
    locks: tuple[TableLock, ...] = ()
    hazards: tuple[str, ...] = ()


@dataclass(frozen=True)
class RevisionPlan:
    """What one revision would do. `lint` are squawk's findings, `notes` what it does not do.

    `views` are the materialized views of QuestDB that it invalidates.
    """

    revision: str
    title: str
    postgres: tuple[Statement, ...]
    questdb: tuple[str, ...]
    hazards: tuple[str, ...]
    lint: tuple[str, ...]
    notes: tuple[str, ...] = ()
    views: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The pending revisions, and what the stores were when they were looked at."""

    postgres_where: str
    questdb_where: str
    revision: str | None
    head: str
    revisions: tuple[RevisionPlan, ...]
    fingerprint: str
    questdb_tables: tuple[str, ...]
    squawk: bool
    arguments: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """True when nothing is pending."""
        return not self.revisions

    @property
    def hazards(self) -> tuple[str, ...]:
        """The names of all hazards, each once."""
        return tuple(dict.fromkeys(h for each in self.revisions for h in each.hazards))

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return {**asdict(self), "hazards": self.hazards}


def make(settings: Settings, arguments: Sequence[str] = ()) -> Plan:
    """Return the plan for head; changes nothing. `arguments` are what `-x` says.

    Raises Stage1Error when a store cannot be read, and for a change of QuestDB that is refused.
    """
    questdb = None if "questdb=skip" in arguments else settings.questdb
    with reading(settings.postgres) as connection:
        revision = migrate.revision(connection)
        stands = look(connection)
        legacy = standing.look(connection).rows if revision is None else 0
        version = connection.execute(text("SHOW server_version")).scalar_one().split(".")[0]
        head = migrate.head()
        script = pending.read(settings, revision)
        if script.steps:
            preflight.postgres(connection, settings.postgres)
        tables = questdb_pending.tables_of(script.questdb)
        taken = fingerprint.take(connection, questdb, arguments, tables)
        note = role_setup.of_migration(connection, settings.roles)
    drops = legacy and any(each.startswith("legacy=drop") for each in arguments)
    views: tuple[tuple[str, ...], ...] = ((),) * len(script.questdb)
    if questdb and script.questdb:
        with plain_questdb_errors(), client(questdb) as connected:
            views = questdb_pending.check(connected, script.questdb)
    return Plan(
        postgres_where=settings.postgres.where,
        questdb_where=settings.questdb.where if questdb else "skipped",
        revision=revision,
        head=head,
        revisions=tuple(_revisions(script, stands, version, views, drops=bool(drops), note=note)),
        fingerprint=taken,
        questdb_tables=tables,
        squawk=squawk.program() is not None,
        arguments=tuple(arguments),
    )


def carry_out(
    settings: Settings,
    plan: Plan,
    *,
    allow: Collection[str] = (),
    expected: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Carry out `plan`; `expected` is the fingerprint of a plan that was approved before.

    Raises PlanRefusedError for a hazard not in `allow`, and when a store or a pending file is not
    what it was when the plan was made; nothing is changed then.
    """
    if expected is not None and expected != plan.fingerprint:
        raise _moved(plan)
    refused = [hazard for hazard in plan.hazards if hazard not in allow]
    if refused:
        allowing = " ".join(f"--allow '{hazard}'" for hazard in refused)
        where = ", ".join(r.revision for r in plan.revisions if set(refused) & set(r.hazards))
        views = ", ".join(dict.fromkeys(view for r in plan.revisions for view in r.views))
        costs = ", ".join(refused).replace(
            Hazard.INVALIDATES_VIEWS, f"{Hazard.INVALIDATES_VIEWS} {views}"
        )
        raise PlanRefusedError(
            f"The plan {costs} (revision {where}). Nothing was changed.",
            next_step=f"if that is meant: stage1 upgrade {allowing}.",
        )
    questdb = None if "questdb=skip" in plan.arguments else settings.questdb

    def check(connection: Connection) -> None:
        taken = fingerprint.take(connection, questdb, plan.arguments, plan.questdb_tables)
        if taken != plan.fingerprint:
            raise _moved(plan)

    migrate.upgrade(settings, arguments=plan.arguments, progress=progress, under_lock=check)


def _moved(plan: Plan) -> PlanRefusedError:
    return PlanRefusedError(
        "A store, a pending revision or -x is not what it was when the plan was made."
        " Nothing was changed.",
        next_step=f"look at the new plan: stage1 plan (this one was {plan.fingerprint[:12]}…).",
    )


def _revisions(
    script: pending.Script,
    stands: Standing,
    version: str,
    views: Sequence[tuple[str, ...]],
    *,
    drops: bool,
    note: str | None,
) -> Iterable[RevisionPlan]:
    of_operations = iter(views)
    scripts = ScriptDirectory.from_config(migrate.config())
    findings = squawk.lint(script.text, version) if script.steps else ()
    for step in script.steps:
        found = scripts.get_revision(step.revision)
        try:
            statements = tuple(_statements(step.sql, stands))
        except ParseError as error:
            raise Stage1Error(
                f"The SQL of revision {step.revision} cannot be read: {error}.",
                next_step=f"correct migrations/sql/{step.revision}/.",
            ) from None
        with plain_questdb_errors():
            questdb = tuple(chain.from_iterable(map(questdb_changes.statements, step.questdb)))
        hazards = [h for each in statements for h in each.hazards]
        hazards += [h for sql in questdb for pattern, h in _QUESTDB_HAZARDS if pattern.search(sql)]
        hazards += [Hazard.MERGES_ROWS] * any(map(_merges_rows, step.questdb))
        invalidated = chain.from_iterable(islice(of_operations, len(step.questdb)))
        named = tuple(dict.fromkeys(invalidated))
        hazards += [Hazard.INVALIDATES_VIEWS] * bool(named)
        if not _reversible(found):
            hazards.append(Hazard.NOT_REVERSIBLE)
        if drops and found.is_base:
            hazards.append(Hazard.DELETES_DATA)
        lines = range(step.line, step.line + step.sql.count("\n"))
        yield RevisionPlan(
            revision=step.revision,
            title=found.doc,
            postgres=statements,
            questdb=questdb,
            hazards=tuple(dict.fromkeys(map(str, hazards))),
            lint=tuple(f"{f.rule}: {f.message}" for f in findings if f.line in lines),
            notes=(note,) if note and role_setup.APP_SETTING in step.sql else (),
            views=named,
        )


def _merges_rows(operation: Operation) -> bool:
    """Tell whether a deduplication key goes: a row written again replaces what it told apart."""
    if not isinstance(operation, AlterQuestDBTableOp):
        return False
    keys, existing = (
        {key.lower() for key in side.get("dedup_keys") or ()}
        for side in (operation.wanted, operation.existing)
    )
    return bool(keys) and not existing <= keys


def _statements(part: str, stands: Standing) -> Iterable[Statement]:
    for sql in split(part):
        found = effect(sql)
        if found.kind in _NOT_SHOWN or found.tables == ("alembic_version",):
            continue
        stands.before(found)
        yield _statement(sql, _as_stands(found, stands), stands)
        stands.after(found)


def _as_stands(found: Effect, stands: Standing) -> Effect:
    """Leave out what a statement need not do to what stands: read rows, or write them anew."""
    if found.cascades:
        return replace(found, tables=stands.referring(found.tables))
    if not found.alters:
        return found
    unread = bool(found.fills) and not any(stands.reads_to_fill(*each) for each in found.fills)
    unwritten = bool(found.retypes) and all(
        (old := stands.types.get((table, column))) is not None and new and keeps_rows(old, new)
        for table, column, new in found.retypes
    )
    if found.alters != len(found.fills) * unread + len(found.retypes) * unwritten:
        return found
    gone = {Hazard.REWRITES_TABLE}
    columns = [(table, column) for table, column, _ in found.retypes]
    keys = _touched(stands, ((table, "COLUMN", column) for table, column in columns))
    if not keys and not any(stands.checked(*each) for each in columns):
        gone |= {Hazard.BLOCKS_READS}
        found = replace(found, lock=CATALOGUE)
    return replace(found, hazards=tuple(each for each in found.hazards if each not in gone))


def _statement(sql: str, found: Effect, stands: Standing) -> Statement:
    """Leave out locks on what the script itself makes, and what is no hazard there."""
    of_indexes = (stands.indexes[name] for name in found.indexes if name in stands.indexes)
    named = dict.fromkeys((*found.tables, *of_indexes))
    tables = [table for table in named if table not in stands.new]
    lasts = tables and found.lock and not found.lock.instant
    others = [table for table in found.references if table not in stands.new]
    locks = dict.fromkeys(others, REFERENCE if lasts else TRIGGER)
    remade = _touched(stands, ((table, "COLUMN", column) for table, column, _ in found.retypes))
    touched = (*remade, *_touched(stands, found.drops))
    ends = (table for key in touched for table in (key.table, key.other))
    locks |= dict.fromkeys(ends, SCAN if lasts else CATALOGUE)
    locks |= {table: found.lock for table in tables if found.lock}
    read = (*tables, *(key.table for key in remade))  # a key made anew is looked for in each row
    largest = max((stands.rows.get(table, 0) for table in read), default=0)
    stood = bool(tables) or not named
    kept = all(new and _kept(stands, table, column, new) for table, column, new in found.retypes)
    hazards = [
        str(hazard)
        for hazard in found.hazards
        if (largest > SMALL_ROWS if hazard in _OF_LARGE else stood or hazard == Hazard.UNKNOWN)
        and not (hazard == Hazard.CHANGES_ROWS and PAGE in sql)  # in batches
        and not (hazard == Hazard.CHANGES_VALUES and kept)
        and not (hazard == Hazard.FAILS_ON_ROWS and not largest)
    ]
    hazards += [str(Hazard.CALLS_FUNCTION)] * bool(stands.functions & set(found.calls))
    held = (TableLock(name, str(lock), stands.rows.get(name, 0)) for name, lock in locks.items())
    return Statement(sql, found.kind, tuple(held), tuple(hazards))


def _touched(stands: Standing, parts: Iterable[tuple[str, str, str]]) -> list[ForeignKey]:
    """Return the standing foreign keys that one of the parts belongs to."""
    named = set(parts)
    return [
        key for key in stands.keys if key.parts & named and not {key.table, key.other} & stands.new
    ]


def _kept(stands: Standing, table: str, column: str, new: str) -> bool:
    """Tell whether the column's new type keeps its values."""
    old = stands.types.get((table, column))
    return old is not None and keeps_values(old, new)


def _reversible(script: Script) -> bool:
    """Tell whether the downgrade does something: neither empty nor only raising."""
    tree = ast.parse(Path(script.path).read_text(encoding="utf-8"))
    bodies = {n.name: n.body for n in tree.body if isinstance(n, ast.FunctionDef)}
    empty = (ast.Pass, ast.Raise)
    up, down = ([s for s in bodies.get(n, ()) if not _is_text(s)] for n in ("upgrade", "downgrade"))
    does = any(not isinstance(statement, ast.Pass) for statement in up)
    return not does or (bool(down) and not all(isinstance(statement, empty) for statement in down))


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
