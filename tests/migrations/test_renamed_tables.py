"""A table that somebody renamed by hand is renamed back, with its rows and all that uses it."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from stage1_schema.models import Base
from stage1_schema.ops import plan
from tests.migrations.developer import lines

TABLES = tuple(Base.metadata.tables)
NAMES = {
    "plain": "jobs_old",
    "of before": "jobs",
    "quoted": '"Jobs of ""old"""',
    "word": '"user"',
    "column": "status",
}


def rename(connection, table, name):
    connection.execute(f"ALTER TABLE {table} RENAME TO {name}")


def differences(developer):
    with pytest.raises(CommandError) as told:
        command.check(developer.config)
    return [line.strip() for line in str(told.value).splitlines() if line.startswith("  ")]


@pytest.mark.parametrize("table", TABLES)
def test_each_is_named_and_renamed_back(developer, connection, table):
    """Nothing else of it, of its foreign keys or of its views is a difference."""
    rename(connection, table, "by_hand")
    assert differences(developer) == [f"table {table}: declared, live called by_hand"]
    text = developer.revise()
    assert [line.partition("(")[0] for line in lines(text)] == ["op.execute"]
    assert [each.hazards for each in plan.make(developer.settings, ["questdb=skip"]).revisions] == [
        ("changes names",)
    ]
    developer.up_down_up()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_whatever_it_is_called(developer, connection, name):
    connection.execute("INSERT INTO stage1_jobs (job_type) VALUES ('kept')")
    rename(connection, "stage1_jobs", name)
    (line,) = differences(developer)
    assert line.startswith("table stage1_jobs: declared, live called ")
    developer.revise()
    developer.up_down_up()
    rows = connection.execute("SELECT job_type FROM stage1_jobs").fetchall()
    assert rows == [{"job_type": "kept"}]


def test_all_at_once(developer, connection):
    for n, table in enumerate(TABLES):
        rename(connection, table, f"old_{n}")
    assert len(differences(developer)) == len(TABLES)
    assert len(lines(developer.revise())) == len(TABLES)
    developer.up_down_up()


def test_two_exchanged_their_names(developer, connection):
    """Both are there, each with the columns of the other."""
    rename(connection, "spool_units", "aside")
    rename(connection, "spool_replays", "spool_units")
    rename(connection, "aside", "spool_replays")
    assert differences(developer)


CHANGES = """
ALTER TABLE stage1_jobs ADD extra text, DROP COLUMN message, ALTER total TYPE numeric,
  DROP CONSTRAINT ck_stage1_jobs_status, ALTER status SET DEFAULT 'x', SET UNLOGGED,
  ADD CONSTRAINT more CHECK (job_type <> '');
DROP INDEX ix_stage1_jobs_pending;
GRANT DELETE ON stage1_jobs TO stage1_app;
COMMENT ON CONSTRAINT pk_stage1_jobs ON stage1_jobs IS 'by hand';
ALTER TABLE stage1_jobs RENAME CONSTRAINT pk_stage1_jobs TO jobs_pkey;
ALTER TABLE walkforward_folds DROP CONSTRAINT fk_walkforward_folds_run_id_walkforward_runs,
  ADD CONSTRAINT fk_walkforward_folds_run_id_walkforward_runs FOREIGN KEY (run_id)
  REFERENCES walkforward_runs;
"""


def test_what_else_changed_is_repaired_with_it(developer, connection):
    connection.execute(CHANGES)
    rename(connection, "stage1_jobs", "jobs_old")
    rename(connection, "walkforward_runs", "runs_old")
    rename(connection, "datasets", "datasets_old")
    found = differences(developer)
    assert len([line for line in found if "live called" in line]) == 4
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to="0013")


FOLDS = "fk_walkforward_folds_run_id_walkforward_runs"
WITH_IT = {
    "a foreign key from it": (
        "walkforward_folds",
        (f"ALTER TABLE old DROP CONSTRAINT {FOLDS}, ADD CONSTRAINT {FOLDS}"
        " FOREIGN KEY (run_id) REFERENCES walkforward_runs"),
    ),
    "a column that refers to another": (
        "stage1_jobs", "ALTER TABLE old ADD parent uuid REFERENCES datasets",
    ),
    "a column that refers to it": (
        "datasets", "ALTER TABLE stage1_jobs ADD parent uuid CONSTRAINT fkx REFERENCES old",
    ),
    "a type that is not cast back by itself": (
        "stage1_jobs", "ALTER TABLE old ALTER total TYPE text, ALTER payload TYPE text",
    ),
    "a default that steps aside": (
        "stage1_jobs",
        ("ALTER TABLE old ALTER progress DROP DEFAULT, ALTER progress TYPE text,"
        " ALTER progress SET DEFAULT '1'"),
    ),
    "comments": (
        "stage1_jobs", "COMMENT ON COLUMN old.status IS 'x'; COMMENT ON TABLE old IS 'y'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("table", "change"), WITH_IT.values(), ids=WITH_IT)
def test_one_revision_repairs_what_changed_with_it(developer, connection, table, change):
    rename(connection, table, "old")
    connection.execute(change)
    assert len(differences(developer)) > 1
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to="0013")


def test_the_declarations_change_with_it(developer, models, connection):
    rename(connection, "stage1_jobs", "old")
    jobs = models.tables["stage1_jobs"]
    jobs.comment = "What runs"
    jobs.c.status.comment = "How it stands"
    jobs.c.message.type = sa.Integer()
    jobs.append_column(sa.Column("parent", sa.Uuid(), sa.ForeignKey("stage1_jobs.job_id")))
    sa.Index("ix_more", jobs.c.parent, jobs.c.status)
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to="0013")


def test_a_view_has_its_name(developer, connection, caplog):
    """Somebody kept the clients going: it has to go first, and the developer is told."""
    rename(connection, "stage1_jobs", "jobs_old")
    connection.execute("CREATE VIEW stage1_jobs AS SELECT * FROM jobs_old")
    developer.revise()
    told = "view stage1_jobs: skipped: not of Stage1, and has the name of a table: drop it"
    assert told in [each.message for each in caplog.records]
    with pytest.raises(CommandError, match='relation "stage1_jobs" already exists'):
        command.upgrade(developer.config, "head")
    connection.execute("DROP VIEW stage1_jobs")
    developer.up_down_up()


def test_a_table_of_others_is_not_taken(developer, connection, models):
    """It has the columns of one that is declared and new, or a key's name of one that is gone."""
    connection.execute(
        "CREATE TABLE tags (id integer PRIMARY KEY, name text);"
        "CREATE TABLE strange (job_id uuid, other text);"
        "DROP TABLE stage1_jobs; CREATE INDEX ix_stage1_jobs_purge ON strange (job_id)"
    )
    sa.Table(
        "labels",
        models,
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text()),
    )
    text = developer.revise()
    assert text.count("op.create_table(") == 2
    assert "RENAME" not in text


def test_a_copy_is_not_taken_for_it(developer, connection):
    connection.execute("CREATE TABLE copy (LIKE stage1_jobs INCLUDING ALL); DROP TABLE stage1_jobs")
    assert "table stage1_jobs: declared, not there" in differences(developer)
