"""Comparison of declared and live tables, one difference at a time."""

from dataclasses import replace

import pytest

from questdb_ddl.diff import DifferenceKind, compare, compare_all
from questdb_ddl.spec import Column, Kind, LiveColumn, LiveTable, PartitionBy, Table
from questdb_ddl.types import Double, Long, Symbol, Timestamp, TimestampNs

TABLE = Table(
    "Bars",
    (Column("tag", Symbol(300)), Column("value", Double())),
    ttl_months=24,
    dedup_keys=("timestamp", "tag"),
)
COLUMNS = (
    LiveColumn("VALUE", Double()),
    LiveColumn("tag", Symbol(512)),
    LiveColumn("timestamp", Timestamp()),
)
LIVE = LiveTable(
    "bars",
    COLUMNS,
    designated_timestamp="timestamp",
    partition_by=PartitionBy.MONTH,
    ttl_value=2,
    ttl_unit="YEAR",
    wal=True,
    max_uncommitted_rows=500000,
    o3_max_lag_ms=600000,
    dedup_keys=("tag", "timestamp"),
    has_parquet=False,
)


def column(name, new):
    return tuple(LiveColumn(name, new) if c.name == name else c for c in COLUMNS)


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"partition_by": PartitionBy.DAY}, ["partitioning"]),
        ({"dedup_keys": ()}, ["deduplication keys"]),
        ({"dedup_keys": ("timestamp",)}, ["deduplication keys"]),
        ({"wal": False}, ["WAL"]),
        ({"ttl_value": 0, "ttl_unit": "HOUR"}, ["TTL"]),
        ({"ttl_value": 1}, ["TTL"]),
        ({"designated_timestamp": None}, ["designated timestamp"]),
        ({"columns": column("timestamp", TimestampNs())}, ["designated timestamp"]),
        ({"columns": column("VALUE", Long())}, ["column type"]),
        ({"columns": column("tag", Symbol(256))}, ["symbol capacity"]),
        ({"columns": column("tag", Symbol(8192))}, []),
        ({"columns": column("tag", Symbol(512, cache=False))}, ["symbol cache"]),
        ({"columns": column("tag", Symbol(512, index=True))}, ["symbol index"]),
        ({"columns": COLUMNS[:-1]}, ["missing column"]),
        ({"columns": (*COLUMNS, LiveColumn("more", Long()))}, ["extra column"]),
        ({"kind": Kind.MATERIALIZED_VIEW}, ["not a table"]),
        ({"max_uncommitted_rows": 1}, []),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else "+".join(value) or "equal",
)
def test_each_difference_is_found_and_nothing_else(changes, kinds):
    result = compare(TABLE, replace(LIVE, **changes))
    assert [d.kind for d in result.differences] == kinds
    assert result.equal is (not kinds)


def test_a_missing_table():
    (difference,) = compare(TABLE, None).differences
    assert difference.kind is DifferenceKind.MISSING_TABLE


def test_a_suspended_table_is_skipped_with_the_remedy():
    result = compare(TABLE, replace(LIVE, remedy='ALTER TABLE "bars" RESUME WAL'))
    assert not result.equal
    assert not result.differences
    assert 'ALTER TABLE "bars" RESUME WAL' in str(result)


def test_columns_of_a_writer_are_no_drift_in_an_extensible_table():
    more = replace(LIVE, columns=(*COLUMNS, LiveColumn("rsi", Double())))
    assert compare(replace(TABLE, extensible=True), more).equal


def test_parameters_are_compared_where_they_are_declared():
    declared = replace(TABLE, max_uncommitted_rows=1000, o3_max_lag_ms=5000)
    assert [d.kind for d in compare(declared, LIVE).differences] == [
        DifferenceKind.MAX_UNCOMMITTED_ROWS,
        DifferenceKind.O3_MAX_LAG,
    ]


def test_index_blocks_are_compared_where_they_are_declared():
    live = replace(LIVE, columns=column("tag", Symbol(512, index=True, index_capacity=256)))
    for block, equal in ((None, True), (200, True), (512, False)):
        symbol = Symbol(300, index=True, index_capacity=block)
        table = replace(TABLE, columns=(Column("tag", symbol), *TABLE.columns[-1:]))
        assert compare(table, live).equal is equal


def test_a_difference_is_one_line_that_names_both_sides():
    (difference,) = compare(TABLE, replace(LIVE, columns=column("VALUE", Long()))).differences
    assert str(difference) == "Bars.value: column type: declared DOUBLE, live LONG"


def test_tables_are_found_in_any_letter_case():
    first, second = compare_all([TABLE, TABLE.renamed("other")], {"bars": LIVE})
    assert first.equal
    assert not second.equal
