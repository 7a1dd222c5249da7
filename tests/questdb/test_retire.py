"""Taking a table out of use: empty ones go, others are kept under another name."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import urllib3

from questdb_ddl import (
    DeclarationError,
    RetireAction,
    Table,
    TableSuspended,
    drop,
    ensure_table,
    live_tables,
    retire,
    retired_name,
)

NOW = datetime(2025, 3, 1, 12, 30, 15, tzinfo=UTC)


def test_nothing_there(client, name):
    assert retire(client, name, NOW).action is RetireAction.ABSENT


def test_an_empty_table_is_dropped(client, name):
    ensure_table(client, Table(name, ()))
    assert retire(client, name, NOW).action is RetireAction.DROPPED
    assert not [table for table in live_tables(client) if table.startswith(name)]


def test_rows_are_kept_under_another_name_and_a_second_time_does_nothing(client, name):
    ensure_table(client, Table(name, ()))
    client.execute(f"INSERT INTO {name} VALUES ('2025-01-01T00:00:00Z')")
    result = retire(client, name.upper(), NOW)
    kept = f"{name}_retired_20250301T123015Z"
    assert (result.table, result.action) == (name, RetireAction.RENAMED)
    assert (result.kept_as, result.rows) == (kept, 1)
    assert retire(client, name, NOW).action is RetireAction.ABSENT
    assert client.query(f"select count() n from {kept}") == [{"n": 1}]


def test_a_suspended_table_is_left_alone(client, name, suspend):
    suspend(name)
    with pytest.raises(TableSuspended):
        retire(client, name, NOW)
    assert name in live_tables(client, [name])


def test_a_long_name_is_cut_so_that_the_new_one_fits(client):
    name = "r" * 127
    ensure_table(client, Table(name, ()))
    client.execute(f"INSERT INTO {name} VALUES ('2025-01-01T00:00:00Z')")
    kept = retire(client, name, NOW).kept_as
    assert len(kept) == 127
    assert kept.lower() in live_tables(client, [kept])
    client.execute(f"DROP TABLE {kept}")


def test_the_time_is_utc():
    berlin = NOW.astimezone(timezone(timedelta(hours=1)))
    assert retired_name("t", berlin) == "t_retired_20250301T123015Z"
    with pytest.raises(DeclarationError, match="no time zone"):
        retired_name("t", NOW.replace(tzinfo=None))


def test_drop_leaves_no_open_connection_behind(client, name):
    with urllib3.PoolManager() as pool:
        for number in range(4):
            ensure_table(client, Table(name, ()))
            answer = pool.request("POST", f"{client.url}/write", body=f"{name} n={number}i\n")
            assert answer.status == 204
            client.wait_for(name)
            assert client.query(f"select n from {name}") == [{"n": number}]
            assert drop(client, name)
    assert not drop(client, name)
