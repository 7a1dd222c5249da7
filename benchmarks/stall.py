"""How long a writer is stalled while the chain's revisions run over a large database.

1 million runs and 5 million folds stand. A writer in a process of its own inserts
runs and folds and writes standing runs again (ON CONFLICT DO UPDATE), each its own transaction,
while one revision after the other is applied; then plain DDL does the same work. Reported are the
slowest write of each phase in ms and, apart, the slowest statement (locks) and the slowest commit
(the disk), and each wait for a lock of over 20 ms. The rows can be made at a later revision,
without the fills of the ones before.
Run: python benchmarks/stall.py [runs] [last revision] [revision of the rows]
"""

import gc
import multiprocessing
import os
import re
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
from alembic import command
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from stage1_schema.connect import engine
from stage1_schema.ops import migrate
from stage1_schema.servers.binaries import postgres_binaries
from stage1_schema.servers.postgres import LocalPostgres
from stage1_schema.settings import PostgresSettings, QuestDBSettings, Settings

FOLDS = 5
DATASETS = 200
TARGET_MS = 100
SKIP = ("questdb=skip",)
STANDING = ("VACUUM (FREEZE, ANALYZE)", "CHECKPOINT")
"""What rows that stand have behind them, and what would be measured as well without it."""
SYNC = "STALL_SYNC" in os.environ
"""With it, commits wait for the disk, whose own outliers are in every phase then."""
NOTHING = "nothing beside the writer"
NOTE_WAITS = (
    "ALTER SYSTEM SET deadlock_timeout = '20ms'",
    "ALTER SYSTEM SET log_lock_waits = on",
    "SELECT pg_reload_conf()",
)
WAITED = re.compile(r"^(\S+ \S+) UTC .* acquired (.+) after (\S+) ms$", re.MULTILINE)
IDLE_S = 120 if SYNC else 10
"""How long nothing runs beside the writer: with the disk, as long as a fill takes, to compare."""

FILL = """
SET session_replication_role = replica;
INSERT INTO datasets (dataset_id, dataset_slug)
SELECT md5('d' || n)::uuid, 'd' || n FROM generate_series(0, {datasets} - 1) n;
INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement, target_column,
    feature_columns, hyperparameters, walk_config, status, created_at)
SELECT md5('r' || n)::uuid, md5('d' || n % {datasets})::uuid,
       CASE WHEN n % 2 = 0 THEN 'm' || n END, 'target',
       '["close","volume","rsi_14"]', '{{"depth": 6, "eta": 0.1}}', jsonb_build_object(
           'train_size', 5000, 'test_size', 500, 'prediction_measurement', 'm' || n), 'COMPLETED',
       '2025-01-01'::timestamptz + n * interval '1 second'
  FROM generate_series(1, {runs}) n;
INSERT INTO walkforward_folds (run_id, fold_number, train_start_idx, train_end_idx, samples_train,
    best_iteration, best_score, metrics)
SELECT md5('r' || n)::uuid, f, f * 500, f * 500 + 5000, 5000,
       CASE WHEN n % 10 > 0 THEN 42 END, CASE WHEN n % 10 > 0 THEN 0.625 END,
       '{{"best_iteration": 42, "best_score": 0.625, "accuracy": 0.61}}'
  FROM generate_series(1, {runs}) n, generate_series(0, {folds} - 1) f;
RESET session_replication_role;
"""
RUN = """
INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement, status)
VALUES (%s, md5('d1')::uuid, %s, 'RUNNING')
    ON CONFLICT (run_id) DO UPDATE SET status = EXCLUDED.status
"""
FOLD = "INSERT INTO walkforward_folds (run_id, fold_number, samples_train) VALUES (%s, %s, 1)"
AGAIN = "UPDATE walkforward_runs SET duration_ms = 1 WHERE run_id = md5('r' || %s)::uuid"
PLAIN = {
    "plain CREATE INDEX": "CREATE INDEX plain_i ON walkforward_runs (created_at, run_id)",
    "plain ADD UNIQUE": "ALTER TABLE walkforward_runs ADD CONSTRAINT plain_u"
    " UNIQUE (dataset_id, prediction_measurement)",
    "plain UPDATE of 20,000 runs": "UPDATE walkforward_runs SET status = status"
    " WHERE run_id IN (SELECT run_id FROM walkforward_runs LIMIT 20000)",
    "plain SET NOT NULL": "ALTER TABLE walkforward_folds ALTER samples_train DROP NOT NULL;"
    " ALTER TABLE walkforward_folds ALTER samples_train SET NOT NULL",
}


def write(parameters, runs, stop, times):
    """Write until `stop`; put (when it began, s of its statement, s of its commit) of each."""
    gc.disable()  # a collection takes up to 160 ms in a fork of a process with all that is imported
    found = []
    number = 0
    with psycopg.connect(**parameters) as connection:
        while not stop.is_set():
            run = uuid.uuid4()
            number += 1
            for statement, values in (
                (RUN, (run, str(run))),
                (FOLD, (run, 0)),
                (AGAIN, (number * 7919 % runs + 1,)),
            ):
                began = time.time()
                connection.execute(statement, values)
                done = time.time()
                connection.commit()
                found.append((began, done - began, time.time() - done))
            time.sleep(0.002)
    times.put(found)


@contextmanager
def writing(parameters, runs):
    """Run a writer beside the block; gives a list that holds its times afterwards."""
    stop, times, result = multiprocessing.Event(), multiprocessing.Queue(), []
    writer = multiprocessing.Process(target=write, args=(parameters, runs, stop, times))
    writer.start()
    try:
        yield result
    finally:
        stop.set()
        result += times.get()
        writer.join()


def by_phase(phases, times):
    """Return each phase's writes: (ms, ms of the statement, ms of the commit, s of the phase).

    A write belongs to the phase that it spent most of its time in.
    """
    writes = [[] for _ in phases]
    for at, statement, commit in times:
        took = statement + commit
        shares = [min(at + took, ended) - max(at, began) for _, began, ended in phases]
        if max(shares) > 0:
            most = shares.index(max(shares))
            of_phase = at - phases[most][1]
            writes[most].append((took * 1000, statement * 1000, commit * 1000, of_phase))
    return [sorted(each) for each in writes]


def report(phases, times):
    """Print each phase; return the slowest write beside the chain and beside nothing, in ms."""
    chain, nothing = [0], 0
    columns = ("took s", "writes", "99.9 %", "statement", "commit", "slowest ms", "at s")
    print(f"{'phase':30}" + "".join(f"{each:>11}" for each in columns))
    for (name, began, ended), took in zip(phases, by_phase(phases, times), strict=True):
        if not took:
            continue
        slowest, _, _, at = took[-1]
        apart = (max(each[part] for each in took) for part in (1, 2))
        values = (took[int(len(took) * 0.999)][0], *apart, slowest, at)
        print(
            f"{name:30}{ended - began:11.1f}{len(took):11}"
            + "".join(f"{value:11.1f}" for value in values)
        )
        if name.startswith("revision"):
            chain.append(slowest)
        elif name == NOTHING:
            nothing = slowest
    return max(chain), nothing


def report_waits(phases, log):
    """Print what the server noted: for which lock somebody waited over 20 ms, in which phase."""
    for at, lock, took in WAITED.findall(log.read_text()):
        began = datetime.fromisoformat(f"{at}+00:00").timestamp() - float(took) / 1000
        name = next((name for name, start, end in phases if start <= began < end), "between")
        print(f"{name:30} waited {float(took):.0f} ms: {lock}")


def phase(phases, name, work):
    """Do `work` and note when."""
    began = time.time()
    work()
    phases.append((name, began, time.time()))
    print(f"{name}: {time.time() - began:.0f} s", flush=True)


def set_not_null(settings):
    """Make a column of the folds NOT NULL as a generated revision does: no revision of ours has."""
    with engine(settings.postgres).connect() as connection:
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        with context.begin_transaction(_per_migration=True):
            Operations(context).set_not_null_online("walkforward_folds", "samples_train")


def measure(settings, parameters, runs, first, last):
    """Apply the chain and the plain DDL beside a writer; return the phases and the times."""
    scripts = ScriptDirectory.from_config(migrate.config())
    revisions = sorted(s.revision for s in scripts.walk_revisions() if first < s.revision <= last)
    phases = []
    with writing(parameters, runs) as times:
        time.sleep(1)
        phase(phases, NOTHING, lambda: time.sleep(IDLE_S))
        for revision in revisions:
            config = migrate.config(settings, SKIP)
            phase(
                phases, f"revision {revision}", lambda r=revision, c=config: command.upgrade(c, r)
            )
        phase(phases, "revision of NOT NULL", lambda: set_not_null(settings))
        with psycopg.connect(**parameters, autocommit=True) as connection:
            connection.execute(
                "ALTER TABLE walkforward_runs"
                " DROP CONSTRAINT IF EXISTS uq_walkforward_runs_dataset_id_prediction_measurement"
            )
            for name, statement in PLAIN.items():
                phase(phases, name, lambda s=statement: connection.execute(s))
        phase(phases, "nothing again", lambda: time.sleep(10))
    return phases, times


def main():
    """Exit 1 when a revision stalled the writer longer than the target, and than nothing did."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    last = sys.argv[2] if len(sys.argv) > 2 else migrate.head()
    first = sys.argv[3] if len(sys.argv) > 3 else "0001"
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with LocalPostgres(Path(name) / "pg", binaries=postgres_binaries(), fsync=SYNC) as server:
            parameters = {
                "host": server.host,
                "port": str(server.port),
                "dbname": "postgres",
                "user": server.user,
                "password": server.password,
            }
            settings = Settings(PostgresSettings(parameters), QuestDBSettings("http://127.0.0.1:1"))
            command.upgrade(migrate.config(settings, SKIP), first)
            began = time.time()
            with psycopg.connect(**parameters, autocommit=True) as connection:
                connection.execute(FILL.format(runs=runs, datasets=DATASETS, folds=FOLDS))
                for statement in STANDING + NOTE_WAITS:
                    connection.execute(statement)
            os.sync()  # else the system still writes the load out half a minute later
            print(
                f"{runs:,} runs, {runs * FOLDS:,} folds, made in {time.time() - began:.0f} s",
                flush=True,
            )
            phases, times = measure(settings, parameters, runs, first, last)
            report_waits(phases, server.log)
    chain, nothing = report(phases, times)
    print(f"slowest write beside the chain: {chain:.0f} ms (target {TARGET_MS})")
    print(f"slowest write beside nothing: {nothing:.0f} ms")
    return chain > max(TARGET_MS, nothing)


if __name__ == "__main__":
    sys.exit(main())
