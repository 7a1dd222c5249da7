"""`dataset create` and `dataset drop`, killed before and after every statement of both stores."""

import json
import re

import pytest
from sqlalchemy.engine.default import DefaultDialect

from questdb_ddl import Client, live_tables
from questdb_ddl.render import drop_table
from stage1_schema.ops import dropping, registration, registration_drop
from stage1_schema.ops.registration import Attributes

pytestmark = pytest.mark.slow

BTC = Attributes(symbol="BTCUSDT", granularity="4h")
RUN_ID = "11111111-1111-4111-8111-111111111111"
SHARED = "indicator_bars"


class Killed(BaseException):
    pass


@pytest.fixture
def watched(monkeypatch):
    """Run something and return its statements; it is killed before or after one of them."""

    def watched(run, number=None, when=None):
        told = []

        def dying(execute, sql_of):
            def wrapped(*arguments, **named):
                told.append(sql_of(*arguments))
                here = len(told) - 1 == number
                if here and when == "before":
                    raise Killed
                result = execute(*arguments, **named)
                if here:
                    raise Killed
                return result

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(Client, "execute", dying(Client.execute, lambda _, sql: sql))
            execute = dying(DefaultDialect.do_execute, lambda *given: given[2])
            patch.setattr(DefaultDialect, "do_execute", execute)
            commit = dying(DefaultDialect.do_commit, lambda *_: "COMMIT")
            patch.setattr(DefaultDialect, "do_commit", commit)
            try:
                run()
            except Killed:
                assert number is not None
            else:
                assert number is None
        return told

    return watched


@pytest.fixture
def state(questdb, execute, tmp_path):
    """Everything that stands in both stores and in the kept files, without what is always new."""

    def state():
        identity = next(iter(execute("SELECT dataset_id::text FROM datasets")), ("none",))[0]
        records = {
            table: [
                {k: v for k, v in row.items() if k not in {"created_at", "updated_at"}}
                for (row,) in execute(f"SELECT to_jsonb(t) FROM {table} t ORDER BY 1")
            ]
            for table in registration_drop.RECORDS
        }
        tables = {
            name.partition("_retired_")[0] + "_retired" * ("_retired_" in name): (
                {k: v for k, v in table.structure().items() if k != "name"},
                questdb.query(f"select * from {name}"),
            )
            for name, table in sorted(live_tables(questdb).items())
        }
        kept = [
            sorted(json.loads(line)["table"] for line in path.read_text().splitlines())
            for path in sorted(tmp_path.iterdir())
        ]
        return json.loads(json.dumps([records, tables, kept]).replace(identity, "DATASET"))

    return state


@pytest.fixture
def clear(questdb, execute, tmp_path):
    """Bring both stores back to the shared tables alone."""

    def clear():
        execute("TRUNCATE datasets CASCADE")
        for name, table in live_tables(questdb).items():
            if "btc" in name:
                questdb.execute(drop_table(name))
            for indicator in ("rsi", "ema"):
                if name == SHARED and table.column(indicator):
                    questdb.execute(f"ALTER TABLE {SHARED} DROP COLUMN {indicator}")
                    questdb.wait_for(SHARED)
        for path in tmp_path.iterdir():
            path.unlink()

    return clear


def converges(watched, state, clear, prepare, run):
    """Kill `run` everywhere, run it once more, compare with the undisturbed; return statements."""
    prepare()
    statements = watched(run)
    expected = state()
    reads = [sql.lstrip().startswith("SELECT") for sql in statements]
    points = [
        (number, when)
        for number, read in enumerate(reads)
        for when in ("before", "after")
        # Between two reads, or a read and what follows it, nothing changes.
        if not (read and (when == "after" or (number and reads[number - 1])))
    ]
    for number, when in points:
        clear()
        prepare()
        watched(run, number, when)
        run()
        assert state() == expected, f"killed {when} {statements[number]}"
    return " ".join(statements)


def test_create(stores, questdb, execute, lines, watched, state, clear):
    def create():
        registration.create(stores, "btc", BTC, ["rsi"])

    def nothing_but_what_stands():
        for bars, indicators in execute(
            "SELECT ohlcv_measurement, indicator_measurement FROM datasets"
        ):
            assert {bars, indicators} <= set(live_tables(questdb))

    def create_checked():
        nothing_but_what_stands()
        create()

    statements = converges(watched, state, clear, lambda: None, create_checked)
    assert re.findall("INSERT|CREATE|ADD COLUMN|COMMIT", statements) == [
        "INSERT", "CREATE", "CREATE", "ADD COLUMN", "COMMIT",
    ]  # fmt: skip


def test_create_of_more_indicators(stores, lines, watched, state, clear):
    def prepare():
        registration.create(stores, "btc", BTC)
        lines("indicators_btc ema=1.5 1735689600000000000")

    def create():
        registration.create(stores, "btc", Attributes(source="csv"), ["rsi", "ema"])

    statements = converges(watched, state, clear, prepare, create)
    assert statements.count("ADD COLUMN") == 3


@pytest.mark.parametrize("keep", [True, False], ids=["keep", "for good"])
def test_drop(stores, questdb, execute, lines, tmp_path, monkeypatch, watched, state, clear, keep):
    monkeypatch.setattr(dropping, "_came_back", lambda *_: ())

    def prepare():
        intent, _ = registration.create(stores, "btc", BTC)
        execute(
            "INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement)"
            " VALUES (%s, %s, 'btc_run1')",
            RUN_ID, intent.dataset_id,
        )  # fmt: skip
        execute("INSERT INTO walkforward_folds (run_id, fold_number) VALUES (%s, 0)", RUN_ID)
        lines(
            "ohlcv_btc Date=1i,open=1.5 1735689600000000000",
            "btc_run1 bar_index=1i,fold_number=0i,prediction=0.5 1735689600000000000",
        )

    def drop():
        if execute("SELECT count(*) FROM datasets") == [(1,)]:  # not killed after the last commit
            intent = registration_drop.plan_drop(stores, "btc")
            registration_drop.drop(stores, intent, keep=keep, directory=tmp_path)

    statements = converges(watched, state, clear, prepare, drop)
    assert statements.count("RENAME TABLE") == 3
    tables = {name for name in live_tables(questdb) if "btc" in name}
    assert len(tables) == (2 if keep else 0)
