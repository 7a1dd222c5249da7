"""Which shape of the Stage1 tables stands in a database, told by their columns.

The shapes are those of the contract, part 4; this module knows no server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# What tells a table of ours from another of its name; all but jobs' are the key of its rows.
KEYS = {
    "datasets": ("dataset_id",),
    "stage1_datasets": ("dataset_id",),
    "indicator_datasets": ("dataset_id",),
    "walkforward_runs": ("run_id",),
    "walkforward_folds": ("run_id", "fold_number"),
    "simulation_runs": ("simulation_id",),
    "simulation_trade_buckets": ("simulation_id", "side"),
    "simulation_trades": ("trade_id",),
    "stage1_jobs": ("job_id",),
    "jobs": ("job_id", "job_type", "status"),
    "spool_replays": ("replay_id",),
    "spool_quarantine": ("quarantine_id",),
    "spool_units": ("target", "unit", "sent", "stand"),
}
NOTHING = "nothing of Stage1"


def has_key(table: str, columns: Collection[str]) -> bool:
    """Tell whether `columns` are those of our `table`: another may go by its name."""
    return set(KEYS[table]) <= set(columns)


def recognise(tables: Mapping[str, Collection[str]]) -> str:
    """Return the shape's name; `tables` maps each table that stands to its columns."""
    if not tables:
        return NOTHING
    shapes = list(_shapes(tables)) or ["Stage1 tables without a master table"]
    name = shapes[0] if len(shapes) == 1 else f"a mixture of {' and '.join(shapes)}"
    others = [table for table in ("stage1_datasets", "jobs") if table in tables]
    return f"{name}, with {' and '.join(others)}" if others else name


def _shapes(tables: Mapping[str, Collection[str]]) -> Iterator[str]:
    if "indicator_datasets" in tables:
        columns = tables["indicator_datasets"]
        dashboard = not {"questdb_measurement", "column_schema"}.isdisjoint(columns)
        yield "Stage 1.3, dashboard variant" if dashboard else "Stage 1.3, desktop variant"
    if "datasets" in tables:
        if not has_key("datasets", tables["datasets"]):
            yield "a foreign table named datasets"
        elif "is_placeholder" in tables["datasets"]:
            yield "the current shape without a revision"
        else:
            yield "the reset shape"
