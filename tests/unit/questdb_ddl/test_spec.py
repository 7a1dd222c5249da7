"""Declarations: what fails at construction, plain data and back, live tables."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from questdb_ddl import types
from questdb_ddl.errors import DeclarationError
from questdb_ddl.spec import (
    Column,
    Kind,
    LiveColumn,
    LiveTable,
    PartitionBy,
    Table,
    check_distinct,
)
from questdb_ddl.tables import INDICATOR_BARS, SHARED_TABLES

DOUBLE = types.Double()


def test_the_designated_timestamp_is_put_first_when_it_is_not_declared():
    table = Table("t", (Column("a", DOUBLE),))
    assert [c.name for c in table.columns] == ["timestamp", "a"]
    assert table.columns[0].type == types.Timestamp()


def test_a_declared_one_keeps_its_place_and_its_spelling():
    columns = (Column("a", DOUBLE), Column("Ts", types.TimestampNs()))
    table = Table("t", columns, designated_timestamp="ts", dedup_keys=("TS", "A"))
    assert table.columns == columns
    assert table.designated_timestamp == "Ts"
    assert table.dedup_keys == ("Ts", "a")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "a/b"}, "contains '/'"),
        ({"columns": (Column("a", DOUBLE), Column("A", DOUBLE))}, "has the column a twice"),
        ({"columns": (Column("timestamp", types.Date()),)}, "timestamp timestamp of type DATE"),
        ({"partition_by": "FORTNIGHT"}, "partitioned by 'FORTNIGHT'"),
        ({"partition_by": PartitionBy.NONE}, "WAL without partitions"),
        ({"partition_by": PartitionBy.NONE, "wal": False, "ttl_months": 1}, "TTL without"),
        ({"ttl_months": 0}, "TTL of 0 months"),
        ({"ttl_months": 12000}, "TTL of 12000 months"),
        ({"partition_by": PartitionBy.YEAR, "ttl_months": 18}, "no whole year"),
        ({"max_uncommitted_rows": 0}, "max_uncommitted_rows=0"),
        ({"o3_max_lag_ms": -1}, "o3_max_lag_ms=-1"),
        ({"o3_max_lag_ms": 2**31}, "between 1 and 2147483647"),
        ({"max_uncommitted_rows": 2**31}, "between 1 and 2147483647"),
        ({"dedup_keys": ("timestamp", "b")}, "no column b"),
        ({"dedup_keys": ("a",)}, "leaves the designated timestamp out"),
        ({"dedup_keys": ("timestamp", "a", "A")}, "deduplication key A twice"),
        ({"dedup_keys": ("timestamp",), "wal": False}, "without a WAL"),
        (
            {"columns": (Column("v", types.Array()),), "dedup_keys": ("timestamp", "v")},
            "has the array v as a deduplication key",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_wrong_declaration_fails_at_construction(change, says):
    with pytest.raises(DeclarationError, match=says):
        Table(**{"name": "t", "columns": (Column("a", DOUBLE),), **change})


@pytest.mark.parametrize("name", ["a.b", ""])
def test_a_wrong_column_fails_too(name):
    with pytest.raises(DeclarationError):
        Column(name, DOUBLE)


def test_a_type_in_text_is_none():
    with pytest.raises(DeclarationError, match="has 'DOUBLE' for a type; parse_type"):
        Column("a", "DOUBLE")


def test_an_unknown_type_cannot_be_declared():
    with pytest.raises(DeclarationError, match="unknown type HYPERLOGLOG"):
        Column("a", types.Other("HYPERLOGLOG"))


def test_names_that_questdb_takes_for_one_are_noticed():
    table = Table("Bars", ())
    assert check_distinct([table]) == (table,)
    for other in ("bars", "Bars"):
        with pytest.raises(DeclarationError, match="are one for QuestDB"):
            check_distinct([table, table.renamed(other)])


NAMES = st.text("abcXYZ_19", min_size=1, max_size=12)
COLUMN_TYPES = st.sampled_from(
    [types.Long(), DOUBLE, types.Symbol(64, index=True), types.Geohash(7), types.Decimal(9, 2)]
)


@st.composite
def tables(draw):
    names = draw(st.lists(NAMES, max_size=5, unique_by=str.lower))
    columns = tuple(Column(name, draw(COLUMN_TYPES)) for name in names)
    keys = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    return Table(
        draw(NAMES),
        columns,
        designated_timestamp="ts_",
        partition_by=draw(st.sampled_from([p for p in PartitionBy if p is not PartitionBy.NONE])),
        ttl_months=draw(st.none() | st.integers(1, 99).map(lambda years: years * 12)),
        max_uncommitted_rows=draw(st.none() | st.integers(1, 10**6)),
        o3_max_lag_ms=draw(st.none() | st.integers(1, 10**6)),
        dedup_keys=draw(st.sampled_from([(), ("ts_", *keys)])),
        extensible=draw(st.booleans()),
    )


@given(tables())
def test_plain_data_and_back(table):
    data = table.to_data()
    assert Table.from_data(json.loads(json.dumps(data))) == table
    assert Table.from_data({**data, "columns": dict(data["columns"])}) == table


@pytest.mark.parametrize("table", SHARED_TABLES, ids=lambda table: table.name)
def test_plain_data_of_the_declared_tables(table):
    assert Table.from_data(table.to_data()) == table


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"name": "t"}, r"lacks \['columns'\]"),
        ({"columns": {}}, r"lacks \['name'\]"),
        ({"name": "t", "columns": [], "ttl": 3}, r"unknown keys \['ttl'\]"),
        ({"name": "t", "columns": ["a"]}, "not pairs of name and type"),
        ({"name": "t", "columns": [["a", 5]]}, "not pairs of name and type"),
        ({"name": "t", "columns": [["a", "TEXT"]]}, "type 'TEXT' is not one of"),
        ({"name": "t", "columns": [], "ttl_months": "24"}, "t has a wrong value"),
        ({"name": "t", "columns": [], "dedup_keys": 1}, "t has a wrong value"),
    ],
)
def test_wrong_data_is_refused(data, says):
    with pytest.raises(DeclarationError, match=says):
        Table.from_data(data)


def live(**changes):
    columns = tuple(LiveColumn(c.name, c.type) for c in INDICATOR_BARS.columns)
    facts = {
        "columns": columns,
        "designated_timestamp": "timestamp",
        "partition_by": PartitionBy.MONTH,
        "wal": True,
        "dedup_keys": INDICATOR_BARS.dedup_keys,
    }
    return LiveTable("indicator_bars", **{**facts, **changes})


@pytest.mark.parametrize(
    ("value", "unit", "months", "text"),
    [
        (0, "HOUR", None, "none"),
        (2, "YEAR", 24, "24 MONTHS"),
        (18, "MONTH", 18, "18 MONTHS"),
        (1000, "YEAR", None, "none"),
        (2, "WEEK", None, "2 WEEKS"),
        (36, "HOUR", None, "36 HOURS"),
    ],
)
def test_ttl_is_normalised(value, unit, months, text):
    table = live(ttl_value=value, ttl_unit=unit)
    assert (table.ttl_months, table.ttl_text) == (months, text)


def test_a_live_table_becomes_its_declaration():
    table = live(ttl_value=2, ttl_unit="YEAR").to_table()
    assert table.columns == INDICATOR_BARS.columns
    assert (table.ttl_months, table.dedup_keys) == (24, INDICATOR_BARS.dedup_keys)


@pytest.mark.parametrize(
    "change",
    [
        {"designated_timestamp": None},
        {"kind": Kind.VIEW},
        {"ttl_value": 36},
        {"columns": (LiveColumn("x", types.Other("NEW")),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_declared_says_so(change):
    with pytest.raises(DeclarationError):
        live(**change).to_table()
