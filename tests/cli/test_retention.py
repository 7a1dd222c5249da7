"""`stage1 retention apply` from a shell: what it wants, what it says, what it leaves."""

from datetime import UTC, datetime, timedelta

import pytest
import urllib3

from questdb_ddl import Client
from stage1_schema.ops import migrate

NOW = datetime.now(UTC)


@pytest.fixture
def stage1(shell, both):
    """Two stores with one bar of three years ago and one of today."""
    migrate.upgrade(both)
    with Client(both.questdb.url) as questdb:
        lines = [
            f"indicator_bars,dataset=a,source=s,granularity=4h open=1.5 {int(at.timestamp())}{0:09}"
            for at in (NOW - timedelta(days=3 * 365), NOW)
        ]
        body = "".join(f"{line}\n" for line in lines)
        with urllib3.PoolManager() as pool:  # a kept connection writes into a dropped table
            answer = pool.request("POST", f"{both.questdb.url}/write", body=body)
        assert answer.status == 204
        questdb.wait_for("indicator_bars")
    return lambda *arguments: shell("stage1", *arguments, settings=both)


def bars(both):
    with Client(both.questdb.url) as questdb:
        return questdb.query("select count() n from indicator_bars")[0]["n"]


@pytest.mark.parametrize("confirmed", [(), ("--confirm", "another")], ids=["", "another name"])
def test_without_the_name_it_shows_and_does_nothing(stage1, both, tmp_path, confirmed):
    archive = tmp_path / "archive"
    ran = stage1("retention", "apply", "--directory", str(archive), *confirmed)
    assert ran.code == 1
    assert "indicator_bars: drop 1 partitions, 1 rows: rows of months before" in ran.out
    (line,) = ran.error_lines
    assert "indicator_bars (1 rows). It was not confirmed." in line
    assert line.endswith(f"stage1 retention apply --confirm {both.postgres.database}.")
    assert bars(both) == 2
    assert not archive.exists()


def test_what_is_refused_is_no_success(stage1, both, tmp_path):
    with Client(both.questdb.url) as questdb:
        questdb.execute("INSERT INTO indicator_bars (timestamp) VALUES ('2099-01-01')")
        questdb.wait_for("indicator_bars")
    command = ("retention", "apply", "--directory", str(tmp_path / "archive"))
    ran = stage1(*command, "--confirm", both.postgres.database)
    assert ran.code == 1
    (line,) = ran.error_lines
    assert "indicator_bars holds a row of 2099-01-01, ahead of the clock" in line


@pytest.mark.parametrize("form", ["parquet", "csv.gz"])
def test_with_the_name_it_archives_and_drops(stage1, both, tmp_path, form):
    archive = tmp_path / "archive"
    csv = ("--csv",) if form == "csv.gz" else ()
    command = ("retention", "apply", "--directory", str(archive), *csv)
    ran = stage1(*command, "--confirm", both.postgres.database)
    assert ran.code == 0, ran.err
    (file,) = archive.glob(f"indicator_bars_*.{form}")
    assert ran.out.splitlines()[-1] == f"indicator_bars: 1 rows went, kept in {file}"
    assert bars(both) == 1
    ran = stage1(*command, "--confirm", both.postgres.database)
    assert (ran.code, ran.out) == (0, "Nothing goes.\n")
