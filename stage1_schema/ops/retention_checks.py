"""What `retention apply` would refuse, found when the plan is made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from questdb_ddl import Hazard, VerificationFailed, plan_rebuild
from questdb_ddl.export import refuse_rounding
from questdb_ddl.names import literal
from questdb_ddl.rebuild_plan import endangered_writers, resuming_refusals
from questdb_ddl.rebuild_state import state, under_way
from stage1_schema.ops import owned

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from questdb_ddl import Client, LiveTable
    from questdb_ddl.trim import UnfinishedTrim
    from stage1_schema.ops.retention import Going


def of_runs(runs: tuple[str, ...]) -> str:
    """Return the SQL condition on rows of `runs`, empty for all rows."""
    return f"run_id in ({', '.join(map(literal, runs))})" if runs else ""


def makes_parquet(questdb: Client) -> bool:
    """Tell whether the server exports Parquet."""
    return b"".join(questdb.stream("select 1 one", "parquet")).startswith(b"PAR1")


class Checks:
    """The conditions of one run of retention: what was allowed, and how it archives."""

    def __init__(
        self,
        questdb: Client,
        *,
        allow: Collection[str],
        parquet: bool,
        writers_stopped: bool,
        give_up_detached: tuple[str, ...],
    ) -> None:
        """Keep what `retention.plan` was given."""
        self.questdb = questdb
        self.allow = allow
        self.parquet = parquet
        self.writers_stopped = writers_stopped
        self.given_up = give_up_detached

    def split(
        self, wanted: Iterable[Going], live: Mapping[str, LiveTable]
    ) -> tuple[list[Going], list[str]]:
        """Return what can be done of `wanted`, with the views it invalidates, and refusals."""
        going: list[Going] = []
        refusals: list[str] = []
        wanted = tuple(wanted)
        if wanted and self.parquet and not makes_parquet(self.questdb):
            version = self.questdb.server_version()
            return [], [f"QuestDB {version} exports no Parquet; add --csv"]
        for each in wanted:
            table = live[each.table.lower()]
            if reasons := list(self._refusals(each, table)):
                refusals.append(f"{each.table}: {'; '.join(reasons)}")
            else:
                going.append(each if each.runs else replace(each, views=table.views or ()))
        return going, refusals

    def of_unfinished(self, trims: Iterable[UnfinishedTrim]) -> Iterator[str]:
        """Yield why an interrupted trim cannot be finished."""
        for trim in trims:
            names, stands = state(self.questdb, trim.table)
            declared = owned.SHARED.find(trim.table)
            if declared is None or not under_way(names, stands):
                continue
            found = resuming_refusals(
                self.questdb,
                declared.table,
                names,
                stands,
                writers_stopped=self.writers_stopped,
                give_up_detached=self.given_up,
            )
            yield from (f"{trim.table}: {reason}" for reason in found)

    def _refusals(self, going: Going, table: LiveTable) -> Iterator[str]:
        if going.runs:
            yield from self._of_trim(going)
        elif table.views and Hazard.INVALIDATES_VIEWS not in self.allow:
            yield (
                f"to {going.how} {Hazard.INVALIDATES_VIEWS} ({', '.join(table.views)}); allow "
                f"that by name (--allow '{Hazard.INVALIDATES_VIEWS}')"
            )
        if not going.runs and not going.partitions and not self.writers_stopped:
            yield from endangered_writers(self.questdb)
        if not self.parquet:
            where = going.where(table)
            try:
                refuse_rounding(self.questdb, table.name, table.columns, where)
            except VerificationFailed as error:
                yield str(error).rstrip(".")

    def _of_trim(self, going: Going) -> Iterator[str]:
        declared = owned.SHARED.find(going.table)
        if declared is not None:
            yield from plan_rebuild(
                self.questdb,
                declared.table,
                writers_stopped=self.writers_stopped,
                give_up_detached=self.given_up,
            ).refusals
