"""kill -9 at any use of the connection leaves whole units, and the next replay finishes."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.plugins.databases import environment
from tests.spool import generator
from tests.spool.test_replay import stands

WHOLE_RUNS = """
SELECT r.run_id, count(f.fold_number) FROM walkforward_runs r
  LEFT JOIN walkforward_folds f USING (run_id) WHERE NOT r.is_placeholder GROUP BY 1
"""
WHOLE_SIMULATIONS = """
SELECT s.simulation_id, (SELECT count(*) FROM simulation_trades t USING_S),
       (SELECT count(*) FROM simulation_trade_buckets t USING_S) FROM simulation_runs s
""".replace("USING_S", "WHERE t.simulation_id = s.simulation_id")
# Every unit is a batch of its own: a commit to be killed between. Each line of stdin is a replay in
# a fork, which saves a start of Python, and says at which use of the connection it is killed.
PROGRAM = """
import os, signal, sys
from stage1_schema.cli import main
from stage1_schema.ops.spool import apply
from stage1_schema.ops.spool.session import SpoolConnection

apply.BATCH_ROWS = 15
used, cursor = 0, SpoolConnection.cursor

def counted(*arguments, **named):
    global used
    used += 1
    if used == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return cursor(*arguments, **named)

SpoolConnection.cursor = counted
for line in iter(sys.stdin.readline, ""):
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    else:
        kill_at = int(line)
        os.dup2(2, 1)
        main()
"""


@contextmanager
def replays(field, told):
    """Give a function that replays in a process that is killed, and returns its exit code."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "replay", str(field.path)],
        env=os.environ | environment(field.settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=told,
        text=True,
    ) as process:

        def replay(kill_at):
            process.stdin.write(f"{kill_at}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield replay


def saved_again(spool):
    """Add the first run and its first folds once more, as another client sends them."""
    run = spool.statements[0].split("'")[1]
    again = generator.Spool(9)
    again.id = lambda: run
    again.run("C", folds=3, name="renamed")
    spool.statements += again.statements


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_kill_at_any_use_of_the_connection(field, tmp_path, part):
    spool = generator.usual(runs=4, folds=15, trades=40)
    saved_again(spool)
    field.write(spool.bytes())
    seen = set()
    told = tmp_path / "told"
    with told.open("w") as file, replays(field, file) as replay:
        for kill_at in range(1 + part, 10_000, 4):
            field.connection.execute(
                "TRUNCATE datasets, spool_replays, spool_quarantine, spool_units CASCADE"
            )
            code = replay(kill_at)
            runs = field.all(WHOLE_RUNS)
            simulations = field.all(WHOLE_SIMULATIONS)
            assert {folds for _, folds in runs} <= {15}
            assert {row[1:] for row in simulations} <= {(20, 1)}
            assert field.replay().exit_code == 0
            stands(field, spool)
            if code == 0:
                break
            assert code == -signal.SIGKILL, told.read_text()
            seen.add((len(runs), len(simulations)))
    assert {*((runs, 0) for runs in range(5)), (4, 1), (4, 2)} <= seen
