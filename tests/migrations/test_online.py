"""Online operations: what an interrupted run left is removed or taken up, writers go on."""

import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Engine, event

from stage1_schema.ops import migrate
from tests.plugins.databases import ROLES, client

ROOT = Path(__file__).resolve().parents[2]
SKIP = ("questdb=skip",)
RUN_NAME = "uq_walkforward_runs_dataset_id_prediction_measurement"
INDEX = "ix_walkforward_runs_completed_at"
SAME_NAME = """
INSERT INTO datasets (dataset_id, dataset_slug) VALUES (gen_random_uuid(), 'd');
INSERT INTO walkforward_runs (run_id, dataset_id, prediction_measurement)
SELECT gen_random_uuid(), dataset_id, 'same' FROM datasets, generate_series(1, 2);
"""


def to(settings, revision):
    command.upgrade(migrate.config(settings, SKIP), revision)


def indexes(connection, name):
    query = """SELECT indisvalid, pg_get_indexdef(indexrelid) AS definition FROM pg_index
                WHERE indexrelid = to_regclass(%s)"""
    return connection.execute(query, [name]).fetchall()


@pytest.fixture
def owner(empty):
    with client(empty, ROLES.owner) as connection:
        yield connection


def test_invalid_index_of_an_interrupted_build_is_built_anew(empty, owner):
    to(empty, "0002")
    owner.execute(SAME_NAME)
    with pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(
            f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON walkforward_runs (prediction_measurement)"
        )
    assert [each["indisvalid"] for each in indexes(owner, INDEX)] == [False]
    to(empty, "0003")
    (found,) = indexes(owner, INDEX)
    assert found["indisvalid"]
    assert "(completed_at)" in found["definition"]


def test_index_of_another_table_is_not_taken_for_it(empty, owner):
    """IF NOT EXISTS would build none and say nothing."""
    to(empty, "0002")
    owner.execute(f"CREATE INDEX {INDEX} ON stage1_jobs (status)")
    with pytest.raises(Exception, match=f"{INDEX} is the name of an index of stage1_jobs. Next"):
        to(empty, "0003")
    owner.execute(f"DROP INDEX {INDEX}")
    to(empty, "0003")
    (found,) = indexes(owner, INDEX)
    assert "ON public.walkforward_runs" in found["definition"]


def test_names_that_are_not_unique_leave_no_index_and_one_line(empty, owner):
    to(empty, "0003")
    owner.execute(SAME_NAME)
    with pytest.raises(Exception, match=r"must be unique.*same") as error:
        to(empty, "0004")
    assert "\n" not in str(error.value)
    assert indexes(owner, RUN_NAME) == []
    owner.execute("UPDATE walkforward_runs SET prediction_measurement = run_id::text")
    to(empty, "0004")
    assert [each["indisvalid"] for each in indexes(owner, RUN_NAME)] == [True]


def test_unique_name_takes_up_an_index_that_stands(empty, owner):
    to(empty, "0003")
    owner.execute(
        f"CREATE UNIQUE INDEX {RUN_NAME} ON walkforward_runs (dataset_id, prediction_measurement)"
    )
    to(empty, "0004")
    query = "SELECT contype::text FROM pg_constraint WHERE conname = %s"
    assert owner.execute(query, [RUN_NAME]).fetchone() == {"contype": "u"}


REVISION = '''"""Test

Revision ID: 0099
"""
from alembic import op
revision = "0099"
down_revision = "%s"


def upgrade() -> None:
    %s


def downgrade() -> None:
    %s
'''


@pytest.fixture
def online(empty, tmp_path):
    """Give a configuration whose history ends with an operation and its way back."""

    def made(up, down):
        shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
        text = REVISION % (migrate.head(), up, down)
        (tmp_path / "migrations" / "versions" / "0099_x.py").write_text(text)
        config = migrate.config(empty, SKIP)
        command.upgrade(config, "head")
        config.set_main_option("script_location", str(tmp_path / "migrations"))
        return config

    return made


DATASET = "INSERT INTO datasets (dataset_id, dataset_slug) VALUES (gen_random_uuid(), 'd')"
ONLINE = [
    pytest.param(
        'op.add_check_online("ck_datasets_given", "datasets", "symbol NOT LIKE \'%:none\'")',
        'op.drop_constraint("ck_datasets_given", "datasets")',
        ("ck_datasets_given", "SELECT 'x:none'"),
        id="check",
    ),
    pytest.param(
        'op.add_foreign_key_online("fk_datasets_symbol", "datasets", ["symbol"],'
        ' referred="datasets", referred_columns=["dataset_slug"])',
        'op.drop_constraint("fk_datasets_symbol", "datasets")',
        ("fk_datasets_symbol", "SELECT 'none'"),
        id="foreign key",
    ),
    pytest.param(
        'op.set_not_null_online("datasets", "symbol")',
        'op.alter_column("datasets", "symbol", nullable=True)',
        ("stage1_not_null_symbol", "SELECT NULL"),
        id="not null",
    ),
]


def column(connection):
    """Return what holds of datasets.symbol, and whether it is validated."""
    query = """
        SELECT conname AS name, convalidated AS valid FROM pg_constraint
         WHERE conrelid = 'datasets'::regclass AND conkey = ARRAY(
               SELECT attnum FROM pg_attribute
                WHERE attrelid = conrelid AND attname = 'symbol') AND contype <> 'n'
         UNION ALL SELECT 'NOT NULL', true FROM pg_attribute
                    WHERE attrelid = 'datasets'::regclass AND attname = 'symbol' AND attnotnull
    """
    return {row["name"]: row["valid"] for row in connection.execute(query)}


@pytest.mark.parametrize(("up", "down", "broken"), ONLINE)
def test_broken_row_stops_it_and_leaves_nothing(online, owner, up, down, broken):
    config, name = online(up, down), broken[0]
    owner.execute(DATASET)
    owner.execute(f"UPDATE datasets SET symbol = ({broken[1]})")
    with pytest.raises(CommandError) as stopped:
        command.upgrade(config, "head")
    assert f"datasets has rows that break {name}" in str(stopped.value)
    query = re.search("find them with (SELECT .*), mend them", str(stopped.value)).group(1)
    assert len(owner.execute(query).fetchall()) == 1
    assert column(owner) == {}
    owner.execute("UPDATE datasets SET symbol = dataset_slug")
    command.upgrade(config, "head")
    assert set(column(owner).values()) == {True}
    assert set(column(owner)) == {"NOT NULL" if name.startswith("stage1_not_null") else name}
    command.downgrade(config, "-1")
    assert column(owner) == {}


@contextmanager
def losing_connection(owner, at=0):
    """Give the statements that are sent; before number `at` the server ends that connection."""
    sent = []

    def send(connection, _cursor, statement, *_):
        sent.append(statement)
        if len(sent) == at:
            pid = connection.connection.dbapi_connection.info.backend_pid
            owner.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])

    event.listen(Engine, "before_cursor_execute", send)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", send)


@pytest.mark.parametrize(("up", "down", "_broken"), ONLINE)
def test_interrupted_run_is_taken_up(online, owner, up, down, _broken):
    """Wherever it is, from the first look at the rows on."""
    config = online(up, down)
    owner.execute(DATASET)
    owner.execute("UPDATE datasets SET symbol = dataset_slug")
    with losing_connection(owner) as sent:
        command.upgrade(config, "head")
    made = column(owner)
    first = next(n for n, statement in enumerate(sent, 1) if '"datasets"' in statement)
    for at in range(first, len(sent) + 1):
        command.downgrade(config, "-1")
        assert column(owner) == {}
        with losing_connection(owner, at), pytest.raises(Exception, match=r"connection|closed"):
            command.upgrade(config, "head")
        command.upgrade(config, "head")
        assert column(owner) == made
    assert len(sent) - first > 5


FILLED = (
    'op.add_column("datasets", sa.Column("exchange", sa.Text()), if_not_exists=True);'
    'op.backfill("datasets", "0099/fill.sql", key=["dataset_id"]);'
    'op.set_not_null_online("datasets", "exchange")'
)


def test_new_column_is_filled_and_then_not_null(online, owner, tmp_path):
    config = online(f"import sqlalchemy as sa; {FILLED}", 'op.drop_column("datasets", "exchange")')
    fill = tmp_path / "migrations" / "sql" / "0099" / "fill.sql"
    fill.parent.mkdir()
    fill.write_text("UPDATE datasets SET exchange = 'x' WHERE exchange IS NULL AND /* page */ true")
    owner.execute(DATASET)
    command.upgrade(config, "head")
    assert owner.execute("SELECT exchange FROM datasets").fetchall() == [{"exchange": "x"}]
    with pytest.raises(psycopg.errors.NotNullViolation):
        owner.execute(DATASET)


def test_every_operation_knows_its_inverse():
    from stage1_schema.alembic_plugin.online import CreateIndexOnlineOp

    made = CreateIndexOnlineOp("i", "t", ("a",), unique=True, where="a > 1")
    assert made.reverse().reverse().statement() == made.statement()
