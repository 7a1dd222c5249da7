"""Retention: what the policy lets go, archived and checked before anything is dropped.

The policy stands with the tables (`questdb_ddl.tables.RETENTION`). Bars go by their own time, in
whole months: a partition goes when its month began before the month that the limit falls into.
Predictions, traces and equity carry the bar's time, so they go by the created_at of their run in
PostgreSQL; rows of runs that PostgreSQL does not know stay and are reported.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import text

from questdb_ddl import (
    Client,
    QuestDBDDLError,
    VerificationFailed,
    drop,
    live_tables,
    render,
)
from questdb_ddl.export import export
from questdb_ddl.names import literal, quote
from questdb_ddl.rebuild import trim
from questdb_ddl.tables import RETENTION, TRADING_SIM_TRACES, WALKFORWARD_PREDICTIONS
from stage1_schema.connect import engine, plain_errors
from stage1_schema.errors import ConfirmationError, QuestDBError, Stage1Error, VerificationError
from stage1_schema.ops import owned, series
from stage1_schema.questdb import plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from questdb_ddl import LiveTable
    from questdb_ddl.tables import Retention
    from stage1_schema.settings import Settings

RECORD = "retention.jsonl"
_PER_RUN = {
    owned.Role.PREDICTIONS: RETENTION[WALKFORWARD_PREDICTIONS.name],
    owned.Role.SIMULATION: RETENTION[TRADING_SIM_TRACES.name],
}
_RUNS = text("SELECT run_id::text AS run_id, created_at FROM walkforward_runs")
_TABLES = text("""
SELECT coalesce(nullif(prediction_measurement, ''), walk_config ->> 'prediction_measurement')
       AS name, created_at FROM walkforward_runs
UNION ALL
SELECT s.questdb_namespace, r.created_at
  FROM simulation_runs s JOIN walkforward_runs r USING (run_id)
""")


PER_PASS = 250
"""So many partitions or runs of a table go at once; the oldest do."""
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Going:
    """What goes of one table: `partitions` by name, `runs` by id, or all of it (neither)."""

    table: str
    rows: int
    why: str
    partitions: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def how(self) -> str:
        """What would be done, in a few words."""
        if self.partitions:
            return f"drop {len(self.partitions)} partitions"
        return f"leave out {len(self.runs)} runs" if self.runs else "drop the table"


@dataclass(frozen=True)
class RetentionPlan:
    """What goes, what is refused and why, and rows of runs that PostgreSQL does not know."""

    database: str
    going: tuple[Going, ...]
    refusals: tuple[str, ...]
    unknown: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class Gone:
    """One entry of the record: what went from where, and the archive that holds it."""

    table: str
    rows: int
    why: str
    archive: str
    at: str
    partitions: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


def plan(settings: Settings, now: datetime | None = None) -> RetentionPlan:
    """Return what the policy lets go; changes nothing. Raises Stage1Error."""
    now = now or datetime.now(UTC)
    with plain_errors(settings.postgres), engine(settings.postgres).connect() as connection:
        runs = {row.run_id: row.created_at for row in connection.execute(_RUNS)}
        per_run = _per_run_tables(connection, now)
    going: list[Going] = []
    refusals: list[str] = []
    unknown: list[str] = []
    with plain_questdb_errors(), series.long_client(settings) as questdb:
        live = live_tables(questdb, [*RETENTION, *per_run], counts=True, parquet=True)
        for name, rule in RETENTION.items():
            if (table := live.get(name)) is None or not table.row_count:
                continue
            if table.suspended:
                refusals.append(f'{name} is suspended; ALTER TABLE "{name}" RESUME WAL')
            elif rule.counted_from == "row":
                refusal = _ahead(table, now)
                refusals += [refusal] if refusal else []
                going += [] if refusal else _old_months(questdb, table, rule, now)
            else:
                found, lost = _old_runs(questdb, table, rule, now, runs)
                going += found
                unknown += lost
        for name, why in per_run.items():
            if (table := live.get(name)) and table.row_count:
                going.append(Going(table.name, table.row_count, why))
    return RetentionPlan(settings.postgres.database, tuple(going), tuple(refusals), tuple(unknown))


def _per_run_tables(connection: Connection, now: datetime) -> dict[str, str]:
    """Return the tables of single runs and simulations past their time, with the reason.

    A name that a younger run uses too stays.
    """
    created: dict[str, datetime] = {}
    for row in connection.execute(_TABLES):
        if row.name:
            name = row.name.lower()
            created[name] = max(row.created_at, created.get(name, row.created_at))
    old = {}
    for found in owned.read(connection).owned:
        rule, name = _PER_RUN.get(found.role), found.table.name.lower()
        if rule and name in created and created[name] < now - timedelta(days=rule.days):
            old[name] = f"its run was created {created[name]:%Y-%m-%d}, over {rule.days} days ago"
    return old


def _ahead(table: LiveTable, now: datetime) -> str | None:
    limit = f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%S}"
    last = table.max_timestamp or ""
    if len(last.partition("-")[0]) <= 4 and last <= limit:  # noqa: PLR2004 - a year beyond 9999
        return None
    return (
        f"{table.name} holds a row of {last[:10]}, ahead of the clock: by such a row the rest "
        f"counts as old. See stage1 questdb doctor, then stage1 questdb rebuild {table.name} "
        "--fix-timestamps"
    )


def _old_months(
    questdb: Client, table: LiveTable, rule: Retention, now: datetime
) -> Iterator[Going]:
    limit = now - timedelta(days=rule.days)
    boundary = f"{limit:%Y-%m}"  # this month stays whole
    rows = questdb.query(
        f"select name, minTimestamp, numRows, active from table_partitions({literal(table.name)})"
    )
    old = [r for r in rows if str(r["minTimestamp"])[:7] < boundary and not r["active"]]
    # A weekly partition can begin before the boundary month and reach into it.
    old = [r for r in old if "W" not in str(r["name"])]
    old, rest = _pass(sorted(old, key=lambda r: str(r["minTimestamp"])))
    if old:
        yield Going(
            table.name,
            sum(row["numRows"] for row in old),
            f"rows of months before {boundary} ({rule.days} days){rest}",
            partitions=tuple(str(row["name"]) for row in old),
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
        listed = ", ".join(f"{g.table} ({g.rows:,} rows)" for g in intent.going) or "nothing"
        raise ConfirmationError(
            f"Retention would archive and then take away: {listed}. It was not confirmed.",
            next_step=f"stage1 retention apply --confirm {intent.database}.",
        )


def apply(
    settings: Settings,
    intent: RetentionPlan,
    directory: Path,
    *,
    parquet: bool = True,
    writers_stopped: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Gone, ...]:
    """Archive what goes into `directory`, check the archive, then take it away and record it.

    Each entry is recorded in `retention.jsonl` there. Raises Stage1Error; nothing of a table is
    dropped whose archive does not hold exactly its rows. Run again it plans what is left.
    """
    directory.mkdir(parents=True, exist_ok=True)
    done = []
    try:
        with series.long_client(settings) as questdb:
            for going in intent.going:
                progress(f"{going.table}: archive")
                path = _archive(questdb, going, directory, parquet=parquet)
                progress(f"{going.table}: {going.how}")
                _take_away(questdb, going, writers_stopped=writers_stopped)
                entry = Gone(
                    going.table, going.rows, going.why, path.name,
                    f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", going.partitions, going.runs,
                )  # fmt: skip
                with (directory / RECORD).open("a", encoding="utf-8") as record:
                    record.write(json.dumps(asdict(entry)) + "\n")
                done.append(entry)
    except QuestDBDDLError as error:
        raise QuestDBError(str(error), next_step="stage1 retention plan shows the rest.") from error
    return tuple(done)


def _condition(going: Going, live: LiveTable) -> str:
    if going.runs:
        return f"run_id in ({', '.join(map(literal, going.runs))})"
    if going.partitions:
        stamp = quote(live.designated_timestamp or "")
        return " or ".join(f"{stamp} in {literal(p)}" for p in going.partitions)
    return ""


def _archive(questdb: Client, going: Going, directory: Path, *, parquet: bool) -> Path:
    questdb.wait_for(going.table)
    live = live_tables(questdb, [going.table])[going.table.lower()]
    time = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    path = directory / f"{going.table}_{time}.{'parquet' if parquet else 'csv.gz'}"
    try:
        written = export(questdb, live.name, live.columns, path, where=_condition(going, live))
    except VerificationFailed as error:
        wrong = str(error)
    else:
        if written.rows == going.rows:
            return path
        wrong = f"{going.table} has {written.rows:,} such rows now and not {going.rows:,}."
    raise VerificationError(
        f"{wrong} Nothing of it was dropped.",
        next_step="stop its writers and run the same command again.",
    )


def _take_away(questdb: Client, going: Going, *, writers_stopped: bool) -> None:
    if going.partitions:
        listed = ", ".join(map(literal, going.partitions))
        questdb.execute(f"ALTER TABLE {quote(going.table)} DROP PARTITION LIST {listed}")
        questdb.wait_for(going.table)
    elif going.runs:
        found = owned.SHARED.find(going.table)
        if found is None:
            raise Stage1Error(f"{going.table} is no shared table.")
        done = trim(
            questdb,
            found.table,
            "run_id",
            going.runs,
            writers_stopped=writers_stopped,
        )
        if done.kept_as:
            questdb.execute(render.drop_table(done.kept_as))  # its other rows are in the new table
    else:
        drop(questdb, going.table)
