"""Types on a server: every one can be declared, and widening keeps every value."""

from decimal import Decimal as Exact

import pytest

from questdb_ddl import (
    Column,
    PartitionBy,
    Table,
    compare,
    ensure_table,
    is_widening,
    live_tables,
    parse_type,
    types,
)
from questdb_ddl.render import alter_column_type

EXTREMES = {
    "BYTE": "-128",
    "SHORT": "-32768",
    "INT": "2147483647",
    "FLOAT": "1.1f",
    "CHAR": "'ä'",
    "SYMBOL": "'größe'",
    "STRING": "'größe'",
    "VARCHAR": "'größe'",
    "UUID": "'11111111-1111-1111-1111-111111111111'",
    "IPV4": "'1.2.3.4'",
    "DECIMAL(10,2)": "12345678.91m",
    "LONG": "9223372036854775807",
    "DOUBLE": "1.7e308",
    "DATE": "'2300-01-01T00:00:00.123Z'",
    "TIMESTAMP": "'2300-01-01T00:00:00.123456Z'",
    "TIMESTAMP_NS": "'2025-01-01T00:00:00.123456789Z'",
}
TARGETS = [*EXTREMES, "DECIMAL(20,0)", "DECIMAL(18,4)", "DECIMAL(5,2)"]
PAIRS = [(old, new) for old in EXTREMES for new in TARGETS if old != new]
WIDENING = [pair for pair in PAIRS if is_widening(*map(parse_type, pair))]
LOSSY = [
    ("SHORT", "BYTE"),
    ("INT", "SHORT"),
    ("INT", "FLOAT"),
    ("LONG", "INT"),
    ("LONG", "DOUBLE"),
    ("DOUBLE", "FLOAT"),
    ("DOUBLE", "LONG"),
    ("VARCHAR", "LONG"),
    ("DATE", "TIMESTAMP_NS"),
    ("TIMESTAMP", "DATE"),
    ("TIMESTAMP_NS", "TIMESTAMP"),
]


def converted(client, name, pairs):
    """Return the values before and after ALTER COLUMN … TYPE, one column for each pair."""
    columns = ", ".join(f"c{n} {old}" for n, (old, _) in enumerate(pairs))
    client.execute(
        f"CREATE TABLE {name} ({columns}, ts TIMESTAMP) TIMESTAMP(ts) PARTITION BY DAY WAL"
    )
    values = ", ".join(EXTREMES[old] for old, _ in pairs)
    client.execute(f"INSERT INTO {name} VALUES ({values}, '2025-01-01T00:00:00Z')")
    client.wait_for(name)
    (before,) = client.query(f"select * from {name}")
    for n, (_, new) in enumerate(pairs):
        client.execute(alter_column_type(name, f"c{n}", parse_type(new)))
    client.wait_for(name)
    (after,) = client.query(f"select * from {name}")
    return [(before[f"c{n}"], after[f"c{n}"]) for n in range(len(pairs))]


def same(before, after):
    if isinstance(before, int | float) and after is not None:
        return Exact(str(before)) == Exact(str(after)) or pytest.approx(before, rel=1e-7) == after
    try:
        return Exact(before) == Exact(after)
    except (ArithmeticError, TypeError, ValueError):
        return before == after


def test_widening_keeps_values(client, name):
    assert len(WIDENING) > 30
    results = zip(WIDENING, converted(client, name, WIDENING), strict=True)
    assert [pair for pair, values in results if not same(*values)] == []


def test_what_is_not_widening_loses_without_a_word(client, name):
    assert not [pair for pair in LOSSY if is_widening(*map(parse_type, pair))]
    results = zip(LOSSY, converted(client, name, LOSSY), strict=True)
    assert [pair for pair, (before, after) in results if repr(before) == repr(after)] == []


def test_every_type_and_every_clause_reads_back_as_declared(client, name):
    columns = [Column(f"c_{simple.__name__}", simple()) for simple in types.SIMPLE_TYPES]
    columns += [
        Column("plain", types.Symbol()),
        Column("symbol", types.Symbol(300, cache=False, index=True, index_capacity=300)),
        Column("characters", types.Geohash(20)),
        Column("bits", types.Geohash(7)),
        Column("decimal", types.Decimal(18, 4)),
        Column("array", types.Array(3)),
    ]
    table = Table(
        name,
        tuple(columns),
        designated_timestamp="ts",
        partition_by=PartitionBy.WEEK,
        ttl_months=24,
        max_uncommitted_rows=1000,
        o3_max_lag_ms=5000,
        dedup_keys=("ts", "symbol", "c_Double"),
    )
    ensure_table(client, table)
    live = live_tables(client, [name])[name]
    assert compare(table, live).equal
    assert [(c.name, str(c.type)) for c in live.columns[:-6]] == [
        (c.name, str(c.type)) for c in table.columns[:-6]
    ]
    assert str(live.column("symbol").type) == "SYMBOL CAPACITY 512 NOCACHE INDEX CAPACITY 512"
    assert live.ttl_months == 24
    assert compare(live.to_table(), live).equal


@pytest.mark.parametrize("partition_by", PartitionBy)
def test_every_partitioning(client, name, partition_by):
    partitioned = partition_by is not PartitionBy.NONE
    ttl = 12 if partitioned else None
    table = Table(name, (), partition_by=partition_by, wal=partitioned, ttl_months=ttl)
    ensure_table(client, table)
    assert live_tables(client, [name])[name].partition_by is partition_by
