"""Spool files as contract part 6 describes them: all generations mixed, orphans, CRLF."""

import json
import random
import re
import uuid
from dataclasses import dataclass, field

EPOCH = 1_700_000_000
COMMENT = "-- Stage1 pending inserts"

# What copies of a file must not share, each up to the place where the copy's number goes.
IDS = re.compile(rb"'([0-9a-f]{8})-[0-9a-f]{4}-(?=[45])")
NAMES = re.compile(rb"(_wf[0-9]+|_sim[0-9]+|btc25_[bc]|lonely)(?=['\"_])")

DATASET_A = [
    "dataset_id",
    "symbol",
    "granularity",
    "source",
    "questdb_tag",
    "row_count",
    "first_bar_ts",
    "last_bar_ts",
    "created_at",
]
DATASET_C = [
    "dataset_id",
    "dataset_slug",
    "symbol",
    "granularity",
    "bar_interval_ms",
    "lookback_rows",
    "first_ohlcv_ts",
    "first_indicator_ts",
    "metadata",
    "created_at",
]
RUN_A = [
    "run_id",
    "dataset_id",
    "prediction_measurement",
    "target_column",
    "feature_columns",
    "hyperparameters",
    "walk_config",
    "status",
    "requested_by",
    "started_at",
    "completed_at",
    "duration_ms",
    "summary_metrics",
    "created_at",
]
RUN_C = [
    "run_id",
    "dataset_id",
    "status",
    "feature_columns",
    "target_column",
    "hyperparameters",
    "walk_config",
    "summary_metrics",
    "started_at",
    "completed_at",
    "created_at",
]
FOLD_A = [
    "run_id",
    "fold_number",
    "train_start_idx",
    "train_end_idx",
    "test_start_idx",
    "test_end_idx",
    "samples_train",
    "samples_test",
    "best_iteration",
    "best_score",
    "thresholds",
    "metrics",
]
FOLD_C = [
    "run_id",
    "fold_number",
    "train_start_idx",
    "train_end_idx",
    "test_start_idx",
    "test_end_idx",
    "train_start_ts_ms",
    "train_end_ts_ms",
    "test_start_ts_ms",
    "test_end_ts_ms",
    "samples_train",
    "samples_test",
    "metrics",
    "thresholds",
]
SIMULATION = [
    "simulation_id",
    "run_id",
    "dataset_id",
    "input_run_measurement",
    "questdb_namespace",
    "mode",
    "config",
    "status",
    "started_at",
    "completed_at",
    "summary_metrics",
    "created_at",
]
BUCKET = [
    "simulation_id",
    "side",
    "trade_count",
    "win_count",
    "profit_factor",
    "avg_return_pct",
    "max_drawdown_pct",
    "notes",
]
TRADE = [
    "trade_id",
    "simulation_id",
    "bar_timestamp",
    "side",
    "size",
    "entry_price",
    "exit_price",
    "pnl",
    "return_pct",
    "metadata",
]


def text(value):
    return "'" + value.replace("'", "''") + "'"


def document(value):
    return text(json.dumps(value, separators=(",", ":"))) + "::jsonb"


def when(seconds):
    return f"TO_TIMESTAMP({seconds})"


def number(value):
    return f"{value:.6f}"


def insert(table, columns, values, key, kept=()):
    updates = [c for c in columns if c not in key and c not in kept]
    sets = ", ".join(f"{c} = EXCLUDED.{c}" for c in updates)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(values)})"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets};"
    )


@dataclass
class Spool:
    """The statements of a file, and the rows that must stand afterwards."""

    seed: int = 1
    statements: list = field(default_factory=list)
    rows: dict = field(default_factory=dict)  # table -> set of keys
    parents: list = field(default_factory=list)  # (run or None, dataset) that are referred to

    def __post_init__(self):
        self.random = random.Random(self.seed)  # noqa: S311 - repeatable

    def id(self):
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def add(self, table, key, statement):
        self.statements.append(statement)
        self.rows.setdefault(table, set()).add(key)

    def metrics(self, size=26):
        return {f"m_{n}": round(self.random.uniform(-5, 5), 3) for n in range(size)}

    def dataset(self, generation, dataset_id=None, slug="btc25_4h"):
        dataset_id = dataset_id or self.id()
        ident = text(dataset_id)
        if generation == "B":
            values = [ident, text(slug), "'BTCUSDT'", "'4h'", "'export'", "''"]
            values += [text(f"indicators_{slug}"), "0", "5000", "NULL", "NULL"]
            values += [when(EPOCH), when(EPOCH * 1000), document({"dataset_slug": slug})]
            call = f"SELECT upsert_stage1_dataset({', '.join(values)});"
            self.add("datasets", dataset_id, call)
        if generation in "AB":
            values = [ident, "'BTCUSDT'", "'4h'", "'export'", text(f"{slug}_ind"), "5000"]
            values += [when(EPOCH), when(EPOCH + 9000), when(EPOCH)]
            row = insert("indicator_datasets", DATASET_A, values, ["dataset_id"], ["created_at"])
        else:
            values = [ident, text(slug), "'BTCUSDT'", "'4h'", "0", "100", str(EPOCH * 1000)]
            values += ["NULL", document({"symbol": "BTCUSDT", "lookback_rows": 100}), when(EPOCH)]
            row = insert("datasets", DATASET_C, values, ["dataset_id"], ["created_at"])
        self.add("datasets", dataset_id, row)
        return dataset_id

    def run(self, generation, dataset_id=None, folds=500, name="btc25_4h", told=None):
        run_id = self.id()
        dataset_id = dataset_id or run_id
        self.parents.append((None, dataset_id))
        measurement = f"{name}_wf{EPOCH + self.random.randrange(10**8)}"
        config = {"train": 500, "test": 50}
        summary = document(self.metrics(8) | {"folds": folds if told is None else told})
        features = document([f"feature_{n}" for n in range(40)])
        params = document({"max_depth": 4, "eta": 0.1, "rounds": 300})
        start, end = when(EPOCH + 10), when(EPOCH + 500)
        if generation in "AB":
            values = [text(run_id), text(dataset_id), text(measurement), "'TGT_115'", features]
            values += [params, document(config), "'COMPLETED'", "'desktop'", start, end]
            values += ["490000", summary, end]
            kept = ["dataset_id", "target_column", "created_at"]
            statement = insert("walkforward_runs", RUN_A, values, ["run_id"], kept)
        else:
            config["prediction_measurement"] = measurement
            values = [text(run_id), text(dataset_id), "'COMPLETED'", features, "'TGT_115'", params]
            values += [document(config), summary, start, end, end]
            kept = ["dataset_id", "target_column", "created_at"]
            statement = insert("walkforward_runs", RUN_C, values, ["run_id"], kept)
        self.add("walkforward_runs", run_id, statement)
        for fold in range(folds):
            self.fold(generation, run_id, fold)
        return run_id, dataset_id, measurement

    def fold(self, generation, run_id, fold):
        start = fold * 50
        indexes = [str(start), str(start + 500), str(start + 500), str(start + 550)]
        metrics = self.metrics(25) | {"best_iteration": fold, "best_score": 0.25}
        thresholds = document(self.metrics(9))
        if generation in "AB":
            values = [text(run_id), str(fold), *indexes, "490", "50", str(fold), number(0.25)]
            values += [thresholds, document(metrics)]
            columns, kept = FOLD_A, []
        else:
            values = [text(run_id), str(fold), *indexes, "NULL", "NULL", "NULL", "NULL"]
            values += ["490", "50", document(metrics), thresholds]
            columns, kept = FOLD_C, [c for c in FOLD_C if c.endswith("_ts_ms")]
        statement = insert("walkforward_folds", columns, values, ["run_id", "fold_number"], kept)
        self.add("walkforward_folds", (run_id, fold), statement)

    def simulation(self, run=None, trades=2000):
        simulation_id = self.id()
        run_id = run[0] if run else self.id()
        dataset_id = run[1] if run else run_id
        self.parents.append((run_id, dataset_id))
        measurement = run[2] if run else f"eth25_1h_wf{EPOCH + self.random.randrange(10**8)}"
        values = [text(simulation_id), text(run_id), text(dataset_id), text(measurement)]
        values += [text(f"sim_{simulation_id[:8]}_sim1"), "'long'", document({"fee": 0.1})]
        values += ["'COMPLETED'", when(EPOCH), when(EPOCH + 60), document(self.metrics(5))]
        values += [when(EPOCH + 60)]
        kept = ["run_id", "dataset_id", "input_run_measurement", "created_at"]
        self.add(
            "simulation_runs",
            simulation_id,
            insert("simulation_runs", SIMULATION, values, ["simulation_id"], kept),
        )
        self.bucket(simulation_id, trades)
        for trade in range(trades):
            self.trade(simulation_id, trade)
        return simulation_id, run_id, dataset_id, measurement

    def bucket(self, simulation_id, trades):
        values = [text(simulation_id), "'long'", str(trades), "7", number(999), number(0.5)]
        values += [number(-3.25), "'it''s a cap'"]
        statement = insert("simulation_trade_buckets", BUCKET, values, ["simulation_id", "side"])
        self.add("simulation_trade_buckets", (simulation_id, "long"), statement)

    def trade(self, simulation_id, trade):
        trade_id = str(uuid.uuid5(uuid.UUID(simulation_id), str(trade)))
        values = [text(trade_id), text(simulation_id), when(EPOCH + trade * 3600), "'long'"]
        values += [number(self.random.uniform(0.1, 2)), number(30_000), number(30_100)]
        values += [number(self.random.uniform(-9, 9)), number(self.random.uniform(-1, 1))]
        values += [text(json.dumps({"fold_index": trade % 500, "exit_reason": "signal"}))]
        statement = insert("simulation_trades", TRADE, values, ["trade_id"], ["simulation_id"])
        self.add("simulation_trades", trade_id, statement)

    def bytes(self, *, crlf=0.3, comments=True):
        lines = list(self.statements)
        if comments:
            lines[0:0] = [COMMENT, f"{COMMENT}; do not edit", "-- it's machine written"]
        ends = [("\r\n" if self.random.random() < crlf else "\n") for _ in lines]
        return "".join(a + b for a, b in zip(lines, ends, strict=True)).encode()


def usual(runs=10, folds=500, trades=2000, seed=1):
    """All generations mixed, orphans, the dataset rows after most of the runs."""
    spool = Spool(seed)
    datasets = {"B": spool.id(), "C": spool.id()}
    made = []
    for number_ in range(runs):
        generation = "ABC"[number_ % 3]
        made.append(spool.run(generation, datasets.get(generation), folds))
    for generation, dataset_id in datasets.items():
        spool.dataset(generation, dataset_id, slug=f"btc25_{generation.lower()}")
    spool.dataset("A", slug="lonely")
    if trades:
        spool.simulation(made[0], trades // 2)
        spool.simulation(None, trades - trades // 2)
    return spool


def copies(block, count):
    """Yield `count` files like `block`, a file of `usual`, with ids, names and slugs of their own.

    A large file is made quickly so; 65,536 copies are the most that the ids tell apart.
    """
    marked = NAMES.sub(rb"\1\0name", IDS.sub(rb"'\1-\0id-", block))
    for number_ in range(count):
        yield marked.replace(b"\0id", b"%04x" % number_).replace(b"\0name", b"%d" % number_)
