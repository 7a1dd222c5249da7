"""kill -9 at many points leaves whole units, and the next replay finishes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.plugins.databases import environment
from tests.spool import generator
from tests.spool.test_replay import stands

KILLS = 12
WHOLE_RUNS = """
SELECT r.run_id, count(f.fold_number) FROM walkforward_runs r
  LEFT JOIN walkforward_folds f USING (run_id) WHERE NOT r.is_placeholder GROUP BY 1
"""
WHOLE_SIMULATIONS = """
SELECT s.simulation_id, (SELECT count(*) FROM simulation_trades t USING_S),
       (SELECT count(*) FROM simulation_trade_buckets t USING_S) FROM simulation_runs s
""".replace("USING_S", "WHERE t.simulation_id = s.simulation_id")
# Small batches, so that there are many commits to be killed between.
PROGRAM = """
import stage1_schema.ops.spool.apply as apply
from stage1_schema.cli import main
apply.BATCH_ROWS = 50
main()
"""


@pytest.mark.slow
def test_kill_at_any_point_leaves_whole_units(field):
    spool = generator.usual(runs=12, folds=40, trades=200)
    field.write(spool.bytes())
    command = [sys.executable, "-c", PROGRAM, "replay", str(field.path)]
    variables = os.environ | environment(field.settings)
    began = time.monotonic()
    if subprocess.run([*command, "--dry-run"], env=variables, check=True, capture_output=True):
        lasts = time.monotonic() - began
    partial = 0
    for number in range(KILLS):
        with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL) as process:
            time.sleep(lasts * (0.3 + 0.7 * number / KILLS))
            process.send_signal(signal.SIGKILL)
        runs = field.all(WHOLE_RUNS)
        assert {folds for _, folds in runs} <= {40}
        assert {row[1:] for row in field.all(WHOLE_SIMULATIONS)} <= {(100, 1)}
        partial += 0 < len(runs) < 12
        if number < KILLS - 1:
            field.connection.execute("TRUNCATE datasets, spool_replays CASCADE")
    assert field.replay().exit_code == 0
    stands(field, spool)
