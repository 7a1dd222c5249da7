"""A small dataset to look at: generated, always the same, written as a real exporter writes.

14 months of 4-hour bars with indicators, one walk-forward run with its folds, one simulation with
its trades. Bars go to QuestDB by ILP over HTTP, metadata to PostgreSQL as generation C of the
desktop sends it (contract, part 1). PostgreSQL is written last and in one transaction, so its
dataset row says that all of the sample is there.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from questdb import QuestDBError as SenderError
from questdb import Sender, TimestampNanos

from questdb_ddl import ensure_table
from questdb_ddl.tables import indicators_table, ohlcv_table
from stage1_schema.connect import connect, plain_errors
from stage1_schema.errors import QuestDBError
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from psycopg import Connection

    from stage1_schema.settings import PostgresSettings, QuestDBSettings

SLUG = "sample_btcusdt_4h"
SYMBOL, GRANULARITY, SOURCE, TARGET = "BTCUSDT", "4h", "stage1-sample", "close_return_1"
STEP = timedelta(hours=4)
FIRST_BAR = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2025, 3, 1, tzinfo=UTC)
FOLDS, TRAIN_BARS, TEST_BARS, WARM_UP = 12, 600, 150, 20
INDICATORS = ("ema_20", "range_pct", "close_return_1", "sma_20", "rsi_20")
THRESHOLD, HOLD_BARS = 0.03, 6
_NAMESPACE = UUID("6f4f1f2e-6d0b-5d0e-9a57-0c5b1f0a7e11")


def _id(name: str) -> UUID:
    return uuid5(_NAMESPACE, name)


DATASET_ID, RUN_ID, SIMULATION_ID = _id("dataset"), _id("run"), _id("simulation")
PREDICTIONS, NAMESPACE = f"{SLUG}_run1", f"{SLUG}_sim1"


@dataclass(frozen=True)
class Bar:
    """One bar; `at` is its opening, UTC."""

    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def calendar(self) -> dict[str, int]:
        """The exporter's integer columns: YYYYMMDD and HHMM, UTC."""
        return {"Date": int(f"{self.at:%Y%m%d}"), "Time": int(f"{self.at:%H%M}")}


@dataclass(frozen=True)
class Trade:
    """One trade of the simulation, by the bars it was entered and left at."""

    number: int
    fold: int
    side: str
    entry: Bar
    exit: Bar
    cumulative_return_pct: float

    @property
    def return_pct(self) -> float:
        """The return in percent, before costs."""
        change = (self.exit.close / self.entry.close - 1) * 100
        return change if self.side == "long" else -change

    @property
    def pnl(self) -> float:
        """The profit of one unit, in the quote currency."""
        return self.return_pct / 100 * self.entry.close


class Sample:
    """All of the sample, computed from fixed seeds."""

    @cached_property
    def bars(self) -> list[Bar]:
        """The bars, oldest first: a random walk that moves like a market."""
        source = random.Random(20240101)  # noqa: S311 - the same every time
        bars, close, at = [], 42_000.0, FIRST_BAR
        while at < END:
            opened, close = close, close * (1 + source.gauss(0.0002, 0.011))
            high = max(opened, close) * (1 + abs(source.gauss(0, 0.003)))
            low = min(opened, close) * (1 - abs(source.gauss(0, 0.003)))
            volume = 900 + abs(source.gauss(0, 400))
            bars.append(Bar(at, *(round(x, 2) for x in (opened, high, low, close, volume))))
            at += STEP
        return bars

    @cached_property
    def indicators(self) -> list[dict[str, float]]:
        """The indicators of each bar; the first ones lack the rows they look back to."""
        closes = [bar.close for bar in self.bars]
        rows: list[dict[str, float]] = []
        average = closes[0]
        for index, bar in enumerate(self.bars):
            average += (bar.close - average) * 2 / (WARM_UP + 1)
            row = {"ema_20": average, "range_pct": (bar.high / bar.low - 1) * 100}
            if index:
                row[TARGET] = bar.close / closes[index - 1] - 1
            if index >= WARM_UP:
                window = closes[index - WARM_UP + 1 : index + 1]
                ups = sum(max(after - before, 0) for before, after in pairwise(window))
                downs = sum(max(before - after, 0) for before, after in pairwise(window))
                row["sma_20"] = sum(window) / WARM_UP
                row["rsi_20"] = 100 * ups / (ups + downs)
            rows.append({name: round(value, 6) for name, value in row.items()})
        return rows

    @cached_property
    def folds(self) -> list[tuple[int, int, int, int]]:
        """Half-open index ranges `[train start, train end), [test start, test end)`."""
        starts = [WARM_UP + number * TEST_BARS for number in range(FOLDS)]
        return [(s, s + TRAIN_BARS, s + TRAIN_BARS, s + TRAIN_BARS + TEST_BARS) for s in starts]

    @cached_property
    def predictions(self) -> list[tuple[int, int, float]]:
        """Fold, bar index and prediction of every test bar: a noisy momentum."""
        source = random.Random(20240102)  # noqa: S311 - as above
        closes = [bar.close for bar in self.bars]
        predictions = []
        for fold, (_, _, start, end) in enumerate(self.folds):
            for index in range(start, end):
                momentum = closes[index] / closes[index - HOLD_BARS] - 1
                predictions.append((fold, index, round(momentum + source.gauss(0, 0.01), 6)))
        return predictions

    @cached_property
    def trades(self) -> list[Trade]:
        """The trades: one a time, entered on a strong prediction and held for HOLD_BARS bars."""
        trades: list[Trade] = []
        free, cumulative = 0, 0.0
        for fold, index, prediction in self.predictions:
            if index < free or abs(prediction) < THRESHOLD or index + HOLD_BARS >= len(self.bars):
                continue
            side = "long" if prediction > 0 else "short"
            bars = self.bars[index], self.bars[index + HOLD_BARS]
            trade = Trade(len(trades), fold, side, *bars, cumulative_return_pct=0.0)
            cumulative += trade.return_pct
            trades.append(
                Trade(trade.number, fold, side, trade.entry, trade.exit, round(cumulative, 6))
            )
            free = index + HOLD_BARS
        return trades


def load(
    postgres: PostgresSettings,
    questdb: QuestDBSettings,
    progress: Callable[[str], None] = lambda _: None,
) -> bool:
    """Write the sample unless it is there already, and return whether it was written.

    Sending it again after an interruption doubles nothing: the tables deduplicate. Raises
    PostgresError or QuestDBError.
    """
    with connect(postgres) as connection, plain_errors(postgres):
        known = connection.execute(
            "SELECT count(*) FROM datasets WHERE dataset_id = %s", [DATASET_ID]
        ).fetchone()
        if known and known[0]:
            return False
        sample = Sample()
        progress("sample: bars, predictions and traces to QuestDB")
        _write_questdb(questdb, sample)
        progress("sample: dataset, run and simulation to PostgreSQL")
        _write_postgres(connection, sample)
    return True


def _write_questdb(settings: QuestDBSettings, sample: Sample) -> None:
    with plain_questdb_errors(), client(settings) as questdb:
        ohlcv, indicators = ohlcv_table(SLUG), indicators_table(SLUG, indicators=INDICATORS)
        for table in (ohlcv, indicators):
            ensure_table(questdb, table)
        login = f"username={settings.user};password={settings.password};" if settings.user else ""
        try:
            with Sender.from_conf(f"http::addr={settings.address};{login}") as sender:
                for table_name, tags, fields, at in _rows(sample, ohlcv.name, indicators.name):
                    nanos = TimestampNanos(int(at.timestamp()) * 1_000_000_000)
                    sender.row(table_name, symbols=tags, columns=fields, at=nanos)
        except SenderError as error:
            text = f"QuestDB at {settings.where} refused the sample: {error}"
            raise QuestDBError(text) from error
        for name in (ohlcv.name, indicators.name, *SHARED):
            questdb.wait_for(name)


SHARED = ("indicator_bars", "walkforward_predictions", "trading_sim_traces", "trading_sim_equity")
Tags = dict[str, str | None]
Row = tuple[str, Tags | None, dict[str, Any], datetime]


def _rows(sample: Sample, ohlcv: str, indicators: str) -> Iterable[Row]:
    for bar, values in zip(sample.bars, sample.indicators, strict=True):
        prices = {name: getattr(bar, name) for name in ("open", "high", "low", "close")}
        yield ohlcv, None, {**bar.calendar, **prices, "volume": bar.volume}, bar.at
        yield indicators, None, {**bar.calendar, **values}, bar.at
        calendar = {"date_i": bar.calendar["Date"], "time_i": bar.calendar["Time"]}
        tags: Tags = {"dataset": SLUG, "source": SOURCE, "granularity": GRANULARITY}
        stamp = {"timestamp_unix": int(bar.at.timestamp())}
        yield "indicator_bars", tags, {**calendar, **stamp, **prices, **values}, bar.at
    yield from _prediction_rows(sample)
    yield from _trade_rows(sample)


def _prediction_rows(sample: Sample) -> Iterable[Row]:
    for fold, index, prediction in sample.predictions:
        tags: Tags = {"run_id": str(RUN_ID), "fold": str(fold), "dataset": SLUG, "target": TARGET}
        fields = {
            "bar_index": index,
            "prediction": prediction,
            "target_value": sample.indicators[index][TARGET],
            "long_threshold": THRESHOLD,
            "short_threshold": -THRESHOLD,
            "score": 0.5,
        }
        yield "walkforward_predictions", tags, fields, sample.bars[index].at


def _trade_rows(sample: Sample) -> Iterable[Row]:
    tags: Tags = {"simulation_id": str(SIMULATION_ID), "run_id": str(RUN_ID), "mode": "dual"}
    for trade in sample.trades:
        fields = {
            "entry_price": trade.entry.close,
            "exit_price": trade.exit.close,
            "position_size": 1.0,
            "pnl": round(trade.pnl, 6),
            "return_pct": round(trade.return_pct, 6),
            "cumul_return_pct": trade.cumulative_return_pct,
            "exit_timestamp_unix": int(trade.exit.at.timestamp() * 1000),
        }
        yield "trading_sim_traces", tags, fields, trade.entry.at
        equity = {"equity": 10_000 * (1 + trade.cumulative_return_pct / 100)}
        yield "trading_sim_equity", tags, equity, trade.exit.at


def _write_postgres(connection: Connection[Any], sample: Sample) -> None:
    """Send what generation C of the desktop sends; one transaction."""
    started, ended = int(FIRST_BAR.timestamp()), int(END.timestamp())
    with connection.transaction():
        _insert(connection, "datasets", [_dataset(sample)], "dataset_id")
        run = {
            "run_id": RUN_ID,
            "dataset_id": DATASET_ID,
            "status": "COMPLETED",
            "feature_columns": _json(["ema_20", "sma_20", "rsi_20", "range_pct"]),
            "target_column": TARGET,
            "hyperparameters": _json({"max_depth": 4, "learning_rate": 0.05}),
            "walk_config": _json(
                {
                    "prediction_measurement": PREDICTIONS,
                    "train_bars": TRAIN_BARS,
                    "test_bars": TEST_BARS,
                    "folds": FOLDS,
                }
            ),
            "summary_metrics": _json({"folds": FOLDS, "mean_score": 0.5}),
            "started_at": _at(ended),
            "completed_at": _at(ended + 900),
            "created_at": _at(ended),
        }
        _insert(connection, "walkforward_runs", [run], "run_id")
        _insert(connection, "walkforward_folds", _folds(sample), "run_id, fold_number")
        simulation = {
            "simulation_id": SIMULATION_ID,
            "run_id": RUN_ID,
            "dataset_id": DATASET_ID,
            "input_run_measurement": PREDICTIONS,
            "questdb_namespace": NAMESPACE,
            "mode": "dual",
            "config": _json({"threshold": THRESHOLD, "hold_bars": HOLD_BARS, "fees_pct": 0}),
            "status": "COMPLETED",
            "started_at": _at(started),
            "completed_at": _at(ended),
            "summary_metrics": _json({"trades": len(sample.trades)}),
            "created_at": _at(ended + 1800),
        }
        _insert(connection, "simulation_runs", [simulation], "simulation_id")
        _insert(connection, "simulation_trade_buckets", _buckets(sample), "simulation_id, side")
        _insert(connection, "simulation_trades", _trades(sample), "trade_id")


def _dataset(sample: Sample) -> dict[str, Any]:
    first, last = (int(bar.at.timestamp() * 1000) for bar in (sample.bars[0], sample.bars[-1]))
    head = {"dataset_slug": SLUG, "symbol": SYMBOL, "granularity": GRANULARITY}
    manifest = {
        "version": 1,
        "dataset_id": str(DATASET_ID),
        **head,
        "source": SOURCE,
        "ohlcv_measurement": f"ohlcv_{SLUG}",
        "indicator_measurement": f"indicators_{SLUG}",
        "bar_interval_ms": int(STEP.total_seconds() * 1000),
        "lookback_rows": WARM_UP,
        "first_ohlcv_timestamp_ms": first,
        "last_ohlcv_timestamp_ms": last,
        "first_indicator_timestamp_ms": first,
        "last_indicator_timestamp_ms": last,
        "ohlcv_rows": len(sample.bars),
        "indicator_rows": len(sample.indicators),
        "exported_at": END.isoformat(),
    }
    return {
        "dataset_id": DATASET_ID,
        **head,
        "bar_interval_ms": manifest["bar_interval_ms"],
        "lookback_rows": WARM_UP,
        "first_ohlcv_ts": first,
        "first_indicator_ts": first,
        "metadata": _json(manifest),
        "created_at": END,
    }


def _folds(sample: Sample) -> list[dict[str, Any]]:
    names = ("train_start", "train_end", "test_start", "test_end")
    return [
        {
            "run_id": RUN_ID,
            "fold_number": number,
            **{f"{name}_idx": index for name, index in zip(names, bounds, strict=True)},
            **{
                f"{name}_ts_ms": int(sample.bars[index].at.timestamp() * 1000)
                for name, index in zip(names, bounds, strict=True)
            },
            "samples_train": TRAIN_BARS,
            "samples_test": TEST_BARS,
            "metrics": _json({"best_iteration": 40 + number, "best_score": 0.5}),
            "thresholds": _json({"long": THRESHOLD, "short": -THRESHOLD}),
        }
        for number, bounds in enumerate(sample.folds)
    ]


def _buckets(sample: Sample) -> list[dict[str, Any]]:
    rows = []
    for side in ("long", "short", "all"):
        trades = [trade for trade in sample.trades if side in ("all", trade.side)]
        returns = [trade.return_pct for trade in trades]
        gain, loss = sum(r for r in returns if r > 0), -sum(r for r in returns if r < 0)
        rows.append(
            {
                "simulation_id": SIMULATION_ID,
                "side": side,
                "trade_count": len(trades),
                "win_count": sum(r > 0 for r in returns),
                "profit_factor": round(gain / loss, 6) if loss else 999,
                "avg_return_pct": round(sum(returns) / len(returns), 6) if returns else 0,
                "max_drawdown_pct": round(_drawdown(returns), 6),
                "notes": "generated sample",
            }
        )
    return rows


def _drawdown(returns: list[float]) -> float:
    """Return the deepest fall of the summed returns below their peak, in percent."""
    total = peak = deepest = 0.0
    for change in returns:
        total += change
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    return deepest


def _trades(sample: Sample) -> list[dict[str, Any]]:
    return [
        {
            "trade_id": _id(f"trade {trade.number}"),
            "simulation_id": SIMULATION_ID,
            "bar_timestamp": trade.entry.at,
            "side": trade.side,
            "size": 1.0,
            "entry_price": trade.entry.close,
            "exit_price": trade.exit.close,
            "pnl": round(trade.pnl, 6),
            "return_pct": round(trade.return_pct, 6),
            "metadata": _json({"fold_index": trade.fold}),
        }
        for trade in sample.trades
    ]


def _insert(connection: Connection[Any], table: str, rows: list[dict[str, Any]], key: str) -> None:
    columns = list(rows[0])
    updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns if name != "created_at")
    statement = (
        f"INSERT INTO {table} ({', '.join(columns)})"
        f" VALUES ({', '.join(f'%({name})s' for name in columns)})"
        f" ON CONFLICT ({key}) DO UPDATE SET {updates}"
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
