"""Rows for both stores, and how to read all of them back."""

from contextlib import closing

import urllib3

from questdb_ddl import Client
from stage1_schema.connect import connect
from stage1_schema.ops import postgres_tools

MONTH_NS = 30 * 86_400 * 10**9
FIRST_NS = 1_700_000_000 * 10**9
RUNS = 7
BARS = 40


def bar(number, *, months=6):
    """An ILP line; numbers that follow each other are in different months: each is a merge."""
    at = FIRST_NS + (number % months) * MONTH_NS + number * 10**9
    tags = "dataset=a,source=s,granularity=4h"
    return f"indicator_bars,{tags} timestamp_unix={number}i,open={number}.5 {at}\n"


def send(url, numbers):
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", f"{url}/write", body="".join(map(bar, numbers)))
    assert answer.status == 204, answer.data


def series(url):
    """Return the numbers of the bars that stand, in order."""
    with Client(url) as client:
        client.wait_for("indicator_bars")
        found = client.query("select timestamp_unix n, open from indicator_bars order by n")
    assert all(row["open"] == row["n"] + 0.5 for row in found)
    return [row["n"] for row in found]


def contents(settings):
    """Return every row of every PostgreSQL table."""
    with closing(connect(settings)) as connection:
        return {
            name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}").fetchall()))
            for name in postgres_tools.count(connection)
        }


def insert_runs(settings, count):
    """Record runs of one dataset, as a client would."""
    dataset = "0f0e0d0c-0000-4000-8000-000000000001"
    with closing(connect(settings.postgres, autocommit=True)) as connection:
        connection.execute(
            "INSERT INTO datasets (dataset_id, dataset_slug, symbol, granularity)"
            " VALUES (%s, 'a', 'A', '4h') ON CONFLICT DO NOTHING",
            [dataset],
        )
        connection.execute(
            "INSERT INTO walkforward_runs (run_id, dataset_id, hyperparameters) SELECT"
            " gen_random_uuid(), %s, '{\"a\": 1}' FROM generate_series(1, %s)",
            [dataset, count],
        )
