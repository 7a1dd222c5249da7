"""A generated revision changes standing tables without keeping their writers out."""

import pytest
import sqlalchemy as sa
from alembic import command

from stage1_schema.ops import migrate, plan
from tests.migrations.catalogue import catalogue

SKIP = ("questdb=skip",)
CATALOGUE_LOCK = "ACCESS EXCLUSIVE (blocks reads and writes for an instant)"
SCAN_LOCK = "ACCESS EXCLUSIVE (blocks reads and writes while it runs)"
BY_HAND = """
DROP INDEX ix_walkforward_runs_completed_at;
CREATE INDEX ix_walkforward_runs_completed_at ON walkforward_runs (started_at) WHERE status > 'A';
DROP INDEX ix_stage1_jobs_pending;
CREATE INDEX ix_more ON datasets USING gin (metadata);
CREATE INDEX ix_text ON datasets (lower(symbol) text_pattern_ops, created_at DESC)
 INCLUDE (source) WHERE symbol LIKE '50%';
ALTER TABLE datasets DROP CONSTRAINT uq_datasets_dataset_slug;
ALTER TABLE stage1_jobs DROP CONSTRAINT ck_stage1_jobs_status,
  ADD CONSTRAINT ck_stage1_jobs_status CHECK (status LIKE '%' AND status <> ':x');
ALTER TABLE simulation_trades ADD CONSTRAINT ck_more CHECK (metadata IS NOT NULL);
"""


@pytest.fixture
def config(migrated, checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    return migrate.config(migrated, SKIP)


def generate(config, checkout):
    command.revision(config, "change", autogenerate=True)
    paths = (checkout / "migrations" / "versions").glob("*_change*.py")
    return [path.read_text().split("def upgrade")[1] for path in sorted(paths)]


def operations(body):
    return [line.strip().partition("(")[0] for line in body.splitlines() if " op." in line]


def structure(settings):
    found = catalogue(settings)
    del found["columns"], found["grants"]
    return found


def test_repair_of_what_was_changed_by_hand(migrated, connection, config, checkout):
    connection.execute(BY_HAND)
    before = structure(migrated)
    (body,) = [each for each in generate(config, checkout) if "online" in each]
    forward, back = body.split("def downgrade")
    plain = [each for each in operations(body) if "online" not in each]
    assert set(plain) <= {"op.drop_constraint"}
    assert all("if_exists=True" in part for part in body.split("op.drop_constraint")[1:])
    assert "op.create_unique_online(" in forward
    assert 'op.drop_index_online("ix_more")' in forward
    assert "op.add_check_online(" in forward
    assert "op.add_check_online(" in back
    command.upgrade(config, "head")
    command.check(config)
    head = structure(migrated)
    command.downgrade(config, migrate.head())
    command.downgrade(config, "0013")
    assert structure(migrated) == before
    command.upgrade(config, "head")
    assert structure(migrated) == head
    command.revision(config, "again", autogenerate=True)
    assert not list((checkout / "migrations" / "versions").glob("*_again*.py"))


def test_foreign_keys_are_added_not_valid_and_then_validated(
    migrated, connection, config, checkout
):
    """Also of a table that another new one refers to; what they do on delete is kept."""
    connection.execute(
        "ALTER TABLE walkforward_folds DROP CONSTRAINT"
        " fk_walkforward_folds_run_id_walkforward_runs;"
        "ALTER TABLE walkforward_runs DROP CONSTRAINT fk_walkforward_runs_dataset_id_datasets;"
        "ALTER TABLE simulation_runs DROP CONSTRAINT fk_simulation_runs_run_id_walkforward_runs,"
        " ADD CONSTRAINT fk_simulation_runs_run_id_walkforward_runs FOREIGN KEY (run_id)"
        " REFERENCES walkforward_runs ON DELETE RESTRICT"
    )
    before = structure(migrated)
    (body,) = generate(config, checkout)
    forward, back = body.split("def downgrade")
    assert operations(forward).count("op.add_foreign_key_online") == 3
    assert "create_foreign_key" not in body
    assert 'ondelete="RESTRICT"' in back
    (found,) = plan.make(config.attributes["settings"], SKIP).revisions
    assert found.hazards == ()
    assert sum("NOT VALID" in each.sql for each in found.postgres) == 3
    command.upgrade(config, "head")
    command.check(config)
    head = structure(migrated)
    command.downgrade(config, "-1")
    assert structure(migrated) == before
    command.upgrade(config, "head")
    assert structure(migrated) == head


def test_column_and_its_index_become_two_revisions(migrated, config, checkout, models):
    jobs = models.tables["stage1_jobs"]
    jobs.append_column(sa.Column("code", sa.Text()))
    jobs.append_constraint(sa.CheckConstraint("code <> ''", name="code"))
    sa.Index("ix_stage1_jobs_code", jobs.c.code, postgresql_where=jobs.c.code.is_not(None))
    sa.Table(
        "notes",
        models,
        sa.Column("note_id", sa.Integer(), primary_key=True),
        sa.Column("code", sa.Text(), index=True),
    )
    first, second = generate(config, checkout)
    assert operations(first.split("def downgrade")[0]) == [
        "op.create_table",
        "op.create_index",
        "op.add_column",
    ]
    assert operations(second.split("def downgrade")[0]) == [
        "op.create_index_online",
        "op.add_check_online",
    ]
    before = structure(migrated)
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "0013")
    assert structure(migrated) == before
    command.upgrade(config, "head")
    command.check(config)


NOT_NULL = [
    pytest.param(["datasets.symbol"], "", [], id="alone"),
    pytest.param(["datasets.symbol", "datasets.source"], "", [], id="two"),
    pytest.param(
        ["datasets.symbol"],
        "COMMENT ON COLUMN datasets.symbol IS 'by hand'",
        ["op.alter_column"],
        id="with a comment",
    ),
    pytest.param(
        ["stage1_jobs.total"],
        "ALTER TABLE stage1_jobs ALTER total TYPE real",
        ["op.alter_column"],
        id="with a type",
    ),
    pytest.param(
        [], "ALTER TABLE datasets ADD number int", ["op.execute"] * 3, id="an identity needs it"
    ),
]


@pytest.mark.parametrize(("columns", "by_hand", "plain"), NOT_NULL)
def test_not_null_is_set_beside_writers(
    migrated, connection, config, checkout, models, columns, by_hand, plain
):
    if "number" in by_hand:
        models.tables["datasets"].append_column(
            sa.Column("number", sa.Integer(), sa.Identity(), nullable=False)
        )
    connection.execute(by_hand or "SELECT 1")
    for table, name in (each.split(".") for each in columns):
        models.tables[table].c[name].nullable = False
    before = catalogue(migrated)
    bodies = [each.split("def downgrade") for each in generate(config, checkout)]
    made = [line for up, _ in bodies for line in up.splitlines() if "set_not_null_online" in line]
    said = ('"{}", "{}"'.format(*each.split(".")) for each in columns)
    assert made == [f"    op.set_not_null_online({each})" for each in said]
    assert [each for up, _ in bodies for each in operations(up) if "online" not in each] == plain
    online = plan.make(config.attributes["settings"], SKIP).revisions[-1]
    locks = {str(lock.lock) for each in online.postgres for lock in each.locks}
    assert (CATALOGUE_LOCK in locks, SCAN_LOCK in locks) == (True, not columns)
    command.upgrade(config, "head")
    command.check(config)
    head = catalogue(migrated)
    command.downgrade(config, "0013")
    assert catalogue(migrated) == before
    command.upgrade(config, "head")
    assert catalogue(migrated) == head


def test_a_column_that_goes_takes_its_index_along(migrated, connection, config, checkout):
    connection.execute(
        "ALTER TABLE datasets ADD extra text; CREATE INDEX ix_extra ON datasets (extra)"
    )
    (body,) = generate(config, checkout)
    assert operations(body.split("def downgrade")[0]) == ["op.drop_index", "op.drop_column"]
    before = structure(migrated)
    command.upgrade(config, "head")
    command.downgrade(config, "-1")
    assert structure(migrated) == before


def test_a_head_without_a_number_is_compared_and_counted_from(
    migrated, connection, config, checkout
):
    versions = checkout / "migrations" / "versions"
    (versions / "mended.py").write_text(
        '"""As `alembic revision --rev-id` or `alembic merge` name it."""\n'
        'revision, down_revision = "mended", "0013"\n'
        "def upgrade(): pass\n"
        "def downgrade(): pass\n"
    )
    command.upgrade(config, "head")
    command.check(config)
    connection.execute("ALTER TABLE stage1_jobs ADD by_hand text")
    command.revision(config, "change", autogenerate=True)
    assert (versions / "0014_change.py").exists()
    command.upgrade(config, "head")
    command.check(config)


def test_a_unique_constraint_with_a_long_name_is_made_once(migrated, config, checkout, models):
    """PostgreSQL cuts a name at 63 bytes; the declared one is longer."""
    runs = models.tables["walkforward_runs"]
    names = ("dataset_id", "prediction_measurement", "requested_by")
    runs.append_constraint(sa.UniqueConstraint(*names))
    (body,) = generate(config, checkout)
    assert operations(body.split("def downgrade")[0]) == [
        "op.create_unique_online",
    ]
    before = structure(migrated)
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "-1")
    assert structure(migrated) == before
    command.upgrade(config, "head")
