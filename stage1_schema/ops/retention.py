"""Retention: what the policy lets go; `retention_apply` archives it and takes it away.

The policy stands with the tables (`questdb_ddl.tables.RETENTION`). Bars go by their own time, in
whole months: a partition goes when its last row is of a month before the one that the limit falls
into. Predictions, traces and equity carry the bar's time, so they go by the created_at of their
run in PostgreSQL, traces and equity by that of its latest simulation where that is younger; rows of
runs that PostgreSQL does not know stay and are reported.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import text

from questdb_ddl import PartitionBy, live_tables, suspects, unseen
from questdb_ddl.names import literal, quote
from questdb_ddl.plan import ahead_of
from questdb_ddl.tables import RETENTION, TRADING_SIM_TRACES, WALKFORWARD_PREDICTIONS
from questdb_ddl.trim import UnfinishedTrim, unfinished_trims
from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import ConfirmationError
from stage1_schema.ops import owned, series
from stage1_schema.ops.retention_checks import Checks, of_runs
from stage1_schema.questdb import plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import Connection, Row

    from questdb_ddl import Client, LiveTable
    from questdb_ddl.tables import Retention
    from stage1_schema.settings import Settings

RUN_TABLES = frozenset(name for name, rule in RETENTION.items() if rule.counted_from == "run")
_PER_RUN = {
    owned.Role.PREDICTIONS: RETENTION[WALKFORWARD_PREDICTIONS.name],
    owned.Role.SIMULATION: RETENTION[TRADING_SIM_TRACES.name],
}
# What a simulation of today made of an old run is of today.
_RUNS = text("""
SELECT r.run_id::text AS run_id, r.created_at,
       greatest(r.created_at, max(s.created_at)) AS simulated_at
  FROM walkforward_runs r LEFT JOIN simulation_runs s USING (run_id) GROUP BY r.run_id
""")
_TABLES = text("""
SELECT coalesce(nullif(prediction_measurement, ''), walk_config ->> 'prediction_measurement')
       AS name, created_at FROM walkforward_runs
UNION ALL
SELECT s.questdb_namespace, greatest(r.created_at, s.created_at)
  FROM simulation_runs s JOIN walkforward_runs r USING (run_id)
""")


PER_PASS = 250
"""So many partitions or runs of a table go at once; the oldest do."""
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Going:
    """What goes of one table: `partitions` by name, `runs` by id, or all of it (neither).

    `until` is the time of the last row of the partitions, as QuestDB writes it; `views` are the
    materialized views that are invalid afterwards.
    """

    table: str
    rows: int
    why: str
    partitions: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    until: str = ""
    views: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """What would be done, in a few words."""
        if self.partitions:
            return f"drop {len(self.partitions)} partitions"
        return f"leave out {len(self.runs)} runs" if self.runs else "drop the table"

    def where(self, table: LiveTable) -> str:
        """Return the SQL condition on the rows that go, empty for all of `table`."""
        if self.partitions:
            return f"{quote(table.designated_timestamp or '')} <= {literal(self.until)}"
        return of_runs(self.runs)


@dataclass(frozen=True)
class RetentionPlan:
    """What goes, what is refused and why, and rows of runs that PostgreSQL does not know.

    `foreign` are tables that a run names and that do not hold what a run's table does: they stay.
    `unfinished` are trims that were interrupted: they are finished first, and until then nothing
    else goes of their tables. Detached partitions of the tables in `give_up_detached` may be lost.
    """

    database: str
    going: tuple[Going, ...]
    refusals: tuple[str, ...]
    unknown: tuple[str, ...]
    unfinished: tuple[UnfinishedTrim, ...] = ()
    give_up_detached: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take away."""
        return not self.going and not self.unfinished

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return asdict(self)


def plan(
    settings: Settings,
    now: datetime | None = None,
    *,
    give_up_detached: tuple[str, ...] = (),
    allow: Collection[str] = (),
    parquet: bool = True,
    writers_stopped: bool = False,
) -> RetentionPlan:
    """Return what the policy lets go; changes nothing. Raises Stage1Error.

    What `apply` would refuse with the same options is among the refusals. `allow` takes
    `invalidates materialized views`.
    """
    now = now or datetime.now(UTC)
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        runs = connection.execute(_RUNS).all()
        per_run = _per_run_tables(connection, now)
    with plain_questdb_errors(), series.long_client(settings) as questdb:
        unfinished = tuple(t for t in unfinished_trims(questdb) if t.table in RUN_TABLES)
        busy = {trim.table for trim in unfinished}
        names = [name for name in RETENTION if name not in busy]
        live = live_tables(
            questdb, [*names, *(each.table.name for each, _ in per_run)], counts=True
        )
        look = _Look(questdb, now, give_up_detached)
        for table in (live[name] for name in names if name in live):
            look.at_shared(table, runs)
        for owner, why in per_run:
            if owner.table.name.lower() in live:
                look.at_own(live[owner.table.name.lower()], owner, why)
        checks = Checks(
            questdb,
            allow=allow,
            parquet=parquet,
            writers_stopped=writers_stopped,
            give_up_detached=give_up_detached,
        )
        going, refused = checks.split(look.going, live)
        refusals = (*look.refusals, *refused, *checks.of_unfinished(unfinished))
    return RetentionPlan(
        settings.postgres.database,
        tuple(going),
        refusals,
        tuple(look.unknown),
        unfinished,
        give_up_detached,
        tuple(look.foreign),
    )


class _Look:
    """What was found so far: what is past its time, what is refused, and what stays."""

    def __init__(self, questdb: Client, now: datetime, given_up: tuple[str, ...]) -> None:
        self.questdb = questdb
        self.now = now
        self.given_up = given_up
        self.going: list[Going] = []
        self.refusals: list[str] = []
        self.unknown: list[str] = []
        self.foreign: list[str] = []

    def at_shared(self, table: LiveTable, runs: Sequence[Row[Any]]) -> None:
        rule = RETENTION[table.name.lower()]
        if refusal := _unseen(table, self.given_up):
            self.refusals.append(refusal)
        elif not table.row_count:
            return
        elif rule.counted_from == "run":
            own = table.name.lower() == WALKFORWARD_PREDICTIONS.name
            ages = {row.run_id: row.created_at if own else row.simulated_at for row in runs}
            going, unknown = _old_runs(self.questdb, table, rule, self.now, ages)
            self.going += going
            self.unknown += unknown
        elif refusal := _ahead(self.questdb, table, self.now) or _wrong_unit(self.questdb, table):
            self.refusals.append(refusal)
        else:
            self.going += _old_months(self.questdb, table, rule, self.now)

    def at_own(self, table: LiveTable, owner: owned.Owned, why: str) -> None:
        if foreign := owner.foreign(table):
            self.foreign.append(f"{table.name}: {foreign}")
        elif refusal := _unseen(table, self.given_up):
            self.refusals.append(refusal)
        elif table.row_count:
            self.going.append(Going(table.name, table.row_count, why))


def _unseen(table: LiveTable, given_up: Collection[str]) -> str | None:
    """Return why `table` holds rows that no query sees, None where it does not."""
    if table.unread:
        return f"{table.name} cannot be read: {table.unread}"
    if table.suspended:
        return f"{table.name} is suspended; {table.remedy}"
    return unseen(table, given_up)


def _per_run_tables(connection: Connection, now: datetime) -> list[tuple[owned.Owned, str]]:
    """Return the tables of single runs and simulations past their time, with the reason.

    A name that a younger run uses too stays.
    """
    created: dict[str, datetime] = {}
    for row in connection.execute(_TABLES):
        if row.name:
            name = row.name.lower()
            created[name] = max(row.created_at, created.get(name, row.created_at))
    old = []
    for found in owned.read(connection).owned:
        rules, name = [_PER_RUN.get(c.role) for c in found.claims], found.table.name.lower()
        days = max((rule.days for rule in rules if rule), default=0)
        if not all(rules) or not days or name not in created:
            continue  # it holds a dataset's bars too, or nobody claims it
        if created[name] < now - timedelta(days=days):
            why = f"its run was created {created[name]:%Y-%m-%d}, over {days} days ago"
            old.append((found, why))
    return old


def _ahead(questdb: Client, table: LiveTable, now: datetime) -> str | None:
    if not ahead_of(table, now):
        return None
    day = (table.max_timestamp or "").partition("T")[0]
    if suspects(questdb, table).too_late:
        mended = f"stage1 questdb rebuild {table.name} --fix-timestamps moves it"
    else:
        mended = (
            f"if its month holds nothing else, ALTER TABLE {quote(table.name)} DROP PARTITION LIST "
            f"{literal(partitions(questdb, table)[-1].name)}"
        )
    return (
        f"{table.name} holds a row of {day}, ahead of the clock: by such a row the rest counts as "
        f"old. See stage1 questdb doctor; {mended}"
    )


def _wrong_unit(questdb: Client, table: LiveTable) -> str | None:
    found = suspects(questdb, table)
    if not found.movable:
        return None
    return (
        f"{table.name} holds {found}: those are no old bars. See stage1 questdb rebuild "
        f"{table.name} --fix-timestamps"
    )


@dataclass(frozen=True)
class Partition:
    """A partition as DROP PARTITION names it; `last` is the time of its newest row."""

    name: str
    rows: int
    last: str


_NAME = {
    PartitionBy.YEAR: 4,
    PartitionBy.MONTH: 7,
    PartitionBy.WEEK: 8,
    PartitionBy.DAY: 10,
    PartitionBy.HOUR: 13,
}
"""Characters of a partition's name; QuestDB splits one that late rows go into, and adds to it."""


def partitions(questdb: Client, table: LiveTable) -> list[Partition]:
    """Return the partitions of `table` that queries see, the oldest first."""
    rows = questdb.query(
        f"select name, maxTimestamp, numRows from table_partitions({literal(table.name)})"
        " where not detached"
    )
    length = _NAME.get(table.partition_by)
    parts = sorted((str(r["name"])[:length], str(r["maxTimestamp"]), r["numRows"]) for r in rows)
    return [
        Partition(name, sum(part[2] for part in group), group[-1][1])
        for name, group in ((key, list(g)) for key, g in groupby(parts, key=lambda p: p[0]))
    ]


def _old_months(
    questdb: Client, table: LiveTable, rule: Retention, now: datetime
) -> Iterator[Going]:
    boundary = f"{now - timedelta(days=rule.days):%Y-%m}"  # this month stays whole
    old = [p for p in partitions(questdb, table) if p.last[:7] < boundary]
    old, rest = _pass(old)
    if old:
        yield Going(
            table.name,
            sum(partition.rows for partition in old),
            f"rows of months before {boundary} ({rule.days} days){rest}",
            partitions=tuple(partition.name for partition in old),
            until=old[-1].last,
        )


def _pass(oldest_first: list[_Item]) -> tuple[list[_Item], str]:
    """Return what one pass takes, and a remark on the rest: a query holds some 23 kB."""
    rest = len(oldest_first) - PER_PASS
    return oldest_first[:PER_PASS], f"; {rest:,} more by the next pass" if rest > 0 else ""


def _old_runs(
    questdb: Client, table: LiveTable, rule: Retention, now: datetime, runs: dict[str, datetime]
) -> tuple[list[Going], list[str]]:
    if table.column("run_id") is None:
        return [], []
    limit = now - timedelta(days=rule.days)
    counted = questdb.query(f"select run_id, count() n from {quote(table.name)}")
    rows = {str(row["run_id"]): row["n"] for row in counted}
    lost = sum(count for run, count in rows.items() if run not in runs)
    unknown = [f"{table.name}: {lost:,} rows of runs that PostgreSQL does not know"] if lost else []
    known = (run for run in rows if run in runs and runs[run] < limit)
    old, rest = _pass(sorted(known, key=lambda run: (runs[run], run)))
    if not old:
        return [], unknown
    why = f"their runs were created before {limit:%Y-%m-%d} ({rule.days} days){rest}"
    return [Going(table.name, sum(rows[r] for r in old), why, runs=tuple(old))], unknown


def confirm(intent: RetentionPlan, given: str | None) -> None:
    """Raise ConfirmationError, with what would go, unless the database was named."""
    if given != intent.database:
        told = [f"{t.table} (to finish {len(t.values)} runs)" for t in intent.unfinished]
        told += [f"{g.table} ({g.rows:,} rows)" for g in intent.going]
        listed = ", ".join(told) or "nothing"
        raise ConfirmationError(
            f"Retention would archive and then take away: {listed}. It was not confirmed.",
            next_step=f"stage1 retention apply --confirm {intent.database}.",
        )
