"""The tables of Stage1's clients, declared.

Deduplication keys follow one rule: the designated timestamp, every tag of the line (in ILP the
tags say which series a row belongs to), and a field only where two rows of one series can share
a timestamp. So a re-export replaces its own rows and nothing else's.
"""

from __future__ import annotations

from questdb_ddl.tables.dataset import (
    dataset_tables,
    indicators_table,
    ohlcv_table,
    predictions_table,
    simulation_table,
)
from questdb_ddl.tables.kinds import (
    unlike_indicators,
    unlike_ohlcv,
    unlike_predictions,
    unlike_simulation,
)
from questdb_ddl.tables.shared import (
    INDICATOR_BARS,
    RETENTION,
    SHARED_TABLES,
    TRADING_SIM_EQUITY,
    TRADING_SIM_TRACES,
    WALKFORWARD_PREDICTIONS,
    Retention,
)

__all__ = [
    "INDICATOR_BARS",
    "RETENTION",
    "SHARED_TABLES",
    "TRADING_SIM_EQUITY",
    "TRADING_SIM_TRACES",
    "WALKFORWARD_PREDICTIONS",
    "Retention",
    "dataset_tables",
    "indicators_table",
    "ohlcv_table",
    "predictions_table",
    "simulation_table",
    "unlike_indicators",
    "unlike_ohlcv",
    "unlike_predictions",
    "unlike_simulation",
]
