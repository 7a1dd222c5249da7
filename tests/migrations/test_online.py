"""Online operations: what an interrupted run left is removed or taken up, writers go on."""

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine, event

from stage1_schema.ops import migrate
from tests.plugins.databases import ROLES, client
from tests.postgres import clients, rows

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


def test_batches_by_two_columns_are_small_to_the_planner_too(empty, owner):
    """Else it reads the whole table for each of them, once the table is large."""
    to(empty, "0008")
    owner.execute(clients.c_dataset(rows.C_DATASET))
    owner.execute(
        "INSERT INTO walkforward_runs (run_id, dataset_id)"
        " SELECT md5(n::text)::uuid, dataset_id FROM datasets, generate_series(1, 5000) n"
    )
    owner.execute(
        "INSERT INTO walkforward_folds (run_id, fold_number, metrics)"
        ' SELECT run_id, f, \'{"best_iteration": 1, "best_score": 2}\''
        "   FROM walkforward_runs, generate_series(0, 4) f"
    )
    owner.execute("ANALYZE")
    batches = []

    def noted(*arguments):
        if arguments[2].startswith("UPDATE walkforward_folds"):
            batches.append(arguments[2])

    event.listen(Engine, "before_cursor_execute", noted)
    try:
        to(empty, "0009")
    finally:
        event.remove(Engine, "before_cursor_execute", noted)
    assert len(batches) > 5
    middle = batches[len(batches) // 2]
    owner.execute("UPDATE walkforward_folds SET best_score = NULL")
    (plan,) = owner.execute(f"EXPLAIN (FORMAT JSON) {middle}").fetchone()["QUERY PLAN"]
    (scan,) = plan["Plan"]["Plans"]
    # What it cannot estimate it takes for a third of the 25,000 rows.
    assert scan["Plan Rows"] < 4000


def test_fill_goes_on_where_it_stopped(empty, owner):
    to(empty, "0001")
    owner.execute(clients.c_dataset(rows.C_DATASET))
    owner.execute(
        "INSERT INTO walkforward_runs (run_id, dataset_id)"
        " SELECT gen_random_uuid(), dataset_id FROM datasets, generate_series(1, 300)"
    )
    owner.execute("CREATE TABLE made (n int)")
    config = migrate.config(empty, SKIP)
    stop = "DO $$ BEGIN PERFORM 1; END $$"
    owner.execute(stop)
    owner.execute(
        """CREATE FUNCTION fail_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF (SELECT count(*) FROM made) >= 100 THEN RAISE EXCEPTION 'stopped'; END IF;
           INSERT INTO made VALUES (1); RETURN NEW; END $$;
           CREATE TRIGGER tg_00_fail BEFORE UPDATE ON walkforward_runs
               FOR EACH ROW EXECUTE FUNCTION fail_late()"""
    )
    with pytest.raises(Exception, match="stopped"):
        command.upgrade(config, "0002")
    query = "SELECT count(*) FROM walkforward_runs WHERE serialized_config IS NOT NULL"
    done = owner.execute(query).fetchone()["count"]
    assert 0 < done <= 100
    owner.execute("DROP FUNCTION fail_late CASCADE; TRUNCATE made")
    command.upgrade(config, "0002")
    assert owner.execute(query).fetchone()["count"] == 300


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
