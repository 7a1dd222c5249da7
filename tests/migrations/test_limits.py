"""Each kind of step has limits of its own, and a long fill tells how far it is."""

import re
import threading
import time
from contextlib import contextmanager

import pytest
from alembic import command

from stage1_schema.alembic_plugin import backfill
from stage1_schema.connect import connect
from stage1_schema.ops import migrate
from tests.plugins.databases import ROLES, client
from tests.postgres import clients, rows

SKIP = ("questdb=skip",)
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


@contextmanager
def writing(settings, seconds):
    """A writer's open transaction, which an index build waits for."""
    with connect(settings.postgres) as writer:
        writer.execute("LOCK TABLE walkforward_runs IN ROW EXCLUSIVE MODE")
        timer = threading.Timer(seconds, writer.rollback)
        timer.start()
        yield
        timer.join()


def test_index_build_outwaits_the_limit_of_plain_ddl(empty):
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0002")
    told = []
    began = time.monotonic()
    with writing(empty, 1.5), migrate._told(told.append):
        command.upgrade(config, "0003")
    assert time.monotonic() - began > 1.5
    assert not [line for line in told if "try 2" in line]


def test_index_build_has_a_limit_too(empty, monkeypatch):
    monkeypatch.setenv("STAGE1_INDEX_LOCK_TIMEOUT_MS", "300")
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0002")
    told = []
    with writing(empty, 1.5), migrate._told(told.append):
        command.upgrade(config, "0003")
    assert [line for line in told if "try 2" in line]


def test_fill_has_limits_of_its_own(empty, owner):
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0001")
    filled(owner, 3)
    owner.execute(NOTE)
    owner.execute(
        "CREATE TRIGGER tg_00_note BEFORE UPDATE ON walkforward_runs"
        " FOR EACH ROW EXECUTE FUNCTION note_row()"
    )
    command.upgrade(config, "0002")
    noted = owner.execute("SELECT DISTINCT limits FROM noted").fetchall()
    assert noted == [{"limits": "10400ms 60003ms"}]


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
    assert [each["limits"] for each in noted] == ["15400ms 60004ms", "400ms 60001ms"]


def test_fill_tells_how_far_it_is(empty, owner, monkeypatch):
    monkeypatch.setattr(backfill, "TELL_EVERY_S", 0)
    config = migrate.config(empty, SKIP)
    command.upgrade(config, "0001")
    filled(owner, 300)
    told = []
    with migrate._told(told.append):
        command.upgrade(config, "0002")
    prefix = "Backfill of walkforward_runs: "
    lines = [line.removeprefix(prefix) for line in told if line.startswith(prefix)]
    *progress, last = lines
    done = [int(re.fullmatch(r"(\d+) of about 300 rows", line).group(1)) for line in progress]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (backfill.FIRST, 300)
    assert last == "300 rows changed"
