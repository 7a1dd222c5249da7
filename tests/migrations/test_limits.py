"""Each kind of step has limits of its own, and a long fill tells how far it is."""

import re
import threading
import time
from contextlib import contextmanager

import pytest
from alembic import command

from stage1_schema.alembic_plugin import backfill
from stage1_schema.alembic_plugin.limits import Limit, Limits, load
from stage1_schema.connect import connect
from stage1_schema.errors import SettingsError
from stage1_schema.ops import migrate
from tests.plugins.databases import ROLES, client
from tests.postgres import clients, rows

SKIP = ("questdb=skip",)
SYNC = "TG_TABLE_NAME || ' ' || current_setting('synchronous_commit')"
LIMITS = "current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')"
NOTE = f"""
CREATE TABLE noted (at bigint GENERATED ALWAYS AS IDENTITY, limits text);
CREATE FUNCTION note(anything text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO noted (limits) SELECT {LIMITS}; RETURN true; END $$;
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM note(''); RETURN NEW; END $$;
"""
REVISION = '''"""Test

Revision ID: 0099
"""
from alembic import op
revision = "0099"
down_revision = "%s"


def upgrade() -> None:
    op.add_check_online("ck_noted", "datasets", "note(dataset_slug)")
    op.execute("SELECT note('')")


def downgrade() -> None:
    op.drop_constraint("ck_noted", "datasets")
'''


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """Numbers that tell the kinds apart; plain DDL gives up soonest."""
    for number, kind in enumerate(("DDL", "INDEX", "BACKFILL", "VALIDATE")):
        monkeypatch.setenv(f"STAGE1_{kind}_LOCK_TIMEOUT_MS", str(400 + 5000 * number))
        monkeypatch.setenv(f"STAGE1_{kind}_STATEMENT_TIMEOUT_MS", str(60_001 + number))
    monkeypatch.setenv("STAGE1_LOCK_RETRY_S", "0.1")


@pytest.fixture
def owner(empty):
    with client(empty, ROLES.owner) as connection:
        yield connection


def filled(owner, number):
    owner.execute(clients.c_dataset(rows.C_DATASET))
    owner.execute(
        "INSERT INTO walkforward_runs (run_id, dataset_id)"
        f" SELECT gen_random_uuid(), dataset_id FROM datasets, generate_series(1, {number})"
    )
    owner.execute("ANALYZE walkforward_runs")


def when(seen, then):
    """Do `then` once `seen()` is true, in a thread; after a minute all the same."""

    def look():
        deadline = time.monotonic() + 60
        while not seen() and time.monotonic() < deadline:
            time.sleep(0.02)
        then()

    thread = threading.Thread(target=look)
    thread.start()
    return thread


@contextmanager
def writing(settings, seen):
    """A writer's open transaction, which an index build waits for, until `seen()`."""
    with connect(settings.postgres) as writer:
        writer.execute("LOCK TABLE walkforward_runs IN ROW EXCLUSIVE MODE")
        thread = when(seen, writer.rollback)
        yield
        thread.join()


def test_index_build_outwaits_the_limit_of_plain_ddl(empty, owner):
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0002")
    told = []
    longer = "SELECT FROM pg_locks WHERE NOT granted AND waitstart < now() - interval '1 s'"
    with writing(empty, lambda: owner.execute(longer).fetchall()), migrate._told(told.append):
        command.upgrade(config, "0003")
    assert not [line for line in told if "try 2" in line]


def test_index_build_has_a_limit_too(empty, monkeypatch):
    monkeypatch.setenv("STAGE1_INDEX_LOCK_TIMEOUT_MS", "300")
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0002")
    told = []
    with writing(empty, lambda: "try 2" in "".join(told)), migrate._told(told.append):
        command.upgrade(config, "0003")
    assert "try 2" in "".join(told)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"50ms 60003ms", "50ms 4s"}),  # of the first of 7 tries; of a batch
        ({"LOCK": "40", "STATEMENT": "3500"}, {"40ms 3500ms"}),
        ({"LOCK": "0", "STATEMENT": "0"}, {"0 0", "0 4s"}),
    ],
    ids=["larger", "smaller", "none"],
)
def test_fill_has_limits_of_its_own(empty, owner, monkeypatch, given, expected):
    for kind, value in given.items():
        monkeypatch.setenv(f"STAGE1_BACKFILL_{kind}_TIMEOUT_MS", value)
    monkeypatch.setattr(backfill, "FIRST_ROWS", 1)
    # A busy machine may finish no batch in the 40 ms that it has.
    monkeypatch.setattr("stage1_schema.alembic_plugin.limits.HELD_MS", 4_000)
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0001")
    filled(owner, 40)
    owner.execute(NOTE)
    owner.execute(
        "CREATE TRIGGER tg_00_note BEFORE UPDATE ON walkforward_runs"
        " FOR EACH ROW EXECUTE FUNCTION note_row()"
    )
    command.upgrade(config, "0002")
    noted = owner.execute("SELECT DISTINCT limits FROM noted").fetchall()
    assert {each["limits"] for each in noted} == expected


def test_validation_has_limits_of_its_own_and_what_follows_those_of_ddl(empty, owner, checkout):
    config = migrate.config(empty, SKIP)
    config.set_main_option("script_location", str(checkout / "migrations"))
    head = migrate.head()
    command.upgrade(config, head)
    filled(owner, 1)
    owner.execute(NOTE)
    (checkout / "migrations" / "versions" / "0099_x.py").write_text(REVISION % head)
    command.upgrade(config, "head")
    noted = owner.execute("SELECT limits FROM noted ORDER BY at").fetchall()
    assert [each["limits"] for each in noted] == [
        *["15400ms 60004ms"] * 2,  # of the look for rows that break it, and of VALIDATE
        "50ms 60001ms",
    ]


@pytest.mark.parametrize(
    ("limit_ms", "tries", "expected"),
    [
        pytest.param(2_000, 7, [50] * 6 + [2_000], id="default"),
        pytest.param(2_000, 1, [2_000], id="one-try"),
        pytest.param(20, 3, [20, 20, 20], id="shorter-than-50"),
        pytest.param(0, 3, [0, 0, 0], id="no-limit"),
    ],
)
def test_only_the_last_try_is_patient(limit_ms, tries, expected):
    limit = Limit(limit_ms, 7)
    assert [limit.of_try(n, tries - 1) for n in range(tries)] == [Limit(ms, 7) for ms in expected]


@pytest.mark.parametrize("value", ["²", "٣", "-1", "1.5", "", "2147483648", "9" * 5000])
def test_limit_is_a_whole_number_that_postgresql_takes(value):
    for name in ("STAGE1_DDL_LOCK_TIMEOUT_MS", "STAGE1_LOCK_RETRIES"):
        with pytest.raises(SettingsError, match=f"{name} is .* not a whole number up to"):
            load({name: value})


@pytest.mark.parametrize("value", ["1e300", "nan", "inf", "-1", "x"])
def test_wait_is_a_number_of_seconds_that_can_be_waited(value):
    with pytest.raises(SettingsError, match="not a number of seconds"):
        load({}, wait=value)


def test_pause_stays_bounded_however_often_it_is_tried():
    assert Limits().pause_s(5000) == 30


def test_ddl_gives_way_to_writers_until_it_finds_its_moment(empty):
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0001")
    told = []
    with writing(empty, lambda: "try 2" in "".join(told)), migrate._told(told.append):
        command.upgrade(config, "0002")
    tries = [line for line in told if re.search(r"stopped at a lock of .*; try \d of 7", line)]
    assert re.search(r"of pid \d+ .*: LOCK TABLE walkforward_runs .*; try 2 of 7", tries[0])
    with connect(empty.postgres) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)


def test_fill_tries_a_batch_again_of_which_a_writer_holds_a_row(empty, owner, monkeypatch):
    monkeypatch.setenv("STAGE1_BACKFILL_LOCK_TIMEOUT_MS", "2000")
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0001")
    filled(owner, 300)
    a_row = "(SELECT run_id FROM walkforward_runs ORDER BY run_id LIMIT 1 OFFSET 150)"
    told = []
    batch = backfill._Batches._execute
    with connect(empty.postgres) as writer:
        threads = []

        def locked(batches, *arguments):
            if not threads:  # the first batch: before it, the columns are added
                writer.execute(f"SELECT FROM walkforward_runs WHERE run_id = {a_row} FOR UPDATE")
                threads.append(when(lambda: "again in" in "".join(told), writer.rollback))
            return batch(batches, *arguments)

        monkeypatch.setattr(backfill._Batches, "_execute", locked)
        with migrate._told(told.append):
            command.upgrade(config, "0002")
        threads[0].join()
    assert [line for line in told if "a row is locked; again in" in line]
    assert not [line for line in told if "try 2" in line]
    left = "SELECT count(*) AS n FROM walkforward_runs WHERE serialized_config IS NULL"
    assert owner.execute(left).fetchone() == {"n": 0}


def test_only_the_stamp_waits_for_the_disk(empty, owner):
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0001")
    filled(owner, 3)
    name = empty.postgres.parameters["dbname"]
    with connect(empty.postgres, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = local")
    owner.execute(NOTE)
    owner.execute(
        "CREATE OR REPLACE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" INSERT INTO noted (limits) SELECT {SYNC}; RETURN NEW; END $$"
    )
    for table in ("walkforward_runs", "alembic_version"):
        owner.execute(
            f"CREATE TRIGGER tg_00_note BEFORE UPDATE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION note_row()"
        )
    command.upgrade(config, "0002")
    noted = owner.execute("SELECT DISTINCT limits FROM noted ORDER BY 1").fetchall()
    assert [each["limits"] for each in noted] == ["alembic_version local", "walkforward_runs off"]


def test_fill_tells_how_far_it_is(empty, owner, monkeypatch):
    monkeypatch.setattr(backfill, "TELL_EVERY_S", 0)
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0001")
    filled(owner, 300)
    size = "SELECT pg_relation_size('walkforward_runs') / 8192 AS pages"
    pages = owner.execute(size).fetchone()["pages"]
    told = []
    with migrate._told(told.append):
        command.upgrade(config, "0002")
    prefix = "Backfill of walkforward_runs: "
    lines = [line.removeprefix(prefix) for line in told if line.startswith(prefix)]
    *progress, last = lines
    done = [int(re.fullmatch(rf"(\d+) of {pages} pages", line).group(1)) for line in progress]
    assert done == sorted(done)
    assert done[-1] == pages
    assert last == "300 rows changed"
