"""A replay leaves what running the same statements one after the other leaves."""

import json
import random

import pytest

from tests.spool import generator as g
from tests.spool.conftest import TABLES

SEQUENCES = 200
"""Sequences in one file; each has ids of its own, and the file mixes their statements."""


class Sequence:
    """Statements of all generations for a few rows, which they write again and again."""

    def __init__(self, seed, *, wild):
        self.dice = random.Random(seed)  # noqa: S311 - repeatable
        self.seed = seed
        self.datasets = [self.id(1), self.id(2)]
        self.runs = [self.id(11), self.id(12)]
        self.simulation = self.id(21)
        self.trades = [self.id(31), self.id(32)]
        makers = [self.run, self.run, self.fold, self.fold, self.sim, self.bucket, self.trade]
        made = [self.sim()]
        made += [
            self.dice.choice([*makers, self.dataset])() for _ in range(self.dice.randrange(3, 16))
        ]
        self.statements = [self.varied(each) for each in made] if wild else made

    def id(self, number):
        return f"{self.seed:08d}-0000-4000-8000-{number:012d}"

    def pick(self, *values):
        return self.dice.choice(values)

    def value(self):
        return self.pick(0.5, 1.25, -3.0, 7.0)

    def varied(self, statement):
        """Let some statements do nothing on conflict, or update less."""
        if " DO UPDATE SET " not in statement:
            return statement
        if self.dice.random() < 0.2:
            return statement[: statement.index(" DO UPDATE")] + " DO NOTHING;"
        head, sets = statement[:-1].split(" DO UPDATE SET ")
        kept = [each for each in sets.split(", ") if self.dice.random() < 0.6]
        return f"{head} DO UPDATE SET {', '.join(kept)};" if kept else statement

    def run(self):
        number = self.dice.randrange(2)
        config = {"train": self.dice.randrange(3)}
        if self.dice.random() < 0.7:
            config["prediction_measurement"] = f"m{number}_{self.dice.randrange(3)}"
        ids = [g.text(self.runs[number]), g.text(self.datasets[number])]
        status = g.text(self.pick("COMPLETED", "RUNNING", "completed"))
        features, target = g.document([f"f{self.dice.randrange(3)}"]), g.text(self.pick("T", "U"))
        params, config = g.document({"eta": self.value()}), g.document(config)
        summary = g.document({"folds": self.dice.randrange(4)})
        when = self.pick("NULL", *[g.when(g.EPOCH + n) for n in range(4)])
        kept = ["dataset_id", "target_column", "created_at"]
        if self.pick("A", "C") == "C":
            values = [*ids, status, features, target, params, config, summary, when, when]
            values.append(g.when(g.EPOCH))
            return g.insert("walkforward_runs", g.RUN_C, values, ["run_id"], kept)
        name = g.text(self.pick("", *[f"m{number}_{n}" for n in range(3)]))
        values = [*ids, name, target, features, params, config, status, "'desktop'", when, when]
        values += [str(self.dice.randrange(9)), summary, g.when(g.EPOCH)]
        return g.insert("walkforward_runs", g.RUN_A, values, ["run_id"], kept)

    def fold(self):
        key = [g.text(self.pick(*self.runs)), str(self.dice.randrange(2))]
        indexes = [str(self.dice.randrange(4)), "10", "10", "20"]
        found = {"a": self.value(), "best_iteration": self.dice.randrange(5)}
        found["best_score"] = self.value()
        metrics = {k: v for k, v in found.items() if self.dice.random() < 0.7}
        documents = [g.document({"t": self.value()}), g.document(metrics)]
        names = ["run_id", "fold_number"]
        if self.pick("A", "C") == "C":
            values = [*key, *indexes, "NULL", "NULL", "NULL", "NULL", "5", "6", *documents[::-1]]
            kept = [c for c in g.FOLD_C if c.endswith("_ts_ms")]
            return g.insert("walkforward_folds", g.FOLD_C, values, names, kept)
        best = [self.pick("NULL", "1", "2", "3"), self.pick("NULL", g.number(self.value()))]
        values = [*key, *indexes, "5", "6", *best, *documents]
        return g.insert("walkforward_folds", g.FOLD_A, values, names)

    def sim(self):
        values = [g.text(self.simulation), g.text(self.runs[0]), g.text(self.datasets[0])]
        values += [g.text(self.pick("m1", "m2")), g.text(self.pick("", "n1", "n2"))]
        values += [g.text(self.pick("long", "Dual")), g.document({"fee": self.value()})]
        values += ["'COMPLETED'", g.when(g.EPOCH + self.dice.randrange(3)), g.when(g.EPOCH)]
        values += [g.document({"x": self.value()}), g.when(g.EPOCH)]
        columns = g.SIMULATION
        if self.dice.random() < 0.4:
            columns = [*columns, "serialized_config"]
            values.append(
                g.text(self.pick("mine", "yours")) if self.dice.random() < 0.6 else "NULL"
            )
        kept = ["run_id", "dataset_id", "input_run_measurement", "created_at"]
        return g.insert("simulation_runs", columns, values, ["simulation_id"], kept)

    def bucket(self):
        values = [g.text(self.simulation), g.text(self.pick("long", "Short", "short"))]
        values += [str(self.dice.randrange(5)), "1", *[g.number(self.value()) for _ in range(3)]]
        values += [self.pick("NULL", "'a'", "'b'")]
        names = ["simulation_id", "side"]
        return g.insert("simulation_trade_buckets", g.BUCKET, values, names)

    def trade(self):
        values = [g.text(self.pick(*self.trades)), g.text(self.simulation)]
        values += [g.when(g.EPOCH * self.pick(1, 1000)), g.text(self.pick("long", "Short"))]
        values += [g.number(self.value()) for _ in range(5)]
        values += [g.text(json.dumps({"fold_index": self.dice.randrange(4)}))]
        return g.insert("simulation_trades", g.TRADE, values, ["trade_id"], ["simulation_id"])

    def dataset(self):
        spool = g.Spool(self.seed)
        number = self.dice.randrange(2)
        slug = f"s{self.seed}_{number}_{self.dice.randrange(2)}"
        spool.dataset(self.pick("A", "B", "C"), self.datasets[number], slug=slug)
        statement = self.pick(*spool.statements)
        return statement.replace("5000", self.pick("1000", "2000")).replace(
            "'4h'", self.pick("'4h'", "'1h'")
        )


def mixed(sequences):
    """Return all statements, those of each sequence in their order."""
    dice = random.Random(1)  # noqa: S311
    order = [n for n, each in enumerate(sequences) for _ in each.statements]
    dice.shuffle(order)
    left = [iter(each.statements) for each in sequences]
    return [next(left[n]) for n in order]


def rows(field):
    return {
        table: [
            json.loads(row)
            for (row,) in field.all(
                "SELECT (to_jsonb(t) - 'created_at' - 'updated_at')::text"
                f" FROM {table} t ORDER BY 1"
            )
        ]
        for table in TABLES
    }


def parents(field, pairs):
    """Begin anew with placeholders, which have no names: what is run directly needs them."""
    field.connection.execute("DELETE FROM datasets")
    field.connection.execute("TRUNCATE spool_replays, spool_quarantine, spool_units")
    for run, dataset in pairs:
        field.connection.execute("SELECT ensure_dataset_placeholder(%s::uuid)", (dataset,))
        if run:
            field.connection.execute(
                "SELECT ensure_run_placeholder(%s::uuid, %s::uuid)", (run, dataset)
            )


def run_directly(field, pairs, statements):
    parents(field, pairs)
    with field.connection.transaction():
        for statement in statements:
            field.connection.execute(statement)
    wanted = rows(field)
    parents(field, pairs)
    return wanted


def equal(found, wanted):
    for table in TABLES:
        differing = [
            (a, {column: b.get(column) for column in a if a[column] != b.get(column)})
            for a, b in zip(found[table], wanted[table], strict=True)
            if a != b
        ]
        assert differing == [], table


@pytest.mark.parametrize("wild", [False, True], ids=["as the contract has them", "updating less"])
@pytest.mark.parametrize("halves", [False, True], ids=["one file", "halves"])
def test_many_statements_for_the_same_rows(field, wild, halves):
    sequences = [Sequence(seed, wild=wild) for seed in range(1, SEQUENCES + 1)]
    pairs = [pair for each in sequences for pair in zip(each.runs, each.datasets, strict=True)]
    statements = mixed(sequences)
    wanted = run_directly(field, pairs, statements)
    lines = [f"{each}\n" for each in statements]
    at = len(lines) // 2 if halves else 0
    field.write("".join(lines[:at]))
    if halves:
        assert field.replay().exit_code == 0
    field.append("".join(lines[at:]))
    report = field.replay()
    assert report.exit_code == 0, report.entries
    equal(rows(field), wanted)
    if not halves:
        before = field.state()
        field.replay(again=True)
        assert field.state() == before


def test_the_usual_file(field):
    spool = g.usual(runs=6, folds=20, trades=60, seed=5)
    wanted = run_directly(field, spool.parents, spool.statements)
    assert field.replay(spool.bytes()).exit_code == 0
    equal(rows(field), wanted)
