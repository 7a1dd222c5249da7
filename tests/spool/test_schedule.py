"""The nightly jobs are printed, installed once, replaced and removed; nothing else is touched."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command

from stage1_schema.errors import Stage1Error
from stage1_schema.ops import migrate, schedule
from tests.plugins.databases import ROLES, client, environment
from tests.spool import generator

STUB = """#!/bin/sh
# Behaves like crontab: -l prints, - replaces.
table="$HOME/table"
case "$1" in
    -l) [ -f "$table" ] || { echo "no crontab for $USER" >&2; exit 1; }; cat "$table" ;;
    -) cat > "$table" ;;
    *) exit 2 ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
# Notes what it was told; fails where the file `fails` stands.
echo "$@" >> "$HOME/told"
[ ! -f "$HOME/fails" ] || { echo "no bus" >&2; exit 1; }
"""
RSYNC = """#!/bin/sh
# Behaves like rsync where the source can be reached: by the host `here`.
case "$4" in
    here:*) cp "${4#here:}" "$5" ;;
    *) echo "rsync: unknown host" >&2; exit 12 ;;
esac
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("crontab", STUB), ("systemctl", SYSTEMCTL), ("rsync", RSYNC)):
        stub = programs / name
        stub.write_text(text)
        stub.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jobs(**options):
    return schedule.jobs("a database", **{"spool": Path("a spool.sql")} | options)


def test_what_deletes_comes_after_the_backup(home):
    assert [job.name for job in jobs()] == ["replay", "validate", "backup", "retention"]


@pytest.mark.parametrize("name", ["replay", "validate", "backup", "retention"])
def test_every_line_runs_in_a_shell_that_knows_nothing(both, home, name):
    """The line as cron runs it, with the settings of .env in the directory of the schedule."""
    command.upgrade(migrate.config(both), "head")
    settings = environment(both)
    (home / ".env").write_text("".join(f"{k}='{v}'\n" for k, v in settings.items()))
    (home / "a spool.sql").write_bytes(generator.usual(runs=1, folds=2, trades=2, seed=1).bytes())
    done = run_line(home, name, both.postgres.database)
    (stores,) = done.stderr.splitlines()
    assert (done.returncode, stores[:11]) == (0, "PostgreSQL "), done.stdout


def run_line(home, name, database, pull=None):
    listed = schedule.jobs(database, spool=Path("a spool.sql"), pull=pull)
    text = schedule.Cron().text(listed)
    (line,) = [each for each in text.splitlines() if f"stage1 {name}" in each]
    return subprocess.run(
        ["/bin/sh", "-c", line.split(" ", 5)[5].replace(r"\%", "%")],
        env={"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(home)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("host", "code", "rows"), [("here", 0, 1), ("away", 12, 0)], ids=["fetched", "not fetched"]
)
def test_the_file_is_fetched_and_a_failure_is_not_hidden(migrated, home, host, code, rows):
    settings = environment(migrated)
    (home / ".env").write_text("".join(f"{k}='{v}'\n" for k, v in settings.items()))
    source = home / "desktop.sql"
    source.write_bytes(generator.usual(runs=1, folds=2, trades=2, seed=1).bytes())
    (home / "a spool.sql").write_text("")
    done = run_line(home, "replay", migrated.postgres.database, pull=f"{host}:{source}")
    assert done.returncode == code, done.stderr
    with client(migrated, ROLES.owner) as connection:
        found = connection.execute(
            "SELECT count(*) FROM walkforward_runs WHERE NOT is_placeholder"
        ).fetchone()
    assert (found["count"] > 0) == rows


def test_cron_line_quotes_its_words_and_fetches_first(home):
    text = schedule.Cron().text(jobs(pull="desk:dir/x%y.sql"))
    assert "rsync --times --timeout=300 -- desk:dir/x\\%y.sql" in text
    assert f"'{home}/a spool.sql'" in text
    assert "retention apply --confirm 'a database'" in text
    assert text.splitlines()[1].startswith("15 2 * * * cd ")


@pytest.mark.parametrize("pull", ["x", "-e sh:x", "a:b c", "a:'b'", "a:$(b)'"])
def test_source_that_is_none_is_refused(home, pull):
    with pytest.raises(Stage1Error, match="host:path"):
        jobs(pull=pull)


@pytest.mark.parametrize("name", [b"a\xff.sql", b"a\n0 0 * * * x.sql"], ids=["no UTF-8", "lines"])
def test_file_that_no_line_can_name_is_refused(home, name):
    with pytest.raises(Stage1Error, match="rename it"):
        jobs(spool=Path(os.fsdecode(name)))


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
    systemd.change(jobs())
    assert len(list(units.iterdir())) == 8
    enabled = [
        line
        for line in (home / "told").read_text().splitlines()
        if line.startswith("--user enable")
    ]
    assert len(enabled) == 4
    own = {"other.timer", "stage1-server.service", "stage1-web.timer"}
    for name in own:
        (units / name).write_text("[Unit]\nDescription=Stage1: mine\n")
    assert systemd.change(jobs()) == ["The timers stay as they are."]
    systemd.change(jobs()[:1])
    assert {path.name for path in units.iterdir()} == {
        "stage1-replay.service",
        "stage1-replay.timer",
        *own,
    }
    systemd.change([])
    assert {path.name for path in units.iterdir()} == own


def test_somebody_elses_unit_of_one_of_our_names_is_left(home):
    units = home / ".config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "stage1-backup.service").write_text("mine")
    with pytest.raises(Stage1Error, match=r"stage1-backup.service was not written by"):
        schedule.Systemd().change(jobs())
    assert [path.read_text() for path in units.iterdir()] == ["mine"]


def test_timers_that_could_not_be_enabled_are_by_the_next_run(home):
    systemd = schedule.Systemd()
    (home / "fails").write_text("")
    with pytest.raises(Stage1Error, match="no bus"):
        systemd.change(jobs())
    (home / "fails").unlink()
    assert systemd.change(jobs()) == ["The timers stay as they are."]
    assert (home / "told").read_text().count("--user enable --now") == 4


def test_without_systemd_nothing_is_written(home, monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(Stage1Error, match="nothing was changed"):
        schedule.Systemd().change(jobs())
    assert not (home / ".config").exists()


SECRET = {
    "STAGE1_POSTGRES_HOST": "pg.secret",
    "STAGE1_POSTGRES_PASSWORD": "pass secret",
    "STAGE1_QUESTDB_REST": "http://q.secret:9000",
}


@pytest.mark.parametrize(
    ("in_file", "options", "named"),
    [
        pytest.param(list(SECRET), [], [], id="all in .env"),
        pytest.param(list(SECRET)[1:], [], ["STAGE1_POSTGRES_HOST"], id="one is not"),
        pytest.param([], [], list(SECRET), id="no .env"),
        pytest.param([], ["--systemd", "--install"], list(SECRET), id="timers"),
        pytest.param([], ["--remove"], [], id="removed"),
    ],
)
def test_settings_that_cron_will_not_have_are_named(home, in_file, options, named):
    (home / ".env").write_text("".join(f"{name}='{SECRET[name]}'\n" for name in in_file))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STAGE1_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("stage1"), "schedule", *options],
        env=kept | SECRET,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"STAGE1_\w+", done.stderr) == named
    assert len(done.stderr.splitlines()) == bool(named)
    assert (f"Next: write them into {home}/.env." in done.stderr) == bool(named)
    assert "secret" not in done.stdout + done.stderr
