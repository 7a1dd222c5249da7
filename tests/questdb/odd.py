"""Tables that a server has and that no declaration or statement can describe."""

import shutil
from contextlib import contextmanager

from questdb_ddl import QueryError

BROKEN, LARGE, STEERING = "odd_broken", "odd_large", "odd\x10name"
UNREAD = {BROKEN: "Partition '2025-02' does not exist", STEERING.lower(): "cannot be written"}


@contextmanager
def odd_tables(client, directory):
    """Make a table without the directory of a partition, one with a symbol larger than may be
    declared (where the server can have it), and one whose name no statement can hold.
    """
    made = "(tag SYMBOL, n LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY MONTH WAL"
    for name in (BROKEN, LARGE, STEERING):
        client.execute(f'CREATE TABLE "{name}" {made}')
    client.execute(
        f"INSERT INTO {BROKEN} SELECT 'a', x, dateadd('M', x::int, '2024-12-01')"
        " FROM long_sequence(3)"
    )
    client.wait_for(BROKEN)
    (row,) = client.query(f"SELECT directoryName d FROM tables() WHERE table_name = '{BROKEN}'")
    (partition,) = directory.rglob(f"{row['d']}/2025-02*")
    shutil.rmtree(partition)
    try:
        client.execute(f"ALTER TABLE {LARGE} ALTER COLUMN tag SYMBOL CAPACITY 67108864")
        client.wait_for(LARGE)
    except QueryError:  # QuestDB 8.2 cannot
        assert client.version_numbers() < (9,)
    try:
        yield
    finally:
        for name in (BROKEN, LARGE, STEERING):
            client.execute(f'DROP TABLE IF EXISTS "{name}"')
