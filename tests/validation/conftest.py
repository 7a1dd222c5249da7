"""A database whose rows all are as they should be, and a way to break them."""

import pytest
from psycopg import sql

from tests.cli.conftest import shell  # noqa: F401 - a fixture
from tests.postgres import clients, rows
from tests.series.conftest import execute, lines, stores  # noqa: F401 - fixtures

JOB = "INSERT INTO stage1_jobs (job_type, status, started_at) VALUES ('export', 'RUNNING', now())"
HELD = (
    "INSERT INTO spool_quarantine (source, position, line, kind, reason, statement, digest)"
    " VALUES ('pending.sql', 0, 1, 'INSERT', 'no such run', 'INSERT …', 'd0')"
)


class Broken:
    """The superuser's connection, for rows that no trigger brings in order."""

    def __init__(self, root):
        self.root = root

    def __call__(self, *statements):
        self.root.execute("SET session_replication_role = replica")
        for statement in statements:
            assert self.root.execute(statement).rowcount, statement
        self.root.execute("RESET session_replication_role")

    def age(self):
        """Let nothing look as if it were still being saved."""
        self.root.execute("SET session_replication_role = replica")
        for table in ("walkforward_runs", "simulation_runs"):
            aged = "UPDATE {} SET updated_at = now() - interval '2 hours'"
            self.root.execute(sql.SQL(aged).format(sql.Identifier(table)))
        self.root.execute("RESET session_replication_role")


@pytest.fixture
def broken(root):
    """Run statements as a restore would: past triggers and foreign keys."""
    return Broken(root)


@pytest.fixture
def healthy(app, broken):
    """One of everything, as clients write it: a run of 3 folds, a simulation of 2 trades."""
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute(clients.a_run(rows.RUN_ROW | {"summary_metrics": {"folds": 3}}))
    for number in range(3):
        app.execute(clients.a_fold(rows.FOLD_ROW | {"fold_number": number}))
    app.execute(clients.simulation(rows.SIMULATION_ROW))
    for side, count in (("all", 2), ("long", 1), ("short", 1)):
        app.execute(clients.bucket(rows.BUCKET_ROW | {"side": side, "trade_count": count}))
    for number, side in enumerate(("long", "short")):
        trade_id = f"{rows.TRADE[:-1]}{number}"
        app.execute(clients.trade(rows.TRADE_ROW | {"trade_id": trade_id, "side": side}))
    app.execute(JOB)
    app.execute(HELD)
    broken.age()
