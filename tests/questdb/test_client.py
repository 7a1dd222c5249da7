"""The client on real servers: rows, errors, logins, suspended tables."""

import threading

import pytest
import urllib3

from questdb_ddl import AuthenticationFailed, Client, QueryError


def test_rows_come_as_dicts(client):
    rows = client.query("select x, x * 0.5 half, null nothing from long_sequence(2)")
    assert rows == [{"x": 1, "half": 0.5, "nothing": None}, {"x": 2, "half": 1.0, "nothing": None}]
    assert client.query("select 1 x from long_sequence(0)") == []


def test_the_version(client):
    assert client.server_version() == "9.3.4"


def test_one_connection_is_kept(client):
    before = client._pool.num_connections
    for _ in range(5):
        client.query("select 1")
    assert client._pool.num_connections == max(before, 1)


@pytest.mark.parametrize(
    ("sql", "says", "position"),
    [
        ("selec 1", "table does not exist", 0),
        ("DROP TABLE no_such_table", "table does not exist", 11),
        ("CREATE TABLE x (a BLOB)", "unsupported column type", 18),
    ],
)
def test_a_refused_statement(client, sql, says, position):
    with pytest.raises(QueryError) as caught:
        client.execute(sql)
    error = caught.value
    assert (error.sql, error.position) == (sql, position)
    assert says in error.message
    assert sql in str(error)
    assert "\n" not in str(error)


def test_a_long_statement_is_cut_in_the_message(client):
    with pytest.raises(QueryError) as caught:
        client.query("selec\n" + "1, " * 1000)
    assert len(str(caught.value)) < 500


def test_an_error_that_comes_with_http_200(client, name, suspend):
    suspend(name)
    sql = f"select wait_wal_table('{name}')"
    answer = urllib3.request("GET", f"{client.url}/exec", fields={"query": sql})
    assert answer.status == 200
    assert "error" in answer.json()
    with pytest.raises(QueryError, match="suspended"):
        client.query(sql)


def test_waiting_for_a_suspended_table_names_the_remedy(name, suspend):
    error = suspend(name)
    assert error.table == name
    assert "column conversion failed" in str(error)
    assert f'ALTER TABLE "{name}" RESUME WAL' in str(error)


@pytest.mark.parametrize("wal", ["WAL", "BYPASS WAL"])
def test_waiting(client, name, wal):
    client.execute(
        f"CREATE TABLE {name} (a INT, ts TIMESTAMP) TIMESTAMP(ts) PARTITION BY DAY {wal}"
    )
    client.execute(f"INSERT INTO {name} VALUES (1, '2025-01-01T00:00:00Z')")
    client.wait_for(name.upper())
    assert client.query(f"select count() n from {name}") == [{"n": 1}]


def test_waiting_for_nothing(client):
    with pytest.raises(QueryError, match="does not exist"):
        client.wait_for("no_such_table")


@pytest.mark.parametrize(
    ("user", "password"), [(None, None), ("writer", "wrong-one"), ("nobody", "geheim")]
)
def test_a_refused_login_shows_no_password(other_server, user, password):
    with Client(other_server.url, user=user, password=password) as client:
        with pytest.raises(AuthenticationFailed) as caught:
            client.query("select 1")
        text = f"{caught.value!r} {client!r}"
    assert "wrong-one" not in text
    assert "geheim" not in text


def test_a_login_in_the_address(other_server):
    url = other_server.url.replace("://", "://writer:geheim%E5%AF%86@")
    with Client(url) as client:
        assert client.query("select 1 x") == [{"x": 1}]
        assert "geheim" not in repr(client)


def test_a_statement_that_new_columns_overtake_goes_again(client, name):
    """Without it some fifty of three hundred fail; none is carried out twice."""
    client.execute(
        f"CREATE TABLE {name} (n LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp)"
        " PARTITION BY MONTH WAL"
    )
    done = threading.Event()

    def widen():
        with Client(client.url) as other:
            for number in range(1000):
                if done.is_set():
                    return
                other.execute(f"ALTER TABLE {name} ADD COLUMN c{number} LONG")

    writer = threading.Thread(target=widen)
    writer.start()
    try:
        for _ in range(150):
            client.execute(
                f"INSERT INTO {name} (n, timestamp) SELECT x, dateadd('d', x::int, '2025-01-01')"
                " FROM long_sequence(10)"
            )
            client.query(f"select * from {name} limit 1")
    finally:
        done.set()
        writer.join()
    client.wait_for(name)
    assert client.query(f"select count() rows from {name}") == [{"rows": 1500}]
