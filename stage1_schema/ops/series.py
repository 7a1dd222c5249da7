"""The QuestDB tables that should stand: planned, applied, rebuilt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from questdb_ddl import (
    Client,
    DeclarationError,
    Hazard,
    Plan,
    QueryError,
    QuestDBDDLError,
    Step,
    Symbol,
    apply,
    live_tables,
    old_tables,
    plan_for,
    quote,
)
from questdb_ddl import drop_old as drop_kept
from questdb_ddl import plan_rebuild as plan_of_rebuild
from questdb_ddl import rebuild as carry_out_rebuild
from questdb_ddl.rebuild_names import rebuilt_table
from questdb_ddl.tables import INDICATOR_BARS, indicators_table, ohlcv_table
from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import ConfirmationError, QuestDBError, Stage1Error
from stage1_schema.locks import alone_with_series
from stage1_schema.ops import migrate, owned
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from questdb_ddl import RebuildPlan, Rebuilt, Table
    from stage1_schema.settings import Settings

REBUILD_TIMEOUT_MS = 6 * 3_600_000
"""A month of a large table is one statement, and its answer comes when it is done."""


@dataclass(frozen=True)
class SeriesPlan:
    """The plan for every declared table, the tables nobody declared, names that are unusable."""

    plan: Plan
    extra: tuple[str, ...]
    unusable: tuple[str, ...]
    collisions: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do and nothing to refuse."""
        return self.plan.empty

    def __str__(self) -> str:
        lines = [str(self.plan)]
        lines += [f"-- extra: {name}: {_why_extra(name)}" for name in self.extra]
        lines += [f"-- unusable: {reason}" for reason in self.unusable]
        lines += [f"-- collision: {told}" for told in self.collisions]
        lines.append(f"-- fingerprint {self.plan.fingerprint}")
        return "\n".join(lines)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return {
            "steps": [
                {
                    "table": s.table,
                    "sql": s.sql,
                    "reason": s.reason,
                    "hazards": list(s.hazards),
                    "views": list(s.views),
                }
                for s in self.plan.steps
            ],
            "refusals": [{"table": r.table, "reason": r.reason} for r in self.plan.refusals],
            "left": [str(difference) for difference in self.plan.left],
            "hazards": list(self.plan.hazards),
            "extra": list(self.extra),
            "unusable": list(self.unusable),
            "collisions": list(self.collisions),
            "fingerprint": self.plan.fingerprint,
        }


def _why_extra(name: str) -> str:
    made = rebuilt_table(name)
    if made is None:
        return "nothing declares it"
    table, trims = made
    if trims:
        return "unfinished retention: stage1 retention apply"
    return f"unfinished rebuild: stage1 questdb rebuild {table}"


def catalogue(settings: Settings, standing: Iterable[str] | None = None) -> owned.Catalogue:
    """Return every declared table; see `owned.read`. Raises PostgresError.

    A database that no revision was applied to yet records none: only the shared ones are declared.
    """
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        if migrate.revision(connection) is None:
            return owned.SHARED
        return owned.read(connection, standing)


def plan(questdb: Client, declarations: owned.Catalogue = owned.SHARED) -> SeriesPlan:
    """Return what brings QuestDB to the declarations; changes nothing."""
    names = {table.name.lower() for table in declarations.tables}
    standing = (str(r["table_name"]) for r in questdb.query("select table_name from tables()"))
    extra = sorted(n for n in standing if n.lower() not in names and not _is_own(n))
    intent = plan_for(questdb, declarations.tables)
    return SeriesPlan(intent, tuple(extra), declarations.unusable, declarations.collisions)


def _is_own(name: str) -> bool:
    from questdb_ddl.names import is_system_table  # noqa: PLC0415 - one place

    return is_system_table(name)


def carry_out(
    questdb: Client,
    intent: SeriesPlan,
    *,
    allow: Collection[str] = (),
    fingerprint: str | None = None,
    skip_refused: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Step, ...]:
    """Apply `intent` and return its steps. `allow` names hazards such as `deletes data`.

    `fingerprint` is that of a plan somebody reviewed. Raises questdb_ddl's PlanRefused when the
    tables changed since, a hazard was not allowed, or the plan has refusals (`skip_refused`
    carries out the rest).
    """
    if fingerprint is not None and fingerprint != intent.plan.fingerprint:
        raise QuestDBError(
            "The tables or their declarations changed since the plan was reviewed.",
            next_step="review it again: stage1 questdb plan.",
        )
    allowed = [hazard for hazard in Hazard if hazard in allow]
    return apply(
        questdb,
        intent.plan,
        lambda step: progress(step.table),
        allow=allowed,
        skip_refused=skip_refused,
    )


def declaration_of(settings: Settings, name: str) -> Table:
    """Return the declaration of the table called `name`.

    PostgreSQL is asked unless the table is a shared one without indicators. A table that only its
    name tells to be a dataset's is declared by that. Raises Stage1Error for any other.
    """
    found = owned.SHARED.find(name)
    if found is None or found.table is INDICATOR_BARS:
        found = catalogue(settings).find(name)
    if found:
        return found.table
    kinds = {"ohlcv": ohlcv_table, "indicators": indicators_table}
    if declare := kinds.get(name.partition("_")[0].lower()):
        return declare(name, name=name)
    raise Stage1Error(
        f"Nothing declares the table {name}.",
        next_step="register its dataset, run or simulation first, then try again.",
    )


def long_client(settings: Settings) -> Client:
    """Return a client that waits for statements that read or copy a whole table."""
    return client(settings.questdb, timeout_ms=REBUILD_TIMEOUT_MS)


def plan_rebuild(
    settings: Settings,
    name: str,
    *,
    fix_timestamps: bool,
    writers_stopped: bool,
    give_up_detached: Collection[str] = (),
) -> RebuildPlan:
    """Return what a rebuild of `name` would do; changes nothing. Raises Stage1Error."""
    table = declaration_of(settings, name)
    with plain_questdb_errors(), long_client(settings) as questdb:
        intent = plan_of_rebuild(
            questdb,
            table,
            fix_timestamps=fix_timestamps,
            writers_stopped=writers_stopped,
            give_up_detached=give_up_detached,
        )
        return replace(intent, refusals=(*intent.refusals, *_merged_series(questdb, table)))


def rebuild(
    settings: Settings,
    name: str,
    *,
    fix_timestamps: bool = False,
    writers_stopped: bool = False,
    give_up_detached: Collection[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Rebuilt:
    """Rebuild the table `name`, or finish what was begun. Raises Stage1Error."""
    table = declaration_of(settings, name)
    with (
        alone_with_series(settings.postgres),
        plain_questdb_errors(),
        long_client(settings) as questdb,
    ):
        for refusal in _merged_series(questdb, table):
            raise QuestDBError(f"{table.name} is not rebuilt: {refusal}.")
        return carry_out_rebuild(
            questdb,
            table,
            progress,
            fix_timestamps=fix_timestamps,
            writers_stopped=writers_stopped,
            give_up_detached=give_up_detached,
        )


def _merged_series(questdb: Client, table: Table) -> Iterator[str]:
    """Yield why the keys of `table` would make one row of rows that a tag tells apart."""
    live = live_tables(questdb, [table.name]).get(table.name.lower())
    if live is None or live.designated_timestamp is None:
        return
    found = [live.column(key) for key in table.dedup_keys if key != table.designated_timestamp]
    keys = [live.designated_timestamp, *(column.name for column in found if column)]
    tags = [c.name for c in live.columns if isinstance(c.type, Symbol) and c.name not in keys]
    if not tags:
        return
    counts = []
    for columns in (keys, [*keys, *tags]):
        listed = ", ".join(map(quote, columns))
        rows = questdb.query(
            f"select count() as rows from (select distinct {listed} from {quote(live.name)})"
        )
        counts.append(int(rows[0]["rows"]))
    if merged := counts[1] - counts[0]:
        yield (
            f"{merged:,} rows have the keys of another row and are told apart by the tag "
            f"{', '.join(tags)}, which is no key: they would be lost. Export each of these series "
            "into a table of its own, or drop that column if it tells nothing"
        )


def drop_old(
    settings: Settings, name: str, old: str, *, give_up_detached: Collection[str] = ()
) -> int:
    """Drop an old table that a rebuild kept, named as confirmation; returns its rows."""
    try:
        with alone_with_series(settings.postgres), long_client(settings) as questdb:
            kept = old_tables(questdb, name)
            if old not in kept:
                listed = ", ".join(kept) or "none"
                raise ConfirmationError(
                    f"{old} is no old table of {name}; there is {listed}.",
                    next_step=f"stage1 questdb rebuild {name} --drop-old <one of these>.",
                )
            return drop_kept(questdb, name, old, give_up_detached=give_up_detached)
    except QuestDBDDLError as error:
        raise QuestDBError(str(error)) from error


@dataclass(frozen=True)
class Diagnosis:
    """What the rows of one table show: times in a wrong unit, keys that repeat.

    `unread` says why its keys were not looked at, empty where they were.
    """

    table: str
    rows: int
    repeated: int
    times: str
    unread: str = ""

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.repeated and not self.times and not self.unread


_UNDER_WAY = "a rebuild of it is under way"


def diagnose(
    settings: Settings, progress: Callable[[str], None] = lambda _: None
) -> tuple[Diagnosis, ...]:
    """Read every declared table that stands, row by row. Raises Stage1Error."""
    declarations = catalogue(settings)
    found = []
    with plain_questdb_errors(), long_client(settings) as questdb:
        standing = live_tables(questdb, [table.name for table in declarations.tables])
        for table in declarations.tables:
            if stands := standing.get(table.name.lower()):
                progress(table.name)
                try:
                    intent = plan_of_rebuild(questdb, table, writers_stopped=True)
                except (QueryError, DeclarationError) as error:
                    found.append(Diagnosis(table.name, 0, 0, "", str(error).rstrip(".")))
                    continue
                repeated = intent.rows - intent.keys
                times = str(intent.suspects)
                unread = "" if intent.target else "; ".join(intent.refusals) or _UNDER_WAY
                if stands.suspended:
                    unread = f"suspended, with rows that nobody sees; {stands.remedy}"
                found.append(Diagnosis(table.name, intent.rows, repeated, times, unread))
    return tuple(found)
