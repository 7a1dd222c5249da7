"""Retention that is interrupted at any point: run again nothing is lost, all of it recorded."""

import importlib
import itertools
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from pyarrow import parquet

from questdb_ddl import Client, drop, ensure_table, live_tables
from questdb_ddl.tables import SHARED_TABLES
from stage1_schema.cli.retention import _show
from stage1_schema.errors import ConfirmationError, VerificationError
from stage1_schema.ops import retention, retention_apply, retention_record
from stage1_schema.ops.retention_record import Record, State
from tests.plugins.databases import environment
from tests.questdb.rebuilding import Killed
from tests.series.test_retention import (
    LIMIT,
    NEW_RUN,
    NOW,
    OLD_RUN,
    bar,
    ns,
    prediction,
    rows,
)

rebuild_run = importlib.import_module("questdb_ddl.rebuild_run")
pytestmark = pytest.mark.usefixtures("runs", "quick")
KINDS = {
    "partitions": (
        "indicator_bars",
        [*(bar(LIMIT - timedelta(days=40 * i)) for i in range(2, 5)), bar(NOW)],
    ),
    "runs": (
        "walkforward_predictions",
        [
            prediction(run, i, NOW - timedelta(days=20 * i))
            for run in (OLD_RUN, NEW_RUN)
            for i in range(3)
        ],
    ),
    "table": (
        "btc_run1",
        [
            f"btc_run1 bar_index={i}i,fold_number=0i,prediction=0.5 {ns(NOW) + i * 1000}"
            for i in range(3)
        ],
    ),
}


@pytest.fixture
def quick(monkeypatch):
    """No writer is connected here: nothing has to be waited for."""
    monkeypatch.setattr(rebuild_run, "_SETTLE_SECONDS", 0.0)


class Boundaries:
    """Stops before or after the n-th statement, export, line of the record or move of a file.

    A query changes nothing: to stop there is to stop after the statement before it.
    """

    def __init__(self, monkeypatch, number, when):
        self.count, self.number, self.when = 0, number, when
        for owner, name in (
            (Client, "execute"),
            (Client, "stream"),
            (retention_apply, "export"),
            (Record, "note"),
            (Path, "replace"),
        ):
            monkeypatch.setattr(owner, name, self.wrapped(getattr(owner, name)))

    def wrapped(self, original):
        def call(*arguments, **options):
            self.count += 1
            mine = self.count == self.number
            if mine and self.when == "before":
                raise Killed
            result = original(*arguments, **options)
            if mine:
                raise Killed
            return result

        return call


def content(table):
    """Return how often each bar of an archive stands there."""
    stamps = table["timestamp"].cast("int64").to_pylist()
    run = table["run_id"].to_pylist() if "run_id" in table.schema.names else [None] * len(stamps)
    return Counter(zip(stamps, run, strict=True))


def standing(questdb, table):
    if table not in live_tables(questdb):
        return Counter()
    run = "run_id" if "predictions" in table else "null"
    found = questdb.query(f"select cast(timestamp as long) t, {run} run from {table}")
    return Counter((row["t"], row["run"]) for row in found)


def finish(stores, directory):
    for _ in range(4):
        intent = retention.plan(stores)
        retention_apply.apply(stores, intent, directory)
        if intent.empty:
            return
    raise AssertionError("it does not come to an end")


def check(questdb, directory, table, before):
    """The rows are kept or archived, once each; the record and the directory tell the same."""
    last = {entry.id: entry for entry in retention_record.read(directory / "retention.jsonl")}
    assert {entry.state for entry in last.values()} <= {State.GONE, State.KEPT}
    gone = [entry for entry in last.values() if entry.state is State.GONE]
    archived = Counter()
    for entry in gone:
        held = content(parquet.read_table(directory / entry.archive))
        assert held.total() == entry.rows
        archived += held
    assert standing(questdb, table) + archived == before
    assert archived
    files = {path.name for path in directory.iterdir()} - {"retention.jsonl", ".unfinished"}
    assert files <= {entry.archive for entry in last.values()}
    assert {entry.archive for entry in gone} <= files
    assert not list((directory / ".unfinished").iterdir())
    assert not [n for n in live_tables(questdb) if "__" in n or "_old_" in n or "_retired_" in n]


@pytest.fixture
def filled(questdb, lines):
    """Fill the table of a kind anew, and return what it holds."""

    def filled(kind):
        table, sent = KINDS[kind]
        for name in [name for name in live_tables(questdb) if name.startswith(table)]:
            drop(questdb, name)
        for declared in SHARED_TABLES:
            ensure_table(questdb, declared)
        lines(*sent)
        return standing(questdb, table)

    return filled


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_at_every_boundary(stores, questdb, filled, tmp_path, kind, when):
    for number in itertools.count(1):
        before = filled(kind)
        directory = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patched:
            boundaries = Boundaries(patched, number, when)
            try:
                retention_apply.apply(stores, retention.plan(stores), directory)
            except Killed:
                pass
            else:
                assert boundaries.count == number - 1
                break
        finish(stores, directory)
        check(questdb, directory, KINDS[kind][0], before)
    assert number > {"partitions": 6, "runs": 15, "table": 7}[kind]


PROGRAM = """
import importlib, os, signal, sys
from questdb_ddl import Client
from stage1_schema.cli import main
importlib.import_module("questdb_ddl.rebuild_run")._SETTLE_SECONDS = 0.0
left = int(sys.argv.pop(1))
execute = Client.execute
def counted(self, sql):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    execute(self, sql)
Client.execute = counted
main()
"""


@pytest.mark.slow
def test_kill_9_before_each_statement(stores, questdb, filled, tmp_path):
    for number in itertools.count(1):
        before = filled("runs")
        directory = tmp_path / str(number)
        database = stores.postgres.database
        command = ("retention", "apply", "--confirm", database, "--directory", str(directory))
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(number), *command],
            env=os.environ | environment(stores),
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode == 0:
            break
        assert ran.returncode == -signal.SIGKILL, ran.stderr
        finish(stores, directory)
        check(questdb, directory, "walkforward_predictions", before)
    assert number > 8


def stop_trim(stores, directory):
    """Stop a retention within the trim, when the table has lost its name."""

    def told(original):
        def rename(self, name, new):
            original(self, name, new)
            raise Killed

        return rename

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rebuild_run.Run, "_rename", told(rebuild_run.Run._rename))
        with pytest.raises(Killed):
            retention_apply.apply(stores, retention.plan(stores), directory)


@pytest.mark.parametrize("other", [False, True], ids=["", "another directory"])
def test_an_unfinished_trim_is_seen_and_finished_first(
    stores, questdb, filled, tmp_path, capsys, other
):
    before = filled("runs")
    stop_trim(stores, tmp_path / "first")
    assert "walkforward_predictions" not in live_tables(questdb)
    intent = retention.plan(stores)
    assert not intent.empty
    _show(intent)
    told = "walkforward_predictions: finish leaving out 1 runs, then archive them\n"
    assert capsys.readouterr().out == told
    with pytest.raises(ConfirmationError, match=r"walkforward_predictions .to finish 1 runs."):
        retention.confirm(intent, None)
    assert [(trim.table, trim.values) for trim in intent.unfinished] == [
        ("walkforward_predictions", (OLD_RUN,))
    ]
    directory = tmp_path / ("second" if other else "first")
    (gone,) = retention_apply.apply(stores, intent, directory)
    assert (gone.runs, gone.rows) == ((OLD_RUN,), 3)
    assert retention.plan(stores).empty
    check(questdb, directory, "walkforward_predictions", before)


def test_an_unfinished_trim_goes_by_its_own_values(stores, questdb, filled, tmp_path, execute):
    before = filled("runs")
    stop_trim(stores, tmp_path)
    execute("UPDATE walkforward_runs SET created_at = now()")
    finish(stores, tmp_path)
    assert standing(questdb, "walkforward_predictions").total() == 3
    check(questdb, tmp_path, "walkforward_predictions", before)


def test_a_run_that_is_exported_again_after_its_trim(stores, questdb, filled, lines, tmp_path):
    before = filled("runs")
    trim = retention_apply.trim

    def trimmed(*arguments, **options):
        trim(*arguments, **options)
        lines(prediction(OLD_RUN, 0, NOW))
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retention_apply, "trim", trimmed)
        with pytest.raises(Killed):
            retention_apply.apply(stores, retention.plan(stores), tmp_path)
    finish(stores, tmp_path)
    before[(ns(NOW) // 1000, OLD_RUN)] += 1
    check(questdb, tmp_path, "walkforward_predictions", before)


def test_an_old_table_of_a_rebuild_is_nobody_elses(stores, questdb, filled, tmp_path):
    filled("runs")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retention_apply, "trim", None)  # what was begun goes no further
        with pytest.raises(TypeError):
            retention_apply.apply(stores, retention.plan(stores), tmp_path)
    old = "walkforward_predictions_old_29991231T235959Z"
    questdb.execute(
        f"CREATE TABLE {old} AS (SELECT * FROM walkforward_predictions) TIMESTAMP(timestamp)"
        " PARTITION BY MONTH WAL"
    )
    questdb.wait_for(old)
    finish(stores, tmp_path)
    assert rows(questdb, old) == 6
    assert rows(questdb, "walkforward_predictions") == 3


def late(monkeypatch, lines, kind, state):
    """Send a row of what goes when a line of `state` is written."""
    sent = {
        "partitions": bar(LIMIT - timedelta(days=80), dataset="late"),
        "runs": prediction(OLD_RUN, 77, NOW - timedelta(hours=1)),
        "table": f"btc_run1 bar_index=7i,fold_number=0i,prediction=0.5 {ns(NOW) + 7000}",
    }[kind]
    note = Record.note

    def noted(self, entry, now, why=None):
        noted = note(self, entry, now, why)
        if now is state:
            lines(sent)
        return noted

    monkeypatch.setattr(Record, "note", noted)


def test_rows_that_come_before_the_partitions_are_dropped(stores, questdb, filled, lines, tmp_path):
    before = filled("partitions")
    with pytest.MonkeyPatch.context() as patched:
        late(patched, lines, "partitions", State.ARCHIVED)
        with pytest.raises(VerificationError, match="4 such rows now and not 3"):
            retention_apply.apply(stores, retention.plan(stores), tmp_path)
    now = standing(questdb, "indicator_bars")
    assert now.total() == before.total() + 1
    finish(stores, tmp_path)
    check(questdb, tmp_path, "indicator_bars", now)
    assert rows(questdb, "indicator_bars") == 1


def test_a_row_that_is_replaced_before_the_partitions_are_dropped(
    stores, questdb, filled, lines, tmp_path
):
    before = filled("partitions")
    note = Record.note

    def noted(self, entry, now, why=None):
        noted = note(self, entry, now, why)
        if now is State.ARCHIVED:
            lines(bar(LIMIT - timedelta(days=80)).replace("open=1.5", "open=2.5"))
        return noted

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Record, "note", noted)
        with pytest.raises(VerificationError, match="other values"):
            retention_apply.apply(stores, retention.plan(stores), tmp_path)
    finish(stores, tmp_path)
    check(questdb, tmp_path, "indicator_bars", before)
    last = retention_record.read(tmp_path / "retention.jsonl")[-1]
    assert 2.5 in parquet.read_table(tmp_path / last.archive)["open"].to_pylist()


@pytest.mark.parametrize("state", [State.BEGUN, State.ARCHIVED])
@pytest.mark.parametrize("kind", ["runs", "table"])
def test_rows_that_come_while_their_table_is_set_aside(
    stores, questdb, filled, lines, tmp_path, monkeypatch, kind, state
):
    before = filled(kind)
    late(monkeypatch, lines, kind, state)
    retention_apply.apply(stores, retention.plan(stores), tmp_path)
    entries = retention_record.read(tmp_path / "retention.jsonl")
    assert entries[-1].rows == 3 + (state is State.BEGUN)
    archived = content(parquet.read_table(tmp_path / entries[-1].archive))
    total = (standing(questdb, KINDS[kind][0]) + archived).total()
    assert total == before.total() + 1


def test_a_row_in_the_table_set_aside_stops_the_drop(
    stores, questdb, filled, tmp_path, monkeypatch
):
    before = filled("table")
    count = retention_apply._Work._count

    def one_more(self, table, ids):
        self.questdb.execute(f"INSERT INTO {table} (bar_index, timestamp) VALUES (9, '2025-01-01')")
        return count(self, table, ids)

    with monkeypatch.context() as patched:
        patched.setattr(retention_apply._Work, "_count", one_more)
        with pytest.raises(VerificationError, match="4 such rows now and not 3"):
            retention_apply.apply(stores, retention.plan(stores), tmp_path)
    finish(stores, tmp_path)
    before[(1_735_689_600_000_000, None)] += 1
    check(questdb, tmp_path, "btc_run1", before)


def test_one_run_a_pass(stores, questdb, lines, tmp_path, execute, monkeypatch):
    monkeypatch.setattr(retention, "PER_PASS", 1)
    old = [OLD_RUN, *(f"{i}3333333-1111-4111-8111-111111111111" for i in range(4))]
    dataset = execute("SELECT dataset_id FROM datasets")[0][0]
    for run in old[1:]:
        execute(
            "INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement, created_at)"
            " VALUES (%s, %s, %s, now() - make_interval(days => 300))",
            run, dataset, f"p{run[:2]}",
        )  # fmt: skip
    lines(*(prediction(run, i, NOW - timedelta(days=i)) for run in [*old, NEW_RUN] for i in (1, 2)))
    before = standing(questdb, "walkforward_predictions")
    for run in range(5):
        (gone,) = retention_apply.apply(stores, retention.plan(stores), tmp_path)
        assert (len(gone.runs), gone.rows) == (1, 2), run
    assert retention.plan(stores).empty
    check(questdb, tmp_path, "walkforward_predictions", before)
    assert len(list(tmp_path.glob("*.parquet"))) == 5
