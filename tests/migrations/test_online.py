"""Online operations: what an interrupted run left is removed or taken up, writers go on."""

import psycopg
import pytest
from alembic import command

from stage1_schema.ops import migrate
from tests.plugins.databases import ROLES, client

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


OPERATIONS = '''"""Test

Revision ID: 0099
"""
from alembic import op
revision = "0099"
down_revision = "%s"


def upgrade() -> None:
    op.add_check_online("ck_datasets_slug_given", "datasets", "dataset_slug <> ''")


def downgrade() -> None:
    op.drop_constraint("ck_datasets_slug_given", "datasets")
'''


@pytest.fixture
def checked(empty, tmp_path):
    """A configuration whose history ends with a check that is added online."""
    import shutil
    from pathlib import Path

    root = Path(__file__).resolve().parents[2]
    shutil.copytree(root / "migrations", tmp_path / "migrations")
    (tmp_path / "migrations" / "versions" / "0099_x.py").write_text(OPERATIONS % migrate.head())
    config = migrate.config(empty, SKIP)
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    return config


def test_check_is_validated_and_a_broken_row_stops_it(checked, empty, owner):
    command.upgrade(checked, migrate.head())
    owner.execute("INSERT INTO datasets (dataset_id, dataset_slug) VALUES (gen_random_uuid(), 'd')")
    owner.execute("ALTER TABLE datasets DISABLE TRIGGER USER")
    owner.execute("UPDATE datasets SET dataset_slug = ''")
    with pytest.raises(Exception, match="ck_datasets_slug_given"):
        command.upgrade(checked, "head")
    query = "SELECT convalidated FROM pg_constraint WHERE conname = 'ck_datasets_slug_given'"
    assert owner.execute(query).fetchone() == {"convalidated": False}
    owner.execute("UPDATE datasets SET dataset_slug = 'd'")
    command.upgrade(checked, "head")
    assert owner.execute(query).fetchone() == {"convalidated": True}
    command.downgrade(checked, "-1")
    assert owner.execute(query).fetchone() is None


def test_every_operation_knows_its_inverse():
    from stage1_schema.alembic_plugin.online import CreateIndexOnlineOp

    made = CreateIndexOnlineOp("i", "t", ("a",), unique=True, where="a > 1")
    assert made.reverse().reverse().statement() == made.statement()
