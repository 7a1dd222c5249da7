"""docs/retention.md: its policy is the declared one, and its example brings an archive back."""

import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from questdb_ddl.tables import RETENTION
from stage1_schema.ops import retention, retention_apply
from tests.series.test_retention import (
    NEW_RUN,
    NOW,
    OLD_RUN,
    prediction,
)

TEXT = (Path(__file__).parents[2] / "docs" / "retention.md").read_text(encoding="utf-8")


def test_the_policy_is_the_declared_one():
    listed = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", TEXT, re.MULTILINE))
    assert listed == {name: str(rule.days) for name, rule in RETENTION.items()}
    assert f"At most {retention.PER_PASS} partitions" in TEXT


def test_the_example_brings_an_archive_back(stores, questdb, lines, runs, tmp_path):
    lines(
        *(
            prediction(run, i, NOW - timedelta(days=40 * i, microseconds=i))
            for run in (OLD_RUN, NEW_RUN)
            for i in range(4)
        )
    )
    rows = "select * from walkforward_predictions order by timestamp, run_id"
    before = questdb.query(rows)
    (gone,) = retention_apply.apply(stores, retention.plan(stores), tmp_path)
    assert len(questdb.query(rows)) == 4
    archive = tmp_path / gone.archive
    line = json.loads((tmp_path / "retention.jsonl").read_text().splitlines()[-1])
    assert line["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names = {"ARCHIVE": archive, "QUESTDB_ADDRESS": urlsplit(questdb.url).netloc}
    for _ in range(2):
        exec(compile(example, "docs/retention.md", "exec"), dict(names))  # noqa: S102 - ours
        questdb.wait_for("walkforward_predictions")
        assert questdb.query(rows) == before
