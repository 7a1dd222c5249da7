"""Rendered DDL against goldens; `--update-golden` rewrites them."""

from pathlib import Path

import pytest

from questdb_ddl import render, types
from questdb_ddl.errors import DeclarationError
from questdb_ddl.spec import Column, PartitionBy, Table
from questdb_ddl.tables import (
    SHARED_TABLES,
    indicators_table,
    ohlcv_table,
    predictions_table,
    simulation_table,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "questdb"

EVERYTHING = Table(
    "every clause",
    (
        *(Column(f"c_{simple.__name__}", simple()) for simple in types.SIMPLE_TYPES),
        Column("symbol", types.Symbol(4096, cache=False, index=True, index_capacity=512)),
        Column("geohash", types.Geohash(20)),
        Column("decimal", types.Decimal(18, 4)),
        Column("array", types.Array(2)),
    ),
    designated_timestamp="ts",
    partition_by=PartitionBy.WEEK,
    ttl_months=24,
    max_uncommitted_rows=1000,
    o3_max_lag_ms=5000,
    dedup_keys=("ts", "symbol"),
)
UNPARTITIONED = Table("plain", (), partition_by=PartitionBy.NONE, wal=False)

STATEMENTS = [
    render.add_column("t", Column("Date", types.Long())),
    render.alter_column_type("t", "a", types.Symbol(64)),
    render.alter_column_type("t", "a b", types.Varchar()),
    render.symbol_capacity("t", "a", 4096),
    *render.symbol_cache("t", "a", cache=True),
    *render.symbol_cache("t", "a", cache=False),
    render.add_index("t", "a"),
    render.add_index("t", "a", 512),
    render.drop_index("t", "a"),
    render.rename_column("t", "a", "b"),
    render.drop_column("t", "a"),
    render.set_ttl("t", 24),
    render.set_ttl("t", None),
    render.dedup_enable("t", ("timestamp", "a")),
    render.dedup_disable("t"),
    render.set_max_uncommitted_rows("t", 1000),
    render.set_o3_max_lag("t", 5000),
    render.resume_wal("t"),
    render.rename_table("t", "u-v"),
    render.drop_table("t"),
]
TABLES = (
    *SHARED_TABLES,
    ohlcv_table("btc25_4h"),
    indicators_table("btc25_4h", indicators=["rsi_14"]),
    predictions_table("btc25_4h_wf1735689600"),
    simulation_table("base_sim1"),
    EVERYTHING,
    UNPARTITIONED,
)


@pytest.mark.parametrize(
    ("name", "statements"),
    [("tables.sql", [render.create_table(t) for t in TABLES]), ("statements.sql", STATEMENTS)],
    ids=["tables", "statements"],
)
def test_rendered_ddl_is_the_golden(name, statements, request):
    rendered = "".join(f"{statement};\n" for statement in statements)
    path = GOLDEN / name
    if request.config.getoption("--update-golden"):
        path.write_text(rendered, encoding="utf-8")
    assert rendered == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "make",
    [
        render.drop_table,
        lambda bad: render.drop_column("t", bad),
        lambda bad: render.alter_column_type("t", bad, types.Long()),
        lambda bad: render.dedup_enable("t", [bad]),
        lambda bad: render.rename_table("t", bad),
    ],
    ids=["table", "column", "bare column", "key", "new name"],
)
def test_a_name_cannot_break_out_of_its_quotes(make):
    with pytest.raises(DeclarationError):
        make('x"; DROP TABLE y; --')
