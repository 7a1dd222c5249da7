"""Exports: every type that can be compared, read back from the file."""

from contextlib import suppress

import pytest

from questdb_ddl import QuestDBDDLError, VerificationFailed, live_tables
from questdb_ddl.export import Held, export, read_parquet

ROWS = 2000
HOUR_US = 3_600_000_000
JANUARY_US = 1_735_689_600_000_000
COLUMNS = {
    "tag SYMBOL": "case when x % 3 = 0 then null else 't' || x % 3 end",
    "text VARCHAR": "'é' || x",
    "old STRING": "'s' || x % 7",
    "n LONG": "case when x = 5 then null else x * 1000000000000000 end",
    "i INT": "x::int",
    "s SHORT": "x::short",
    "b BYTE": "(x % 100)::byte",
    "v DOUBLE": "case when x = 4 then null else x / 3.0 end",
    "f FLOAT": "x / 7.0",
    "flag BOOLEAN": "x % 2 = 0",
    "day DATE": "x * 1000",
    "id UUID": "rnd_uuid4()",
    "empty DOUBLE": "null",
}


@pytest.fixture
def table(client, name):
    """A table of three months."""
    client.execute(
        f"CREATE TABLE {name} ({', '.join(COLUMNS)}, timestamp TIMESTAMP) TIMESTAMP(timestamp)"
        " PARTITION BY MONTH WAL"
    )
    client.execute(
        f"INSERT INTO {name} SELECT {', '.join(COLUMNS.values())},"
        f" dateadd('h', x::int, '2025-01-01') FROM long_sequence({ROWS})"
    )
    client.wait_for(name)
    return live_tables(client, [name])[name]


def test_a_parquet_file_holds_what_the_table_does(client, table, tmp_path):
    done = export(client, table.name, table.columns, tmp_path / "all.parquet")
    assert done.rows == ROWS
    held = done.columns
    assert held["tag"].values == ROWS - ROWS // 3
    assert held["text"].values == held["old"].values == ROWS
    total = sum(n * 10**15 for n in range(1, ROWS + 1) if n != 5)
    assert held["n"] == Held(ROWS - 1, 10**15, ROWS * 10**15, (total + 2**63) % 2**64 - 2**63)
    assert held["i"] == Held(ROWS, 1, ROWS, ROWS * (ROWS + 1) // 2)
    assert (held["v"].values, held["v"].low) == (ROWS - 1, 1 / 3)
    assert held["empty"] == Held(0)
    assert held["timestamp"].low == JANUARY_US + HOUR_US
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]


def test_a_condition_and_csv(client, table, tmp_path):
    where = "timestamp in '2025-02'"
    parquet = export(client, table.name, table.columns, tmp_path / "a.parquet", where=where)
    csv = export(client, table.name, table.columns, tmp_path / "a.csv.gz", where=where)
    assert parquet.rows == csv.rows == 28 * 24


def test_a_row_that_comes_during_the_export_is_noticed(client, table, tmp_path, monkeypatch):
    stream = client.stream

    def late(*arguments):
        yield from stream(*arguments)
        client.execute(f"INSERT INTO {table.name} (n, timestamp) VALUES (1, '2025-01-02')")
        client.wait_for(table.name)

    monkeypatch.setattr(client, "stream", late)
    for form in ("parquet", "csv.gz"):
        with pytest.raises(VerificationFailed, match=r"rows and not 2,00\d"):
            export(client, table.name, table.columns, tmp_path / f"a.{form}")
        assert not (tmp_path / f"a.{form}").exists()


@pytest.mark.parametrize("broken", ["cut", "flipped", "no Parquet"])
def test_a_broken_file_is_refused(client, table, tmp_path, broken):
    path = export(client, table.name, table.columns, tmp_path / "a.parquet").path
    data = bytearray(path.read_bytes())
    if broken == "cut":
        del data[-100:]
    elif broken == "flipped":
        data[len(data) // 2] ^= 0xFF
    else:
        data = b"timestamp\n"
    path.write_bytes(data)
    whole = export(client, table.name, table.columns, tmp_path / "b.parquet")
    if broken == "flipped":  # a bit inside the data may also show in the values only
        with suppress(QuestDBDDLError):
            assert read_parquet(path).columns != whole.columns
    else:
        with pytest.raises(QuestDBDDLError, match="is not Parquet or is cut"):
            read_parquet(path)
