"""Take away what a retention plan lets go: archived, checked, recorded, and only then dropped.

QuestDB has no transactions over this, so the record is the log: `Record.unfinished` is what an
earlier run was killed in, and that is finished first. Rows of runs and whole tables are set aside
under another name before they are archived, where no writer adds to them any more. Partitions
cannot be: they are archived in place and counted again just before they are dropped.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from questdb_ddl import (
    PlanRefused,
    QuestDBDDLError,
    VerificationFailed,
    live_tables,
    refuse_detached,
    render,
    retired_name,
)
from questdb_ddl.export import changed_since, export, refuse_rounding
from questdb_ddl.kept import old_tables
from questdb_ddl.names import literal, quote
from questdb_ddl.rebuild_plan import endangered_writers
from questdb_ddl.trim import trim, unfinished_trims
from stage1_schema.errors import QuestDBError, Stage1Error, VerificationError
from stage1_schema.locks import alone_with_series
from stage1_schema.ops import owned, series
from stage1_schema.ops.retention import RUN_TABLES, partitions
from stage1_schema.ops.retention_checks import makes_parquet, of_runs
from stage1_schema.ops.retention_record import Entry, Record, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from questdb_ddl import Client, LiveTable
    from questdb_ddl.export import Exported
    from stage1_schema.ops.retention import Going, RetentionPlan
    from stage1_schema.settings import Settings

_AGAIN = "stop its writers and run the same command again."


def apply(
    settings: Settings,
    intent: RetentionPlan,
    directory: Path,
    *,
    parquet: bool = True,
    writers_stopped: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Entry, ...]:
    """Archive what goes into `directory`, check the archive, then take it away; returns what went.

    What an earlier run there, or a trim anywhere, left unfinished is finished first. Every step
    stands in `retention.jsonl`. Raises Stage1Error; nothing is dropped whose archive does not
    hold exactly its rows. Run again it goes on where it stopped.
    """
    try:
        with (
            Record(directory) as record,
            alone_with_series(settings.postgres),
            series.long_client(settings) as questdb,
        ):
            work = _Work(
                questdb,
                record,
                progress,
                parquet=parquet,
                writers_stopped=writers_stopped,
                give_up_detached=intent.give_up_detached,
            )
            work.finish()
            for going in intent.going:
                progress(f"{going.table}: {going.how}")
                work.take(going)
            return tuple(record.gone)
    except VerificationFailed as error:
        raise VerificationError(f"{error} Nothing of it was dropped.", next_step=_AGAIN) from error
    except QuestDBDDLError as error:
        raise QuestDBError(
            str(error), next_step="run the same command again, it goes on where it stopped."
        ) from error


class _Work:
    def __init__(
        self,
        questdb: Client,
        record: Record,
        progress: Callable[[str], None],
        *,
        parquet: bool,
        writers_stopped: bool,
        give_up_detached: tuple[str, ...],
    ) -> None:
        self.questdb = questdb
        self.record = record
        self.progress = progress
        self.parquet = parquet
        self.writers_stopped = writers_stopped
        self.given_up = give_up_detached
        if parquet and not makes_parquet(questdb):
            raise QuestDBError(
                f"QuestDB {questdb.server_version()} exports no Parquet.", next_step="add --csv."
            )

    def finish(self) -> None:
        """Finish what earlier runs left."""
        for entry in self.record.unfinished():
            self.progress(f"{entry.table}: finish what was begun at {entry.at}")
            if entry.partitions:
                self._finish_partitions(entry)
            elif entry.state is State.ARCHIVED:
                self._finish_dropping(entry)
            else:
                self._finish_setting_aside(entry)
        for begun in unfinished_trims(self.questdb):  # of another directory
            if begun.table in RUN_TABLES:
                why = "a trim that was begun before"
                entry = self._begin(begun.table, why, runs=begun.values, aside=begun.kept_as)
                self._trim(entry)

    def take(self, going: Going) -> None:
        """Take away what goes of one table."""
        self.questdb.wait_for(going.table)
        views = live_tables(self.questdb, [going.table], parquet=True)[going.table.lower()].views
        if new := sorted({*(views or ())} - {*going.views}):
            raise PlanRefused(
                f"{going.table} has materialized views that were not planned for "
                f"({', '.join(new)}): they would be invalid."
            )
        if going.partitions:
            self._take_partitions(going)
            return
        if not self.parquet:
            columns = self._live(going.table).columns
            refuse_rounding(self.questdb, going.table, columns, of_runs(going.runs))
        if going.runs:
            self._trim(self._begin(going.table, going.why, runs=going.runs))
            return
        reasons = [] if self.writers_stopped else list(endangered_writers(self.questdb))
        if reasons:
            raise PlanRefused(f"{going.table} is not set aside: {'; '.join(reasons)}.")
        refuse_detached(self.questdb, [going.table], self.given_up)
        aside = retired_name(going.table, datetime.now(UTC))
        entry = self._begin(going.table, going.why, aside=aside)
        self.questdb.execute(render.rename_table(going.table, aside))
        self._archive_aside(entry)

    def _begin(self, table: str, why: str, *, runs: tuple[str, ...] = (), aside: str = "") -> Entry:
        entry = Entry(self.record.new_id(table), State.BEGUN, table, why, runs=runs, aside=aside)
        return self.record.note(entry, State.BEGUN)

    def _live(self, name: str) -> LiveTable:
        return live_tables(self.questdb, [name])[name.lower()]

    def _stands(self, name: str) -> bool:
        return bool(name) and name.lower() in live_tables(self.questdb, [name])

    def _count(self, table: str, runs: tuple[str, ...]) -> int:
        self.questdb.wait_for(table)
        where = f" where {of_runs(runs)}" if runs else ""
        rows = self.questdb.query(f"select count() as rows from {quote(table)}{where}")
        return int(rows[0]["rows"])

    def _archive(
        self, entry: Entry, source: str, where: str, rows: int | None = None
    ) -> tuple[Entry, Exported]:
        """Export and record it; raises VerificationError when there are not `rows`."""
        entry = replace(entry, archive=f"{entry.id}.{'parquet' if self.parquet else 'csv.gz'}")
        path = self.record.working(entry.archive)
        written = export(self.questdb, source, self._live(source).columns, path, where=where)
        if rows is not None and written.rows != rows:
            path.unlink()
            raise VerificationError(
                f"{source} has {written.rows:,} such rows now and not {rows:,}. Nothing of it was "
                "dropped.",
                next_step=_AGAIN,
            )
        return self.record.archived(entry, written.rows), written

    # Partitions

    def _take_partitions(self, going: Going) -> None:
        entry = Entry(
            self.record.new_id(going.table), State.BEGUN, going.table, going.why,
            partitions=going.partitions,
        )  # fmt: skip
        where = going.where(self._live(going.table))
        entry, written = self._archive(entry, going.table, where, going.rows)
        self._unchanged(entry, written, where)
        listed = ", ".join(map(literal, entry.partitions))
        self.questdb.execute(f"ALTER TABLE {quote(entry.table)} DROP PARTITION LIST {listed}")
        self.questdb.wait_for(entry.table)
        self.record.note(entry, State.GONE)

    def _unchanged(self, entry: Entry, written: Exported, where: str) -> None:
        """Raise VerificationError where rows came, or were replaced, after they were archived."""
        if (now := self._standing(entry)) != entry.rows:
            told = f"has {now:,} such rows now and not {entry.rows:,}"
        else:
            columns = self._live(entry.table).columns
            told = "; ".join(
                changed_since(self.questdb, written, entry.table, columns, where=where)
            )
            if not told:
                return
            told = f"was written to: the archive holds other values ({told})"
        self.record.note(entry, State.KEPT, "rows came after they were archived")
        raise VerificationError(
            f"{entry.table} {told}. Nothing of it was dropped.", next_step=_AGAIN
        )

    def _standing(self, entry: Entry) -> int:
        if not self._stands(entry.table):
            return 0
        self.questdb.wait_for(entry.table)
        found = partitions(self.questdb, self._live(entry.table))
        return sum(p.rows for p in found if p.name in entry.partitions)

    def _finish_partitions(self, entry: Entry) -> None:
        # They went in one statement: as long as all of the rows stand, it was not carried out.
        if self._standing(entry) >= entry.rows:
            self.record.note(entry, State.KEPT, "interrupted before they were dropped")
        else:
            self.record.note(entry, State.GONE)

    # Runs and whole tables: set aside, archived, dropped

    def _trim(self, entry: Entry) -> None:
        found = owned.SHARED.find(entry.table)
        if found is None:
            raise Stage1Error(f"{entry.table} is no shared table.")
        done = trim(
            self.questdb,
            found.table,
            "run_id",
            entry.runs,
            writers_stopped=self.writers_stopped,
            give_up_detached=self.given_up,
        )
        self._archive_aside(replace(entry, runs=done.values, aside=done.kept_as or ""))

    def _archive_aside(self, entry: Entry) -> None:
        self.questdb.wait_for(entry.aside)
        self._drop_aside(self._archive(entry, entry.aside, of_runs(entry.runs))[0])

    def _drop_aside(self, entry: Entry) -> None:
        if (now := self._count(entry.aside, entry.runs)) != entry.rows:
            raise VerificationError(
                f"{entry.aside} has {now:,} such rows now and not {entry.rows:,}: something still "
                "writes there. Nothing of it was dropped.",
                next_step=_AGAIN,
            )
        if entry.table.lower() not in map(str.lower, self.given_up):
            refuse_detached(self.questdb, [entry.aside], self.given_up)
        self.questdb.execute(render.drop_table(entry.aside))
        self.record.note(entry, State.GONE)

    def _finish_setting_aside(self, entry: Entry) -> None:
        trims = {begun.table.lower() for begun in unfinished_trims(self.questdb)}
        if entry.runs and entry.table.lower() in trims:
            self._trim(entry)
        elif self._stands(aside := entry.aside or self._trimmed(entry)):
            self._archive_aside(replace(entry, aside=aside))
        else:
            self.record.note(entry, State.KEPT, "interrupted before anything was taken away")

    def _trimmed(self, entry: Entry) -> str:
        """Return the old table that the trim of `entry` left, empty where it did not finish."""
        began = entry.at.replace("-", "").replace(":", "")
        standing = self._count(entry.table, entry.runs)
        for name in old_tables(self.questdb, entry.table):
            # What somebody's rebuild kept has no more of these rows than the table itself.
            if name[-len(began) :] >= began and self._count(name, entry.runs) > standing:
                return name
        return ""

    def _finish_dropping(self, entry: Entry) -> None:
        if not self._stands(entry.aside):
            self.record.note(entry, State.GONE)
        elif self._count(entry.aside, entry.runs) == entry.rows:
            self._drop_aside(entry)
        else:
            self.record.note(entry, State.KEPT, "rows came after they were archived")
            again = self._begin(entry.table, entry.why, runs=entry.runs, aside=entry.aside)
            self._archive_aside(again)
