"""`stage1 replay` as cron calls it: exit codes, JSON, the quarantine's listing."""

import json

from tests.plugins.databases import as_role
from tests.spool import generator


def test_command_line_speaks_json_and_exit_codes(shell, migrated, tmp_path):
    settings = as_role(migrated, migrated.roles.app)
    path = tmp_path / "spool.sql"
    path.write_bytes(generator.usual(2, 2, 2).bytes() + b"DROP TABLE datasets;\n")
    done = shell("stage1", "replay", str(path), "--json", settings=settings)
    assert done.code == 3, done.err
    assert json.loads(done.out)["open_quarantine"] == 1
    done = shell("stage1", "replay", "--quarantine", settings=settings)
    assert (done.code, "DROP is never run" in done.out) == (0, True)
    number = done.out.split()[0]
    done = shell("stage1", "replay", "--discard", number, settings=settings)
    assert "0 in quarantine" in done.out
    done = shell("stage1", "replay", str(path), settings=settings)
    assert (done.code, "nothing new" in done.out) == (0, True), done.err
    done = shell("stage1", "replay", str(tmp_path / "none"), settings=settings)
    assert (done.code, done.error_lines[0].startswith("stage1: ")) == (1, True)
