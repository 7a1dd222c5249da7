"""Datasets and runs that statements refer to and that were never recorded.

By default a placeholder stands in for one that neither the database nor the file knows. What
refers to a parent that is itself in quarantine is held back with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from stage1_schema.ops.spool.contract import (
    BUCKETS,
    FOLDS,
    RUNS,
    SIMULATIONS,
    TRADES,
    UPSERT_DATASET,
)
from stage1_schema.ops.spool.faults import Fault, fault
from stage1_schema.ops.spool.upsert import LIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from stage1_schema.ops.spool.contract import Table

    Hold = Callable[[Table, str, Sequence[object], Fault], None]

DATASET_TARGETS = ["datasets", "indicator_datasets", UPSERT_DATASET]

# A measurement such as btc25_4h_wf1700000000 names its dataset's slug (contract, part 5).
_ENSURE_DATASET = """
SELECT ensure_dataset_placeholder(%(id)s::uuid, CASE WHEN slug <> '' THEN slug END, NULL)
  FROM (SELECT left(stage1_slug(substring(%(name)s FROM '^(.+)_(?:wf|run)[0-9]+$')), 100)
               AS slug) named
"""
_ENSURE_RUN = "SELECT ensure_run_placeholder(%(id)s::uuid, %(dataset)s::uuid, %(name)s)"
# The id of a placeholder that was merged means the dataset it was merged into.
_UNKNOWN = "stage1_current_dataset(s.dataset_id) = s.dataset_id"
_DATASETS_OF_RUNS = f"""
SELECT s.dataset_id,
       min(coalesce(s.prediction_measurement, s.walk_config ->> 'prediction_measurement'))
  FROM spool_walkforward_runs s
  LEFT JOIN datasets d ON d.dataset_id = s.dataset_id
  LEFT JOIN walkforward_runs r ON r.run_id = s.run_id AND NOT r.is_placeholder
 WHERE {LIVE} AND s.turn = 1 AND s.run_id = ANY(%s) AND s.dataset_id IS NOT NULL
   AND d.dataset_id IS NULL AND r.run_id IS NULL AND {_UNKNOWN}
 GROUP BY 1 ORDER BY min(s.position)
"""
_RUNS_OF_FOLDS = f"""
SELECT s.run_id, coalesce(min(m.dataset_id::text)::uuid, s.run_id), min(m.input_run_measurement)
  FROM spool_walkforward_folds s
  LEFT JOIN walkforward_runs r ON r.run_id = s.run_id
  LEFT JOIN spool_walkforward_runs f ON f.run_id = s.run_id AND f.state IN ('o', 'm')
  LEFT JOIN spool_simulation_runs m ON m.run_id = s.run_id
 WHERE {LIVE} AND s.run_id = ANY(%s) AND r.run_id IS NULL AND f.run_id IS NULL
 GROUP BY s.run_id ORDER BY min(s.position)
"""
_DATASETS_OF_SIMULATIONS = f"""
SELECT s.dataset_id, min(s.input_run_measurement)
  FROM spool_simulation_runs s
  LEFT JOIN datasets d ON d.dataset_id = s.dataset_id
 WHERE {LIVE} AND s.simulation_id = ANY(%s) AND s.dataset_id IS NOT NULL AND d.dataset_id IS NULL
   AND {_UNKNOWN}
 GROUP BY 1 ORDER BY min(s.position)
"""
_RUNS_OF_SIMULATIONS = f"""
SELECT s.run_id, coalesce(min(s.dataset_id::text)::uuid, s.run_id), min(s.input_run_measurement)
  FROM spool_simulation_runs s
  LEFT JOIN walkforward_runs r ON r.run_id = s.run_id
 WHERE {LIVE} AND s.simulation_id = ANY(%s) AND s.run_id IS NOT NULL AND r.run_id IS NULL
 GROUP BY s.run_id ORDER BY min(s.position)
"""
_NO_SIMULATION = """
s.simulation_id = ANY(%s)
AND NOT EXISTS (SELECT FROM simulation_runs r WHERE r.simulation_id = s.simulation_id)
AND NOT EXISTS (SELECT FROM spool_simulation_runs f
                 WHERE f.simulation_id = s.simulation_id AND f.state IN ('o', 'm'))
"""
# Two indexes serve it, whatever is in quarantine: one of keys, one of lists of keys.
_HELD = """
SELECT line FROM spool_quarantine
 WHERE state = 'open' AND target = ANY(%(targets)s) AND row_key = %(key)s
 UNION ALL
SELECT line FROM spool_quarantine
 WHERE state = 'open' AND target = ANY(%(targets)s)
   AND row_key LIKE '%%,%%' AND %(key)s = ANY(string_to_array(row_key, ','))
 LIMIT 1
"""


class Parents:
    """Finds what is missing, and stands in for it or holds back what refers to it."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        hold: Hold,
        *,
        placeholders: bool,
    ) -> None:
        self._connection = connection
        self._hold = hold
        self._placeholders = placeholders
        self.made: list[str] = []  # the table of each placeholder, until someone counts them

    def of_runs(self, units: list[UUID]) -> None:
        """See to the datasets of runs, and to the runs of folds."""
        for dataset_id, name in self._missing(_DATASETS_OF_RUNS, units):
            if reason := self._dataset(dataset_id, name):
                found = (
                    "run_id IN (SELECT run_id FROM spool_walkforward_runs WHERE dataset_id = %s)"
                )
                self._hold(FOLDS, f"s.{found}", (dataset_id,), reason)
                self._hold(RUNS, "s.dataset_id = %s", (dataset_id,), reason)
        for run_id, dataset_id, name in self._missing(_RUNS_OF_FOLDS, units):
            if reason := self._run(run_id, dataset_id, name):
                self._hold(FOLDS, "s.run_id = %s", (run_id,), reason)

    def of_simulations(self, units: list[UUID]) -> None:
        """See to the runs and datasets of simulations, and to the simulations of trades."""
        for dataset_id, name in self._missing(_DATASETS_OF_SIMULATIONS, units):
            if reason := self._dataset(dataset_id, name):
                self._hold_simulations("dataset_id", dataset_id, reason)
        for run_id, dataset_id, name in self._missing(_RUNS_OF_SIMULATIONS, units):
            if reason := self._run(run_id, dataset_id, name):
                self._hold_simulations("run_id", run_id, reason)
        reason = Fault("parent", "its simulation is neither in the database nor in the file")
        for table in (BUCKETS, TRADES):
            self._hold(table, _NO_SIMULATION, (units,), reason)

    def _missing(self, query: str, units: list[UUID]) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, (units,)).fetchall()

    def _held(self, what: str, parent: UUID, targets: list[str]) -> Fault | None:
        """Return why nothing may stand in for a parent, None where a placeholder may."""
        found = self._connection.execute(_HELD, {"targets": targets, "key": str(parent)}).fetchone()
        if found:
            return Fault("parent", f"its {what} {parent} is in quarantine (line {found[0]})")
        if self._placeholders:
            return None
        return Fault("parent", f"its {what} {parent} is neither in the database nor in the file")

    def _hold_simulations(self, column: str, parent: UUID, reason: Fault) -> None:
        those = f"(SELECT simulation_id FROM spool_simulation_runs WHERE {column} = %s)"
        for table in (BUCKETS, TRADES):
            self._hold(table, f"s.simulation_id IN {those}", (parent,), reason)
        self._hold(SIMULATIONS, f"s.{column} = %s", (parent,), reason)

    def _dataset(self, dataset_id: UUID, name: str | None) -> Fault | None:
        """Let a placeholder stand in for a dataset, or return why none may."""
        return self._held("dataset", dataset_id, DATASET_TARGETS) or self._stand_in(
            "datasets", _ENSURE_DATASET, dataset_id, {"id": dataset_id}, name
        )

    def _run(self, run_id: UUID, dataset_id: UUID, name: str | None) -> Fault | None:
        """Let a placeholder stand in for a run and its dataset, or return why none may."""
        if reason := self._held("run", run_id, [RUNS.name]):
            return reason
        found = self._connection.execute(
            "SELECT FROM datasets WHERE dataset_id = (SELECT stage1_current_dataset(%s))",
            (dataset_id,),
        ).fetchone()
        if found is None and (reason := self._dataset(dataset_id, name)):
            return reason
        ids = {"id": run_id, "dataset": dataset_id}
        return self._stand_in("walkforward_runs", _ENSURE_RUN, run_id, ids, name)

    def _stand_in(
        self, table: str, sql: str, parent: UUID, ids: dict[str, UUID], name: str | None
    ) -> Fault | None:
        for guess in dict.fromkeys((name, None)):  # a name that no index takes is left out
            try:
                with self._connection.transaction():
                    self._connection.execute(sql, ids | {"name": guess})
            except psycopg.Error as error:
                found = fault(error)
            else:
                self.made.append(table)
                return None
        return Fault("parent", f"nothing can stand in for {table} {parent}: {found.reason}")
