"""The declared tables, the package's borders, and its docstrings."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

import questdb_ddl
from questdb_ddl import PartitionBy, Timestamp
from questdb_ddl.errors import DeclarationError
from questdb_ddl.tables import (
    RETENTION,
    SHARED_TABLES,
    dataset_tables,
    indicators_table,
    ohlcv_table,
    predictions_table,
    simulation_table,
)
from questdb_ddl.types import Symbol

ALL = (*SHARED_TABLES, *dataset_tables("BTC 4h"), predictions_table("p"), simulation_table("s"))
ROOT = Path(questdb_ddl.__file__).parent
MODULES = sorted(p.relative_to(ROOT.parent) for p in ROOT.rglob("*.py"))
SERVER = ("client", "introspect", "apply", "rebuild", "export")
"""Their examples want a server: tests/questdb/test_examples.py."""


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_every_table_is_monthly_with_a_wal_and_all_its_tags_as_keys(table):
    assert table.partition_by is PartitionBy.MONTH
    assert table.wal
    assert table.column("timestamp").type == Timestamp()
    tags = {column.name for column in table.columns if isinstance(column.type, Symbol)}
    assert {"timestamp", *tags} <= set(table.dedup_keys)
    assert all(c.type.capacity for c in table.columns if isinstance(c.type, Symbol))


def test_the_retention_policy_is_that_of_the_contract():
    policy = {name: (rule.days, rule.counted_from) for name, rule in RETENTION.items()}
    assert policy == {
        "indicator_bars": (730, "row"),
        "walkforward_predictions": (180, "run"),
        "trading_sim_traces": (365, "run"),
        "trading_sim_equity": (180, "run"),
    }
    assert all(table.ttl_months is None for table in SHARED_TABLES)


def test_the_pair_of_a_dataset():
    bars, indicators = dataset_tables("BTC/USDT 4h")
    assert (bars.name, indicators.name) == ("ohlcv_btc_usdt_4h", "indicators_btc_usdt_4h")
    assert [c.name for c in bars.columns] == [
        "timestamp", "Date", "Time", "open", "high", "low", "close", "volume",
    ]  # fmt: skip
    assert [c.name for c in indicators.columns] == ["timestamp", "dataset_id", "Date", "Time"]
    assert indicators.extensible
    assert not bars.extensible


def test_a_recorded_name_wins_and_indicators_can_be_declared_ahead():
    assert ohlcv_table("btc", name="btc_ohlcv").name == "btc_ohlcv"
    table = indicators_table("btc", name="btc_ind", indicators=["rsi", "ema"])
    assert [c.type.keyword for c in table.columns] == [
        "TIMESTAMP", "SYMBOL", "LONG", "LONG", "DOUBLE", "DOUBLE",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [lambda: ohlcv_table("--"), lambda: predictions_table("a/b"), lambda: ohlcv_table("é")],
    ids=["empty slug", "bad name", "no ASCII"],
)
def test_bad_names_are_refused(make):
    with pytest.raises(DeclarationError):
        make()


def imports(path):
    for node in ast.walk(ast.parse((ROOT.parent / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_go_one_way(path):
    found = set(imports(path))
    assert not any(
        name.split(".")[0] in {"stage1_schema", "alembic", "sqlalchemy"} for name in found
    )
    if path.stem in {
        "errors",
        "names",
        "types",
        "spec",
        "render",
        "diff",
        "plan",
        "shared",
        "dataset",
    }:
        servers = {"urllib3", *(f"questdb_ddl.{m}" for m in ("client", "introspect", "apply"))}
        assert not found & servers


@pytest.mark.parametrize("path", [p for p in MODULES if p.stem not in SERVER], ids=str)
def test_examples_in_docstrings(path):
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_docstrings_hold_examples():
    finder = doctest.DocTestFinder()
    assert any(test.examples for test in finder.find(questdb_ddl))


def test_everything_public_is_exported_in_order():
    assert questdb_ddl.__all__ == sorted(questdb_ddl.__all__)
    assert all(hasattr(questdb_ddl, name) for name in questdb_ddl.__all__)
