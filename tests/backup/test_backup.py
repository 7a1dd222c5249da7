"""`stage1 backup` on real servers: what it writes, whom it refuses, what a failure leaves."""

import json
import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from dataclasses import replace

import pytest

from questdb_ddl import Client
from stage1_schema.connect import connect
from stage1_schema.errors import PostgresError, QuestDBError, Stage1Error
from stage1_schema.ops import backup, backup_files, checkpoint, postgres_tools
from stage1_schema.servers.questdb import LocalQuestDB
from stage1_schema.settings import QuestDBSettings
from tests.backup.rows import BARS, RUNS, insert_runs, send, series
from tests.plugins.databases import PASSWORDS

STAGES = ["PostgreSQL: dumping", "QuestDB: checkpoint", "QuestDB: copying questdb",
          "QuestDB: copying db/indicator_bars", "verifying"]  # fmt: skip


def listed(tmp_path):
    return sorted(path.name for path in (tmp_path / "backups").iterdir() if path.name != ".lock")


def in_progress(questdb):
    return checkpoint.standing_since(questdb) is not None


def test_backup_of_both_stores(take, stores, questdb):
    result = take()
    found = json.loads((result.path / "manifest.json").read_text())
    assert {"path": str(result.path), "removed": [], **found} == json.loads(
        json.dumps(result.to_data())
    )
    assert found["database"] == stores.postgres.database
    assert found["postgres"]["tables"]["public.walkforward_runs"] == RUNS
    assert found["questdb"]["tables"]["indicator_bars"] == BARS
    assert found["questdb"]["suspended"] == []
    assert found["revision"]
    assert stat.S_IMODE(result.path.stat().st_mode) == 0o700
    assert not in_progress(questdb)
    done = subprocess.run(
        ["/usr/bin/env", "sha256sum", "--check", "--quiet", "questdb.sha256"],
        cwd=result.path,
        check=False,
    )
    assert done.returncode == 0
    assert backup_files.read(result.path) == result.manifest


def test_counts_are_of_the_dump_and_not_of_a_moment_later(take, stores):
    def told(stage):
        if stage == "PostgreSQL: dumping":
            insert_runs(stores, 1)  # before the snapshot
        elif stage == "QuestDB: checkpoint":
            insert_runs(stores, 1)  # after it

    assert take(progress=told).manifest.postgres.tables["public.walkforward_runs"] == RUNS + 1


def test_postgres_alone_needs_no_questdb(take, stores):
    nowhere = replace(stores, questdb=QuestDBSettings("http://127.0.0.1:1"))
    result = take(nowhere, skip_questdb=True)
    assert result.manifest.questdb is None
    assert sorted(p.name for p in result.path.iterdir()) == ["manifest.json", "postgres.dump"]


def test_keep_removes_the_oldest_of_ours_only(take, stores, tmp_path):
    alone = take(skip_questdb=True)
    first = take()
    directory = tmp_path / "backups"
    for name, text in (("stage1_20200101T000000Z", None), ("stage1_20200101T000001Z", "{}")):
        (directory / name).mkdir()
        if text:
            (directory / name / "manifest.json").write_text(text)
    other = directory / "stage1_20200101T000002Z"
    shutil.copytree(first.path, other)
    text = (other / "manifest.json").read_text()
    (other / "manifest.json").write_text(text.replace(stores.postgres.database, "another"))
    second = take(keep=1)
    assert second.removed == (first.path.name,)
    assert listed(tmp_path) == sorted([
        alone.path.name, second.path.name, other.name,
        "stage1_20200101T000000Z", "stage1_20200101T000001Z",
    ])  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_killed_backup_leaves_nothing_that_looks_whole(
    program, take, questdb, stores, tmp_path, stage
):
    process = program(stage, "SIGKILL")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (left,) = listed(tmp_path)
    assert left.endswith(".partial")
    assert in_progress(questdb) == stage.startswith("QuestDB: copying")
    with pytest.raises(Stage1Error, match="no whole backup"):
        backup_files.read(tmp_path / "backups" / left)
    result = take()
    assert listed(tmp_path) == [result.path.name]
    assert not in_progress(questdb)


def test_killed_while_old_ones_go(program, take, tmp_path):
    first = take()
    process = program("removing", "SIGKILL")
    process.communicate()
    assert len(listed(tmp_path)) == 2
    newest = take(keep=1)
    assert len(newest.removed) == 2
    assert first.path.name in newest.removed
    assert listed(tmp_path) == [newest.path.name]


def test_ctrl_c_releases_the_checkpoint_and_leaves_nothing(program, questdb, tmp_path):
    process = program("QuestDB: copying db/", "SIGINT")
    process.communicate()
    assert process.returncode != 0
    assert listed(tmp_path) == []
    assert not in_progress(questdb)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        pytest.param("1000", "pg_dump failed: it was ended by SIGXFSZ", id="dump"),
        pytest.param("1000000", "File too large", id="copy"),
    ],
)
def test_a_file_that_cannot_be_written(program, questdb, tmp_path, limit, told):
    """The limit of a file's size fails a write as a full disk does."""
    process = program("nothing", limit)
    _, said = process.communicate()
    assert process.returncode == 1
    assert said.count("\n") == 1, said
    assert told in said
    assert listed(tmp_path) == []
    assert not in_progress(questdb)


def test_copy_stops_before_the_disk_is_full(take, questdb, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(Stage1Error, match="the copy was stopped before it is full"):
        take()
    assert listed(tmp_path) == []
    assert not in_progress(questdb)


def test_second_backup_says_so(program, take, stores, tmp_path):
    process = program("QuestDB: copying db/", "wait")
    assert process.stdout.readline() == "waiting\n"
    with pytest.raises(Stage1Error, match="Another backup of this database is running"):
        take()
    process.communicate("\n")
    assert process.returncode == 0
    assert len(listed(tmp_path)) == 1


def test_checkpoint_of_somebody_else_stays(take, questdb, tmp_path):
    questdb.execute("CHECKPOINT CREATE")
    with pytest.raises(QuestDBError, match="run CHECKPOINT RELEASE there"):
        take()
    assert in_progress(questdb)
    assert listed(tmp_path) == []


def test_root_elsewhere_is_refused_before_anything_is_written(take, stores, tmp_path):
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(Stage1Error, match="--questdb-root if it is elsewhere, or use --skip"):
            take(questdb_root=root)
    assert not (tmp_path / "backups").exists()


def test_root_of_a_copy_of_this_server_is_found_out(take, questdb, questdb_server, tmp_path):
    """It has a directory for every table, but no checkpoint appears in it."""
    shutil.copytree(questdb_server.directory, tmp_path / "copy")
    with pytest.raises(Stage1Error, match="is the root of another QuestDB"):
        take(questdb_root=tmp_path / "copy")
    assert not in_progress(questdb)
    assert listed(tmp_path) == []


def test_directory_inside_the_root_is_refused(stores, questdb_server):
    inside = backup.Options(questdb_server.directory / "backups")
    with pytest.raises(Stage1Error, match="inside the root of QuestDB"):
        backup.run(stores, inside)
    assert not inside.directory.exists()


def test_lost_postgres_is_one_line(take, stores, root, tmp_path):
    def told(stage):
        if stage == "PostgreSQL: dumping":
            root.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'stage1 backup'"
            )

    with pytest.raises(PostgresError) as caught:
        take(progress=told)
    assert "\n" not in str(caught.value)
    assert listed(tmp_path) == []


@pytest.mark.slow
def test_suspended_table_is_backed_up_and_named(take, stores, tmp_path):
    with LocalQuestDB(tmp_path / "own", settings={"dev.mode.enabled": "true"}) as server:
        with Client(server.url) as client:
            client.execute("CREATE TABLE t (ts TIMESTAMP) TIMESTAMP(ts) PARTITION BY MONTH WAL")
            client.execute("INSERT INTO t VALUES ('2025-01-01')")
            client.wait_for("t")
            client.execute("ALTER TABLE t SUSPEND WAL")
            client.execute("INSERT INTO t VALUES ('2025-01-02')")
        found = take(replace(stores, questdb=QuestDBSettings(server.url))).manifest.questdb
    assert found.suspended == ("t",)
    assert found.tables == {"t": 1}


@pytest.mark.slow
def test_lost_questdb_is_one_line_and_the_next_backup_works(take, stores, tmp_path):
    with LocalQuestDB(tmp_path / "own") as server:
        settings = replace(stores, questdb=QuestDBSettings(server.url))
        with Client(server.url) as client:
            client.execute("CREATE TABLE t AS (SELECT x FROM long_sequence(9))")

        def told(stage):
            if stage.startswith("QuestDB: copying db/t"):
                server.stop()

        with pytest.raises(QuestDBError) as caught:
            take(settings, progress=told)
        assert "\n" not in str(caught.value)
        (left,) = listed(tmp_path)
        assert [p.name for p in (tmp_path / "backups" / left).iterdir()] == [checkpoint.NOTE]
        server.start()
        assert take(replace(stores, questdb=QuestDBSettings(server.url))).path.exists()
        assert len(listed(tmp_path)) == 1


def test_partition_that_is_missing_from_the_copy_is_found(take, questdb, tmp_path):
    def told(stage):
        if stage.startswith("QuestDB: copying import"):
            (partial,) = (tmp_path / "backups").glob("*.partial")
            shutil.rmtree(next((partial / "questdb" / "db").glob("indicator_bars~*/2023-1*")))

    with pytest.raises(Stage1Error, match="indicator_bars lacks 1 partitions"):
        take(progress=told)
    assert listed(tmp_path) == []


def test_no_password_where_others_can_see_it(shell, stores, tmp_path, monkeypatch):
    """A pg_dump that writes the process list down, and then is the real one."""
    tools = postgres_tools.find(int(postgres_version(stores)))
    (tmp_path / "bin").mkdir()
    for name in ("pg_dump", "pg_restore"):
        script = tmp_path / "bin" / name
        seen = tmp_path / "seen"
        script.write_text(
            f"#!/bin/sh\ncat /proc/[0-9]*/cmdline | tr '\\0' ' ' >>{seen} 2>/dev/null\n"
            f'exec {tools.directory / name} "$@"\n'
        )
        script.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    directory = str(tmp_path / "backups")
    ran = shell("stage1", "backup", "--directory", directory, settings=stores, PATH=path)
    assert ran.code == 0, ran.err
    seen = (tmp_path / "seen").read_text(errors="replace")
    assert "--snapshot=" in seen
    manifest = next((tmp_path / "backups").glob("stage1_*/manifest.json")).read_text()
    for secret in PASSWORDS.values():
        assert secret not in seen + ran.out + ran.err + manifest


def postgres_version(settings):
    with connect(settings.postgres) as connection:
        return connection.info.server_version // 10_000


def test_server_newer_than_every_pg_dump():
    with pytest.raises(Stage1Error, match="install the client programs of PostgreSQL 99"):
        postgres_tools.find(99)


@pytest.mark.slow
def test_upgrade_waits_until_both_stores_are_fixed(take, stores, root):
    """The shared lock keeps an upgrade out until the checkpoint stands, and no longer."""
    seen = {}

    def told(stage):
        seen[stage.partition(" questdb")[0]] = root.execute(
            "SELECT pg_try_advisory_xact_lock(7310001) AS free"
        ).fetchone()["free"]

    take(progress=told)
    assert not seen["PostgreSQL: dumping"]
    assert not seen["QuestDB: checkpoint"]
    assert seen["QuestDB: copying"]


def test_writer_during_the_backup_changes_nothing_of_it(take, stores, questdb):
    """The copy passes its own check, whatever arrives and is merged meanwhile."""
    numbers, stop = iter(range(BARS, 10**6)), threading.Event()

    def write():
        while not stop.is_set():
            send(stores.questdb.url, [next(numbers) for _ in range(20)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        result = take(progress=lambda _: time.sleep(0.02))
    finally:
        stop.set()
        writer.join()
    rows = result.manifest.questdb.tables["indicator_bars"]
    assert BARS <= rows < len(series(stores.questdb.url))
