"""A column that somebody renamed by hand is renamed back, with its values and all that uses it."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from stage1_schema.ops import plan
from tests.migrations.developer import lines

COLUMNS = [
    # a table, a column, what it is called
    ("datasets", "symbol", "sym"),  # in three views
    ("datasets", "dataset_id", "id"),  # foreign keys refer to it
    ("datasets", "dataset_slug", "Slug of it"),  # unique
    ("datasets", "metadata", "facts"),
    ("walkforward_runs", "dataset_id", "of"),  # a foreign key, indexes
    ("walkforward_runs", "status", "state"),
    ("walkforward_folds", "run_id", "user"),  # a foreign key, in a key
    ("walkforward_folds", "fold_number", "number"),
    ("simulation_runs", "mode", "kind"),  # a CHECK
    ("simulation_runs", "serialized_config", "config_text"),
    ("simulation_trades", "trade_id", "trade"),
    ("simulation_trade_buckets", "side", "which"),
    ("stage1_jobs", "status", "state"),  # an index predicate, a CHECK, a default
    ("stage1_jobs", "message", "said"),
    ("stage1_jobs", "status", "text"),  # a type in what says it
    ("stage1_jobs", "status", "PENDING"),  # a value in what says it
    ("spool_replays", "replay_id", "id"),  # an identity
    ("spool_units", "unit", "which"),
]


def rename(connection, table, column, name):
    connection.execute(f'ALTER TABLE {table} RENAME COLUMN {column} TO "{name}"')


def differences(developer):
    with pytest.raises(CommandError) as told:
        command.check(developer.config)
    return [line.strip() for line in str(told.value).splitlines() if line.startswith("  ")]


@pytest.mark.parametrize(("table", "column", "name"), COLUMNS)
def test_each_is_named_and_renamed_back(developer, connection, table, column, name):
    """Nothing else of it, of its keys, CHECKs, indexes, rights or views is a difference."""
    rename(connection, table, column, name)
    assert differences(developer) == [f"column {table}.{column}: declared, live called {name}"]
    text = developer.revise()
    assert [line.partition("(")[0] for line in lines(text)] == ["op.execute"]
    assert plan.make(developer.settings, ["questdb=skip"]).hazards == ("changes names",)
    developer.up_down_up()


def test_its_values_are_kept(developer, connection):
    connection.execute("INSERT INTO stage1_jobs (job_type, message) VALUES ('a', 'kept')")
    rename(connection, "stage1_jobs", "message", "said")
    developer.revise()
    developer.up_down_up()
    assert connection.execute("SELECT message FROM stage1_jobs").fetchall() == [{"message": "kept"}]


def test_all_at_once_in_renamed_tables(developer, connection):
    for (table, column), name in {each[:2]: each[2] for each in COLUMNS}.items():
        rename(connection, table, column, name)
    for table in dict.fromkeys(table for table, *_ in COLUMNS):
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    found = differences(developer)
    assert all("declared, live called" in line for line in found), found
    developer.revise()
    developer.up_down_up()


CHANGES = """
ALTER TABLE stage1_jobs DROP CONSTRAINT ck_stage1_jobs_status,
  ADD CONSTRAINT ck_stage1_jobs_status CHECK (state <> ''), ALTER total TYPE numeric,
  ADD CONSTRAINT more CHECK (state <> 'x');
DROP INDEX ix_stage1_jobs_pending;
CREATE INDEX ix_stage1_jobs_pending ON stage1_jobs (lower(state)) WHERE state <> '';
CREATE INDEX by_hand ON stage1_jobs (state);
ALTER TABLE walkforward_folds DROP CONSTRAINT fk_walkforward_folds_run_id_walkforward_runs,
  ADD CONSTRAINT fk_walkforward_folds_run_id_walkforward_runs FOREIGN KEY (run_id)
  REFERENCES walkforward_runs (run);
GRANT UPDATE (state) ON stage1_jobs TO stage1_readonly;
"""


def test_what_else_changed_is_repaired_with_it(developer, connection):
    rename(connection, "stage1_jobs", "status", "state")
    rename(connection, "walkforward_runs", "run_id", "run")
    connection.execute(CHANGES)
    found = differences(developer)
    assert len([line for line in found if "live called" in line]) == 2
    assert len(found) == 9
    command.revision(developer.config, "change", autogenerate=True)
    developer.up_down_up(to="0013")


@pytest.mark.parametrize(
    "by_hand",
    [
        pytest.param("RENAME message TO source", id="a name that the history made elsewhere"),
        pytest.param("ALTER message SET DEFAULT 'x', ADD z text", id="nothing renamed"),
    ],
)
def test_a_name_of_another_table_is_no_obstacle(developer, connection, by_hand):
    connection.execute(f"ALTER TABLE stage1_jobs {by_hand}")
    renamed = [line for line in differences(developer) if "live called" in line]
    assert len(renamed) == by_hand.startswith("RENAME")
    developer.revise()
    developer.up_down_up()


def test_an_edit_of_the_declarations_is_none(developer, models):
    """Whoever takes one away and declares another in its place does not mean the same values."""
    jobs = models.tables["stage1_jobs"]
    jobs._columns.remove(jobs.c.message)
    jobs.append_column(sa.Column("remark", sa.Text()))
    jobs._columns = sorted_like(jobs, "remark", "error")
    found = [line.partition("(")[0] for line in lines(developer.revise())]
    assert sorted(found) == ["op.add_column", "op.drop_column"]


def sorted_like(table, name, before):
    """Return the table's columns with one of them before another."""
    columns = {each.name: each for each in table.columns}
    moved = columns.pop(name)
    ordered = [each for n in columns for each in ([moved] * (n == before) + [columns[n]])]
    return type(table._columns)([(each.key, each) for each in ordered])


def test_a_column_that_was_dropped_and_another_put_in(developer, connection):
    """At the end, where it does not stand in the place of the one that went."""
    connection.execute("ALTER TABLE stage1_jobs DROP COLUMN message, ADD z text")
    developer.revise()
    assert "RENAME" not in "".join(differences(developer))
