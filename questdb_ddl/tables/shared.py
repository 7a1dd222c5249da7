"""The four tables that all datasets share. Their lines are in part 5 of the clients' contract.

All are extensible: in the field an exporter created them, with columns of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from questdb_ddl.spec import Column, Table
from questdb_ddl.types import Double, Long, Symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

INDICATOR_BARS = Table(
    "indicator_bars",
    columns=(
        Column("dataset", Symbol(capacity=1024)),
        Column("source", Symbol(capacity=64)),
        Column("granularity", Symbol(capacity=64)),
        Column("date_i", Long()),
        Column("time_i", Long()),
        Column("timestamp_unix", Long()),
        Column("open", Double()),
        Column("high", Double()),
        Column("low", Double()),
        Column("close", Double()),
    ),
    dedup_keys=("timestamp", "dataset", "source", "granularity"),
    extensible=True,
)
"""One row per bar; the exporter adds a column per indicator."""

WALKFORWARD_PREDICTIONS = Table(
    "walkforward_predictions",
    columns=(
        Column("run_id", Symbol(capacity=4096)),
        Column("fold", Symbol(capacity=2048)),
        Column("dataset", Symbol(capacity=1024)),
        Column("target", Symbol(capacity=256)),
        Column("bar_index", Long()),
        Column("prediction", Double()),
        Column("target_value", Double()),
        Column("long_threshold", Double()),
        Column("short_threshold", Double()),
        Column("score", Double()),
    ),
    dedup_keys=("timestamp", "run_id", "fold", "dataset", "target"),
    extensible=True,
)
"""One row per bar, run, fold and target; `timestamp` is the bar's time, not the run's."""

TRADING_SIM_TRACES = Table(
    "trading_sim_traces",
    columns=(
        Column("simulation_id", Symbol(capacity=4096)),
        Column("run_id", Symbol(capacity=4096)),
        Column("mode", Symbol(capacity=16)),
        Column("entry_price", Double()),
        Column("exit_price", Double()),
        Column("position_size", Double()),
        Column("pnl", Double()),
        Column("return_pct", Double()),
        Column("cumul_return_pct", Double()),
        Column("entry_signal", Double()),
        Column("exit_signal", Double()),
        Column("exit_timestamp_unix", Long()),
    ),
    dedup_keys=("timestamp", "simulation_id", "run_id", "mode", "exit_timestamp_unix"),
    extensible=True,
)
"""One row per trade; `timestamp` is the entry.

The exit is a key because a dual simulation can enter a long and a short trade on one bar and
the line has no side. Two such trades that also leave on one bar are still one row: no field of the
line tells the sides apart for good. `pnl` would, but then a re-export with other costs would double
every trade instead of replacing it. The table of the simulation, and PostgreSQL, know the side.
"""

TRADING_SIM_EQUITY = Table(
    "trading_sim_equity",
    columns=(
        Column("simulation_id", Symbol(capacity=4096)),
        Column("run_id", Symbol(capacity=4096)),
        Column("mode", Symbol(capacity=16)),
        Column("equity", Double()),
        Column("drawdown", Double()),
        Column("drawdown_pct", Double()),
        Column("cumul_return_pct", Double()),
        Column("position_size", Double()),
    ),
    dedup_keys=("timestamp", "simulation_id", "run_id", "mode"),
    extensible=True,
)
"""One row per bar of a simulation. No client's line is known yet, hence extensible."""

SHARED_TABLES: tuple[Table, ...] = (
    INDICATOR_BARS,
    WALKFORWARD_PREDICTIONS,
    TRADING_SIM_TRACES,
    TRADING_SIM_EQUITY,
)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long rows are kept: `days`, counted from the row's own time or from its run's creation.

    Predictions and traces carry the bar's time: counted from that, a run of today over old bars
    would go at once.
    """

    days: int
    counted_from: Literal["row", "run"]


RETENTION: Mapping[str, Retention] = MappingProxyType(
    {
        INDICATOR_BARS.name: Retention(730, "row"),
        WALKFORWARD_PREDICTIONS.name: Retention(180, "run"),
        TRADING_SIM_TRACES.name: Retention(365, "run"),
        TRADING_SIM_EQUITY.name: Retention(180, "run"),
    }
)
"""The retention policy of the contract, by table name. Nothing of it is a TTL of the tables."""
