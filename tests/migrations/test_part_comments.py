"""Comments on constraints and indexes, which Alembic neither reads nor sets."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from stage1_schema.alembic_plugin.verbatim import literal
from tests.migrations.developer import lines

BY_HAND = {
    "primary key that others refer to": (
        "CONSTRAINT pk_datasets ON datasets",
        "constraint datasets.pk_datasets",
    ),
    "unique": (
        "CONSTRAINT uq_datasets_dataset_slug ON datasets",
        "constraint datasets.uq_datasets_dataset_slug",
    ),
    "check": (
        "CONSTRAINT ck_stage1_jobs_status ON stage1_jobs",
        "constraint stage1_jobs.ck_stage1_jobs_status",
    ),
    "foreign key": (
        "CONSTRAINT fk_walkforward_folds_run_id_walkforward_runs ON walkforward_folds",
        "constraint walkforward_folds.fk_walkforward_folds_run_id_walkforward_runs",
    ),
    "index": ("INDEX ix_stage1_jobs_pending", "index ix_stage1_jobs_pending"),
}
SAID = 'it\'s 50 % :x \\ "of"\nall'


@pytest.fixture
def jobs(models):
    return models.tables["stage1_jobs"]


def comments(developer):
    found = developer.catalogue()
    parts = {**found["constraints"], **found["indexes"]}
    return {name: each.comment for name, each in parts.items() if each.comment}


@pytest.mark.parametrize(("target", "what"), BY_HAND.values(), ids=BY_HAND)
def test_one_by_hand_is_taken_off(developer, connection, target, what):
    connection.execute(f"COMMENT ON {target} IS {literal(SAID)}")
    with pytest.raises(CommandError, match=rf"{what}: comment declared None, live .it"):
        command.check(developer.config)
    assert len(lines(developer.revise())) == 1
    developer.up_down_up()
    assert comments(developer) == {}


def test_declared_ones_are_set(developer, jobs, models):
    """On what stands, on what is made anew, on what is new, and in a new table."""
    (stands,) = [each for each in jobs.constraints if each.name == "ck_stage1_jobs_status"]
    stands.comment = SAID
    jobs.append_constraint(sa.CheckConstraint("status <> '!'", name="new", comment="new"))
    jobs.append_constraint(sa.UniqueConstraint("job_id", "status", comment="two"))
    table = sa.Table("more", models, sa.Column("id", sa.Integer(), primary_key=True))
    table.append_constraint(sa.CheckConstraint("id > 0", name="id", comment="a table's"))
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to="0013")
    assert comments(developer) == {
        "stage1_jobs.ck_stage1_jobs_status": SAID,
        "stage1_jobs.ck_stage1_jobs_new": "new",
        "stage1_jobs.uq_stage1_jobs_job_id_status": "two",
        "more.ck_more_id": "a table's",
    }


def test_one_on_what_changes(developer, jobs, connection):
    """On a renamed constraint, and on one that is made anew."""
    connection.execute(
        "ALTER TABLE stage1_jobs RENAME CONSTRAINT ck_stage1_jobs_status TO known;"
        "COMMENT ON CONSTRAINT known ON stage1_jobs IS 'by hand';"
        "ALTER TABLE stage1_jobs ADD CONSTRAINT ck_stage1_jobs_more CHECK (status <> '?')"
    )
    jobs.append_constraint(sa.CheckConstraint("status <> '!'", name="more", comment="changed"))
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to="0013")
    assert comments(developer) == {"stage1_jobs.ck_stage1_jobs_more": "changed"}


def test_one_on_a_check_that_steps_aside(developer, jobs, connection):
    """For a column's new type."""
    connection.execute(
        "ALTER TABLE stage1_jobs ADD code integer,"
        " ADD CONSTRAINT ck_stage1_jobs_code CHECK (code > 0)"
    )
    jobs.append_column(sa.Column("code", sa.Text()))
    jobs.append_constraint(sa.CheckConstraint("code <> ''", name="code", comment="a code"))
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to="0013")
    assert comments(developer) == {"stage1_jobs.ck_stage1_jobs_code": "a code"}


GOES = {
    # by hand, and the CHECK that is declared with the same comment
    "what is not declared": (
        (
            "ALTER TABLE stage1_jobs ADD CONSTRAINT by_hand CHECK (status <> '?');"
            "COMMENT ON CONSTRAINT by_hand ON stage1_jobs IS 'said';"
            "CREATE INDEX ix_hand ON stage1_jobs (status); COMMENT ON INDEX ix_hand IS 'said'"
        ),
        None,
    ),
    "what Alembic drops": (
        (
            "ALTER TABLE stage1_jobs ADD CONSTRAINT by_hand UNIQUE (job_id, status);"
            "COMMENT ON CONSTRAINT by_hand ON stage1_jobs IS 'said'"
        ),
        None,
    ),
    "a text that changes": (
        (
            "ALTER TABLE stage1_jobs ADD CONSTRAINT ck_stage1_jobs_new CHECK (status <> '?');"
            "COMMENT ON CONSTRAINT ck_stage1_jobs_new ON stage1_jobs IS 'said'"
        ),
        "status <> '!'",
    ),
    "a column's type": (
        (
            "ALTER TABLE stage1_jobs ALTER total TYPE integer,"
            " ADD CONSTRAINT ck_stage1_jobs_new CHECK (total > 0);"
            "COMMENT ON CONSTRAINT ck_stage1_jobs_new ON stage1_jobs IS 'said'"
        ),
        "total > 0",
    ),
}


@pytest.mark.parametrize(("by_hand", "text"), GOES.values(), ids=GOES)
def test_the_way_back_says_what_was_said(developer, jobs, connection, by_hand, text):
    connection.execute(by_hand)
    if text:
        jobs.append_constraint(sa.CheckConstraint(text, name="new", comment="said"))
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to="0013")


def test_one_on_a_generated_column_that_is_made_anew(developer, models, connection):
    connection.execute(
        "ALTER TABLE simulation_trades ADD g double precision GENERATED ALWAYS AS (pnl * 2) STORED,"
        " ADD CONSTRAINT uq_g UNIQUE (g); COMMENT ON CONSTRAINT uq_g ON simulation_trades IS 'b'"
    )
    trades = models.tables["simulation_trades"]
    trades.append_column(sa.Column("g", sa.Double(), sa.Computed("pnl * 3", persisted=True)))
    trades.append_constraint(sa.UniqueConstraint("g", name="uq_g", comment="b"))
    developer.revise()
    developer.up_down_up()
    assert comments(developer) == {"simulation_trades.uq_g": "b"}


def test_one_on_a_check_whose_function_changes(developer, jobs):
    good = developer.files / "functions" / "good.sql"
    create = "CREATE OR REPLACE FUNCTION good({}) RETURNS boolean LANGUAGE sql IMMUTABLE"
    body = create + " AS 'SELECT true';\n"
    good.write_text(body.format("a text"))
    jobs.append_constraint(sa.CheckConstraint("good(status)", name="good", comment="first"))
    command.revision(developer.config, "tables", autogenerate=True)
    command.upgrade(developer.config, "head")
    head = max((developer.checkout / "migrations" / "versions").glob("0*.py")).name[:4]
    good.write_text(body.format("a text, b integer DEFAULT 1"))
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to=head)
    assert comments(developer) == {"stage1_jobs.ck_stage1_jobs_good": "first"}
