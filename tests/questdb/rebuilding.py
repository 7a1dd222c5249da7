"""What the tests of rebuilt tables share: the table of the field, and what it has to hold."""

from questdb_ddl import (
    Column,
    Double,
    Long,
    PartitionBy,
    Symbol,
    Table,
    Timestamp,
    live_tables,
)

JANUARY = 1_735_689_600_000
HOUR = 3_600_000
ROWS = 2000


def table_of(name):
    return Table(
        name,
        (Column("tag", Symbol(64)), Column("n", Long()), Column("value", Double())),
        dedup_keys=("timestamp", "tag"),
    )


def content(client, name):
    sums = "count() rows, count_distinct(timestamp) stamps, sum(n) n, round(sum(value), 0)::long v"
    return client.query(f"select {sums} from {name}")[0]


EXPECTED = {
    "rows": ROWS,
    "stamps": ROWS,
    "n": ROWS * (ROWS - 1) // 2,
    "v": ROWS * (ROWS - 1) // 2 + ROWS // 10,
}


def check_rebuilt(client, table, expected=EXPECTED):
    assert content(client, table.name) == expected
    live = live_tables(client, [table.name])[table.name.lower()]
    assert (live.partition_by, live.column("timestamp").type) == (PartitionBy.MONTH, Timestamp())
    assert set(live.dedup_keys) == {"timestamp", "tag"}
    left = [t for t in live_tables(client) if t.startswith(f"{table.name.lower()}__")]
    assert left == []


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""
