"""Taking a table out of use: empty ones go, others are kept under another name."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import urllib3

from questdb_ddl import (
    DeclarationError,
    PlanRefused,
    QueryError,
    RetireAction,
    Table,
    TableSuspended,
    drop,
    ensure_table,
    live_tables,
    retire,
    retired_name,
)
from questdb_ddl.dropping import dropping_name

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


class Killed(BaseException):
    pass


@pytest.fixture
def kill(client, monkeypatch):
    """Kill the tool before or after the statement that begins with `word`, once."""

    def kill(when, word, run):
        execute = client.execute

        def execute_and_die(sql):
            if when == "after":
                execute(sql)
            if sql.startswith(word):
                raise Killed
            if when == "before":
                execute(sql)

        with monkeypatch.context() as patch:
            patch.setattr(client, "execute", execute_and_die)
            with pytest.raises(Killed):
                run()

    return kill


def of(client, name):
    return {table for table in live_tables(client) if table.startswith(name)}


POINTS = [("before", "RENAME"), ("after", "RENAME"), ("before", "DROP"), ("after", "DROP")]


@pytest.mark.core
@pytest.mark.parametrize(("when", "word"), POINTS)
def test_a_drop_that_was_killed_is_finished_by_the_next(client, name, kill, when, word):
    ensure_table(client, Table(name, ()))
    client.execute(f"INSERT INTO {name} VALUES ('2025-01-01T00:00:00Z')")
    kill(when, word, lambda: drop(client, name))
    assert drop(client, name) is ((when, word) != ("after", "DROP"))
    assert of(client, name) == set()


@pytest.mark.core
@pytest.mark.parametrize(("when", "word"), POINTS)
def test_a_retirement_that_was_killed_is_finished_by_the_next(client, name, kill, when, word):
    ensure_table(client, Table(name, ()))
    kill(when, word, lambda: retire(client, name, NOW))
    gone = (when, word) == ("after", "DROP")
    assert retire(client, name, NOW).action is (
        RetireAction.ABSENT if gone else RetireAction.DROPPED
    )
    assert of(client, name) == set()


def test_rows_that_came_before_a_killed_retirement_renamed_are_kept(client, name, kill):
    ensure_table(client, Table(name, ()))
    kill("after", "RENAME", lambda: retire(client, name, NOW))
    client.execute(f"INSERT INTO {dropping_name(name)} VALUES ('2025-01-01T00:00:00Z')")
    ensure_table(client, Table(name, ()))
    client.execute(f"INSERT INTO {name} VALUES ('2025-01-02T00:00:00Z')")
    kept = retire(client, name, NOW).kept_as
    assert of(client, name) == {kept.lower(), retired_name(name, NOW).lower()}
    for table in of(client, name):
        assert client.query(f"select count() n from {table}") == [{"n": 1}]


def test_a_killed_drop_of_a_table_that_came_back_takes_both(client, name, kill):
    ensure_table(client, Table(name, ()))
    kill("after", "RENAME", lambda: drop(client, name))
    ensure_table(client, Table(name, ()))
    assert drop(client, name)
    assert of(client, name) == set()


@pytest.mark.core
@pytest.mark.parametrize("wal", ["WAL", "BYPASS WAL"])
@pytest.mark.parametrize("take", [drop, lambda client, name: retire(client, name, NOW)])
def test_a_table_of_somebodys_own_is_not_taken_for_a_leftover(client, name, take, wal):
    own = dropping_name(name)
    client.execute(
        f"CREATE TABLE {own} (timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY {wal}"
    )
    for standing in (False, True):
        if standing:
            ensure_table(client, Table(name, ()))
        with pytest.raises(PlanRefused, match="not put there by a drop"):
            take(client, name)
        assert own in live_tables(client, [own])
    assert name in live_tables(client, [name])


def test_long_names_do_not_share_a_leftover():
    made = {dropping_name("r" * 126 + end) for end in "ab"}
    assert {len(name) for name in made} == {127}
    assert len(made) == 2


@pytest.mark.core
@pytest.mark.parametrize("take", [drop, lambda client, name: retire(client, name, NOW)])
@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_views_are_dropped(client, name, kind, take):
    ensure_table(client, Table(name, ()))
    query = f"SELECT timestamp, count() n FROM {name} SAMPLE BY 1h"
    try:
        client.execute(f"CREATE {kind} {name}_v AS ({query})")
    except QueryError:
        pytest.skip(f"QuestDB {client.server_version()} has none")
    result = take(client, f"{name}_v")
    assert result is True or result.action is RetireAction.VIEW
    assert of(client, name) == {name}


def test_a_table_without_wal(client, name):
    create = f"CREATE TABLE {name} (timestamp TIMESTAMP) TIMESTAMP(timestamp)"
    client.execute(create)
    assert retire(client, name, NOW).action is RetireAction.DROPPED
    client.execute(create)
    assert drop(client, name)
    client.execute(create)
    client.execute(f"INSERT INTO {name} VALUES ('2025-01-01T00:00:00Z')")
    assert retire(client, name, NOW).rows == 1
