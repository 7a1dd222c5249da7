"""The nightly jobs are printed, installed once, replaced and removed; nothing else is touched."""

import os
from pathlib import Path

import pytest

from stage1_schema.errors import Stage1Error
from stage1_schema.ops import schedule

STUB = """#!/bin/sh
# Behaves like crontab: -l prints, - replaces.
table="$HOME/table"
case "$1" in
    -l) [ -f "$table" ] || { echo "no crontab for $USER" >&2; exit 1; }; cat "$table" ;;
    -) cat > "$table" ;;
    *) exit 2 ;;
esac
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    stub = programs / "crontab"
    stub.write_text(STUB)
    stub.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    monkeypatch.setattr(schedule.shutil, "which", lambda _: None)  # no systemd of the user's
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jobs(commands=("replay",), **options):
    return schedule.jobs(commands, **{"spool": Path("a spool.sql")} | options)


def test_commands_that_do_not_exist_are_not_scheduled(home):
    assert [job.name for job in jobs(("replay", "status"))] == ["replay"]
    assert [job.name for job in jobs(("replay", "validate", "backup", "retention"))] == [
        "replay",
        "validate",
        "retention",
        "backup",
    ]


def test_cron_line_quotes_its_words_and_fetches_first(home):
    text = schedule.Cron().text(jobs(pull="desk:dir/x%y.sql"))
    assert "rsync --times --timeout=300 -- desk:dir/x\\%y.sql" in text
    assert f"'{home}/a spool.sql'" in text
    assert text.splitlines()[1].startswith("15 2 * * * cd ")


@pytest.mark.parametrize("pull", ["x", "-e sh:x", "a:b c", "a:'b'", "a:$(b)'"])
def test_source_that_is_none_is_refused(home, pull):
    with pytest.raises(Stage1Error, match="host:path"):
        jobs(pull=pull)


def test_cron_is_installed_replaced_and_removed(home):
    cron, table = schedule.Cron(), home / "table"
    assert "would be given" in cron.change(jobs(), dry_run=True)[0]
    assert not table.exists()
    cron.change(jobs())
    assert cron.change(jobs()) == ["The crontab stays as it is."]
    table.write_text("0 1 * * * mine\n" + table.read_text() + "0 2 * * * mine too\n")
    cron.change(jobs(spool=Path("/other.sql")))
    text = table.read_text()
    assert text.count(schedule.BEGIN) == 1
    assert "/other.sql" in text
    cron.change([])
    assert table.read_text() == "0 1 * * * mine\n0 2 * * * mine too\n"


def test_missing_crontab_program_is_named(home, monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(Stage1Error, match="--systemd"):
        schedule.Cron().change(jobs())


def test_timers_are_installed_replaced_and_removed(home):
    systemd, units = schedule.Systemd(), home / ".config" / "systemd" / "user"
    assert systemd.change(jobs(), dry_run=True)
    assert not units.exists()
    systemd.change(jobs(("replay", "backup")))
    assert len(list(units.iterdir())) == 4
    (units / "other.timer").write_text("mine")
    assert systemd.change(jobs(("replay", "backup"))) == ["The timers stay as they are."]
    systemd.change(jobs())
    assert {path.name for path in units.iterdir()} == {
        "stage1-replay.service",
        "stage1-replay.timer",
        "other.timer",
    }
    systemd.change([])
    assert [path.name for path in units.iterdir()] == ["other.timer"]
