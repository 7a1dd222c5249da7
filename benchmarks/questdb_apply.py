"""1,000 datasets: apply against the bare CREATE statements, and the drift check of all tables.

Run: .venv/bin/python benchmarks/questdb_apply.py [datasets]
Both sides run in turn on fresh servers of the same machine, over one connection each. The exit code
is 1 where a mark is missed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from questdb_ddl import Client, apply, compare_all, create_table, live_tables, plan_for
from questdb_ddl.tables import dataset_tables
from stage1_schema.servers.questdb import LocalQuestDB

MOST_TIMES = 1.2
MOST_QUERIES = 5
MOST_SECONDS = 2.0


class Counting(Client):
    """A client that counts its queries, those for deduplication keys on their own."""

    queries = 0
    keys = 0

    def query(self, sql: str) -> list[dict[str, object]]:
        """Count and run one query."""
        if "table_columns(" in sql:
            self.keys += 1
        else:
            self.queries += 1
        return super().query(sql)


def main(datasets: int) -> int:
    """Measure, print, and return the exit code."""
    tables = [table for n in range(datasets) for table in dataset_tables(f"btc {n}")]
    with tempfile.TemporaryDirectory() as directory:
        bare = _bare(Path(directory, "bare"), tables)
        with (
            LocalQuestDB(Path(directory, "plan")) as server,
            Counting(server.url, timeout_ms=600_000) as client,
        ):
            client.query("select 1")
            start = time.perf_counter()
            apply(client, plan_for(client, tables))
            planned = time.perf_counter() - start
            client.queries = client.keys = 0
            start = time.perf_counter()
            compared = compare_all(tables, live_tables(client, [t.name for t in tables]))
            drift = time.perf_counter() - start
            queries, keys = client.queries, client.keys
            start = time.perf_counter()
            again = apply(client, plan_for(client, tables))
            second = time.perf_counter() - start
    print(f"tables                 {len(tables)}")
    print(f"bare CREATE            {bare:.1f} s")
    print(f"plan and apply         {planned:.1f} s, {planned / bare:.2f} times the bare statements")
    print(f"drift check            {drift:.2f} s, {queries} queries and {keys} for keys")
    equal = all(c.equal for c in compared)
    print(f"all equal              {equal}")
    print(f"second apply           {second:.2f} s, {len(again)} changes")
    fast = planned <= bare * MOST_TIMES and drift < MOST_SECONDS and queries <= MOST_QUERIES
    return 0 if fast and equal and not again else 1


def _bare(directory: Path, tables: list[object]) -> float:
    with LocalQuestDB(directory) as server, Client(server.url) as client:
        client.query("select 1")
        start = time.perf_counter()
        for table in tables:
            client.execute(create_table(table))
        return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
