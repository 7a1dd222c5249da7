"""The steps of docs/reset.md after a reset: seed, export, look at five rows."""

import csv
import io
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
import urllib3

from questdb_ddl import PartitionBy, live_tables
from stage1_schema.ops import migrate, reset, sample
from tests.cli.conftest import shell
from tests.plugins.databases import as_role

__all__ = ["shell"]

TEXT = (Path(__file__).parents[2] / "docs" / "reset.md").read_text(encoding="utf-8")
FIRST = datetime(2025, 1, 1, tzinfo=UTC)


def documented(start):
    (line,) = [line for line in TEXT.splitlines() if line.startswith(start)]
    return line


def sampled(questdb):
    """Return the rows of the documented query, sent as its curl command sends it."""
    words = shlex.split(documented("curl"))
    query = dict([words[words.index("--data-urlencode") + 1].split("=", 1)])
    answer = urllib3.request("GET", f"{questdb.url}/exp?{urlencode(query)}")
    return list(csv.DictReader(io.StringIO(answer.data.decode())))


def send(questdb, nanoseconds):
    line = f"indicators_btc25_4h Date=20250101i,Time=0i,rsi_14=50.5 {nanoseconds}\n"
    answer = urllib3.request("POST", f"{questdb.url}/write", body=line)
    assert answer.status == 204
    questdb.wait_for("indicators_btc25_4h")


@pytest.mark.parametrize(("unit", "code"), [(10**9, 0), (10**6, 3)], ids=["ns", "microseconds"])
def test_steps(shell, both, questdb, unit, code):
    migrate.upgrade(both)
    sample.load(as_role(both, both.roles.app).postgres, both.questdb)
    done = reset.run(both, reset.plan(both), keep=False)
    assert done.passed
    words = ["btc25_4h", "--symbol", "BTCUSDT", "--granularity", "4h", "--indicator", "rsi_14"]
    assert shell("stage1", "dataset", "create", *words, settings=both).code == 0
    assert live_tables(questdb)["indicators_btc25_4h"].partition_by is PartitionBy.MONTH
    times = [FIRST + timedelta(hours=4 * n) for n in range(7)]
    for each in times:
        send(questdb, int(each.timestamp()) * unit)
    rows = sampled(questdb)
    assert len(rows) == 5
    assert all(row["timestamp"].endswith("Z") for row in rows)
    of_1970 = [bool(re.match("1970", row["timestamp"])) for row in rows]
    assert of_1970 == [code != 0] * 5
    if not code:
        found = [datetime.fromisoformat(row["timestamp"]) for row in rows]
        assert found == times[-5:]
    program, *arguments = shlex.split(documented("stage1 validate"))
    assert shell(program, *arguments, settings=both).code == code
