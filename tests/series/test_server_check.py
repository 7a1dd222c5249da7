"""The settings of a server against what Stage1 needs."""

import re
from pathlib import Path

import pytest

from stage1_schema.ops import server_check
from stage1_schema.servers.questdb import LocalQuestDB
from stage1_schema.settings import QuestDBSettings


def test_a_server_as_it_should_be(tmp_path):
    settings = {"line.auto.create.new.tables": "false"}
    with LocalQuestDB(tmp_path / "good", settings=settings) as server:
        found = server_check.read(QuestDBSettings(server.url), files_limit=65536)
        assert (found.passed, found.findings, found.server_conf) == (True, (), "")


def test_a_server_as_it_is_found_in_the_field(tmp_path):
    settings = {
        "line.default.partition.by": "DAY",
        "cairo.ttl.use.wall.clock": "false",
        "telemetry.enabled": "true",
    }
    with LocalQuestDB(tmp_path / "field", settings=settings) as server:
        found = server_check.read(QuestDBSettings(server.url), files_limit=1)
        seen = server_check.read(QuestDBSettings(server.url))
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        assert re.search(rf"^Max open files +{seen.files_limit} ", limits, re.MULTILINE)
        assert server_check._limit_here("http://192.0.2.1:9000") is None
    assert not found.passed
    assert {(f.setting, f.must) for f in found.findings} >= {
        ("line.default.partition.by", True),
        ("cairo.ttl.use.wall.clock", True),
        ("line.auto.create.new.tables", False),
        ("telemetry.enabled", False),
    }
    assert "line.default.partition.by=MONTH" in found.server_conf.splitlines()
    assert found.to_data()["passed"] is False


@pytest.mark.parametrize(
    ("tables", "limit", "told"), [(10, 1000, False), (2000, 65536, True), (2000, None, False)]
)
def test_open_files(tables, limit, told):
    findings = list(server_check._files(tables, tables * server_check.FILES_PER_TABLE, limit))
    assert bool(findings) is told
