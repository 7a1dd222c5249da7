"""Tables of one dataset, of one run and of one simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from questdb_ddl.names import slug
from questdb_ddl.spec import Column, Table
from questdb_ddl.types import Boolean, Double, Long, Symbol

if TYPE_CHECKING:
    from collections.abc import Iterable


def ohlcv_table(dataset: str, *, name: str | None = None) -> Table:
    """Return the bars' table of a dataset: `ohlcv_<slug>`, or `name` where one was recorded.

    `dataset` is a slug or any text a slug can be made of. One row per bar. `Date` and `Time` are
    the exporter's integers. Raises DeclarationError for an empty slug or a bad name.

    >>> ohlcv_table("BTC 4h").name, ohlcv_table("BTC 4h", name="btc_ohlcv").name
    ('ohlcv_btc_4h', 'btc_ohlcv')
    """
    prices = ("open", "high", "low", "close", "volume")
    return Table(
        name or f"ohlcv_{slug(dataset)}",
        columns=(*_date_and_time(), *(Column(price, Double()) for price in prices)),
        dedup_keys=("timestamp",),
    )


def indicators_table(
    dataset: str, *, name: str | None = None, indicators: Iterable[str] = ()
) -> Table:
    """Return the indicators' table of a dataset: `indicators_<slug>`, or the recorded `name`.

    It is extensible: the exporter adds what it sends. `indicators` declares columns ahead as
    DOUBLE, because ILP makes a LONG of a column whose first value looks like an integer, and
    such a column refuses every later fraction. Raises DeclarationError as `ohlcv_table` does.

    The tag `dataset_id` is a key: two datasets can record one name. Where no tag is sent it is
    null, and null equals null among deduplication keys (tried on 8.2.0, 9.0.3 and 9.3.4).

    >>> [c.name for c in indicators_table("btc", indicators=["rsi"]).columns]
    ['timestamp', 'dataset_id', 'Date', 'Time', 'rsi']
    """
    return Table(
        name or f"indicators_{slug(dataset)}",
        columns=(
            Column("dataset_id", Symbol(capacity=256)),
            *_date_and_time(),
            *(Column(indicator, Double()) for indicator in indicators),
        ),
        dedup_keys=("timestamp", "dataset_id"),
        extensible=True,
    )


def dataset_tables(dataset: str) -> tuple[Table, Table]:
    """Return the canonical pair of a dataset: bars, indicators."""
    return ohlcv_table(dataset), indicators_table(dataset)


def _date_and_time() -> tuple[Column, Column]:
    return Column("Date", Long()), Column("Time", Long())


def predictions_table(name: str) -> Table:
    """Return the prediction table of one run, called by the run's `prediction_measurement`.

    One row per bar and fold: test windows of folds can overlap. Extensible, since exporters of
    every age write it. Raises DeclarationError for a bad name.
    """
    return Table(
        name,
        columns=(
            Column("bar_index", Long()),
            Column("fold_number", Long()),
            Column("prediction", Double()),
            Column("target_value", Double()),
            Column("long_threshold", Double()),
            Column("short_threshold", Double()),
            Column("roc_threshold", Double()),
            Column("short_entry_threshold", Double()),
            Column("fold_score", Double()),
            Column("fold_profit_factor", Double()),
        ),
        dedup_keys=("timestamp", "fold_number"),
        extensible=True,
    )


def simulation_table(name: str) -> Table:
    """Return the trade table of one simulation, called by the simulation's `questdb_namespace`.

    One row per trade, `timestamp` is the entry; trades of several folds can enter on one bar.
    Extensible, since exporters of every age write it. Raises DeclarationError for a bad name.
    """
    return Table(
        name,
        columns=(
            Column("dataset_id", Symbol(capacity=256)),
            Column("mode", Symbol(capacity=16)),
            Column("run_id", Symbol(capacity=256)),
            Column("simulation_id", Symbol(capacity=256)),
            Column("side_label", Symbol(capacity=16)),
            Column("exit_timestamp_unix", Long()),
            Column("trade_index", Long()),
            Column("fold_index", Long()),
            Column("position_size", Double()),
            Column("entry_price", Double()),
            Column("exit_price", Double()),
            Column("pnl", Double()),
            Column("return_pct", Double()),
            Column("entry_signal", Double()),
            Column("exit_signal", Double()),
            Column("is_long", Boolean()),
        ),
        dedup_keys=(
            "timestamp",
            "dataset_id",
            "mode",
            "run_id",
            "simulation_id",
            "side_label",
            "fold_index",
            "trade_index",
        ),
        extensible=True,
    )
