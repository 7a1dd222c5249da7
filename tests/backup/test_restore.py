"""`stage1 restore`: both stores have again what they had, and nothing that stood is lost."""

import itertools
import threading
import time
from contextlib import nullcontext

import pytest

from questdb_ddl import Client
from stage1_schema.connect import connect, engine
from stage1_schema.errors import ConfirmationError, PostgresError, Stage1Error, VerificationError
from stage1_schema.ops import databases, drift, restore
from stage1_schema.servers.questdb import LocalQuestDB
from tests.backup.rows import BARS, contents, insert_runs, send, series
from tests.plugins.databases import as_role


def back(settings, result, confirm=None):
    manifest = restore.read(result.path)
    intent = restore.plan(settings, result.path, manifest)
    restore.confirm(intent, settings.postgres.database if confirm is None else confirm)
    restore.apply(settings, result.path, intent)
    return intent


def test_postgres_is_what_it_was_and_what_stood_is_kept(take, stores, superuser):
    before = contents(stores.postgres)
    with connect(superuser.postgres, autocommit=True) as connection:
        connection.execute(
            f"GRANT CREATE ON DATABASE {stores.postgres.database} TO stage1_readonly"
        )
    result = take()
    with connect(stores.postgres, autocommit=True) as connection:
        connection.execute("DELETE FROM walkforward_runs")
        connection.execute("CREATE TABLE later (a int)")
    after = contents(stores.postgres)
    intent = back(superuser, result)
    assert contents(stores.postgres) == before
    assert contents(databases.at(superuser.postgres, intent.kept_as)) == after
    with engine(stores.postgres).connect() as connection:
        assert drift.postgres(connection, stores.roles) == ()
        rights = "SELECT has_database_privilege('stage1_readonly', current_database(), 'CREATE')"
        assert connection.exec_driver_sql(rights).scalar_one()
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname=current_database()"
        assert connection.exec_driver_sql(owner).scalar_one() == stores.roles.owner
    insert_runs(as_role(stores, stores.roles.app), 1)


def test_a_lost_database_comes_back(take, stores, superuser):
    before = contents(stores.postgres)
    result = take()
    with databases.maintenance(superuser.postgres) as server:
        databases.drop(server, stores.postgres.database)
    assert back(superuser, result).standing is None
    assert contents(superuser.postgres) == before


@pytest.mark.parametrize("given", [None, "", "another"])
def test_wrong_confirmation_changes_nothing(take, stores, superuser, given):
    result = take()
    before = names(superuser)
    manifest = restore.read(result.path)
    intent = restore.plan(superuser, result.path, manifest)
    with pytest.raises(ConfirmationError, match=f"--confirm {stores.postgres.database}"):
        restore.confirm(intent, given)
    assert names(superuser) == before


def names(settings):
    with databases.maintenance(settings.postgres) as server:
        rows = server.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall()
    return [name for (name,) in rows]


def test_sessions_are_named_and_stop_it(take, stores, superuser):
    result = take()
    before = names(superuser)
    with connect(stores.postgres), pytest.raises(PostgresError) as caught:
        back(superuser, result)
    assert f"{stores.postgres.parameters['user']}@127.0.0.1 stage1" in str(caught.value)
    assert names(superuser) == before


def test_session_that_comes_at_the_last_moment(take, stores, superuser):
    result = take()
    intent = restore.plan(superuser, result.path, restore.read(result.path))
    with connect(stores.postgres), pytest.raises(PostgresError) as caught:
        restore.apply(superuser, result.path, intent)
    assert "is whole, but the swap failed" in str(caught.value)
    assert "stands as it was" in str(caught.value)
    assert f'ALTER DATABASE "{intent.restored_as}" RENAME TO' in str(caught.value)
    assert intent.restored_as in names(superuser)
    assert intent.kept_as not in names(superuser)


def test_role_that_may_not_create_says_so(take, stores):
    result = take()
    with pytest.raises(PostgresError, match="ALTER ROLE stage1_owner CREATEDB"):
        back(stores, result)


def test_owner_that_may_create_needs_no_superuser(take, stores, superuser):
    """Before PostgreSQL 15 it does not own the schema public of a new database."""
    before = contents(stores.postgres)
    result = take()
    with databases.maintenance(superuser.postgres) as server:
        enough = server.info.server_version >= 150_000
        server.execute("ALTER ROLE stage1_owner CREATEDB")
        try:
            with nullcontext() if enough else pytest.raises(PostgresError, match="use a superuser"):
                back(stores, result)
        finally:
            server.execute("ALTER ROLE stage1_owner NOCREATEDB")
    assert contents(stores.postgres) == before


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        pytest.param(lambda path: flip(path / "postgres.dump"), "postgres.dump", id="dump"),
        pytest.param(lambda path: (path / "postgres.dump").unlink(), "postgres.dump", id="none"),
        pytest.param(lambda path: flip(path / "questdb.sha256"), "questdb.sha256", id="sums"),
        pytest.param(lambda path: flip(txn(path)), "_txn", id="series"),
        pytest.param(lambda path: txn(path).unlink(), "_txn", id="series gone"),
        pytest.param(lambda path: (path / "questdb" / "more").touch(), "more", id="one too many"),
    ],
)
def test_damaged_backup_is_refused(take, tmp_path, damage, told):
    result = take()
    damage(result.path)
    with pytest.raises(VerificationError, match=f"is damaged: .*{told}"):
        restore.read(result.path)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def txn(path):
    return next((path / "questdb" / "db").glob("indicator_bars~*/_txn"))


def test_what_fails_in_the_middle_leaves_nothing(take, stores, superuser):
    """A dump that lacks rows is found by counting, and the new database goes."""
    result = take()
    before = contents(stores.postgres)
    there = names(superuser)
    intent = restore.plan(superuser, result.path, restore.read(result.path))
    intent.tables["public.walkforward_runs"] += 1
    with pytest.raises(VerificationError, match="walkforward_runs has 7 rows and not 8"):
        restore.apply(superuser, result.path, intent)
    assert names(superuser) == there
    assert contents(stores.postgres) == before


def test_questdb_started_on_the_copy_has_the_same_rows(take, stores, questdb, tmp_path):
    before = series(stores.questdb.url)
    result = take()
    send(stores.questdb.url, range(BARS, BARS + 30))
    target = tmp_path / "restored"
    restore.copy_questdb(result.path, restore.read(result.path), target)
    with LocalQuestDB(target) as server:
        assert series(server.url) == before
        assert not (target / "_restore").exists()
        send(server.url, [999])
        assert series(server.url) == [*before, 999]


@pytest.mark.slow
def test_questdb_with_a_writer_has_a_whole_prefix(take, stores, questdb, tmp_path):
    """Rows come in one order, out of order in time: what is restored has no gap among them."""
    numbers, stop = itertools.count(BARS, 20), threading.Event()

    def write():
        while not stop.is_set():
            first = next(numbers)
            send(stores.questdb.url, range(first, first + 20))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(1)
        before = len(series(stores.questdb.url))
        result = take(progress=lambda _: time.sleep(0.02))
    finally:
        stop.set()
        writer.join()
    restore.copy_questdb(result.path, restore.read(result.path), tmp_path / "restored")
    with LocalQuestDB(tmp_path / "restored") as server:
        found = series(server.url)
    assert found == list(range(len(found)))
    recorded = result.manifest.questdb.tables["indicator_bars"]
    assert before <= recorded <= len(found) < len(series(stores.questdb.url))


def test_questdb_goes_into_an_empty_directory_only(take, tmp_path):
    result = take()
    manifest = restore.read(result.path)
    target = tmp_path / "target"
    assert restore.plan_questdb(result.path, manifest, target).files > 0
    assert not target.exists()
    target.mkdir()
    (target / "file").touch()
    for command in (restore.plan_questdb, restore.copy_questdb):
        with pytest.raises(Stage1Error, match="is not an empty directory"):
            command(result.path, manifest, target)
    assert [path.name for path in target.iterdir()] == ["file"]


def test_backup_without_questdb_says_so(take, tmp_path):
    result = take(skip_questdb=True)
    with pytest.raises(Stage1Error, match="holds no QuestDB"):
        restore.copy_questdb(result.path, restore.read(result.path), tmp_path / "target")


def test_the_copied_server_knows_nothing_of_a_checkpoint(take, tmp_path):
    result = take()
    restore.copy_questdb(result.path, restore.read(result.path), tmp_path / "restored")
    with LocalQuestDB(tmp_path / "restored") as server, Client(server.url) as client:
        assert (
            client.query("select in_progress from checkpoint_status()")[0]["in_progress"] is False
        )
