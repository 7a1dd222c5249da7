"""A constraint of which the name alone changed is renamed: it holds all the time."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from stage1_schema.ops import plan
from tests.migrations.developer import lines

SKIP = ("questdb=skip",)
BY_HAND = {
    "unique": ("datasets", "uq_datasets_dataset_slug", "slug_once"),
    "check": ("stage1_jobs", "ck_stage1_jobs_status", "known_status"),
    "foreign key": (
        "walkforward_folds",
        "fk_walkforward_folds_run_id_walkforward_runs",
        "of_a_run",
    ),
}


def hazards(developer):
    return [each.hazards for each in plan.make(developer.settings, SKIP).revisions]


@pytest.mark.parametrize(("table", "declared", "live"), BY_HAND.values(), ids=BY_HAND)
def test_what_was_renamed_by_hand_is_renamed_back(developer, connection, table, declared, live):
    connection.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {declared} TO {live}")
    said = f"constraint {table}.{declared}: declared, live called {live}"
    with pytest.raises(CommandError, match=said):
        command.check(developer.config)
    text = developer.revise()
    assert len(lines(text)) == 1
    assert f'RENAME CONSTRAINT "{live}" TO "{declared}"' in text
    assert hazards(developer) == [()]
    developer.up_down_up()


def test_names_that_change_in_the_models_are_renamed(developer, models):
    jobs, datasets = models.tables["stage1_jobs"], models.tables["datasets"]
    for table, name, new in (
        (jobs, "ck_stage1_jobs_status", "known_status"),
        (datasets, "uq_datasets_dataset_slug", "slug_once"),
    ):
        (found,) = [each for each in table.constraints if each.name == name]
        table.constraints.remove(found)
        found.name = sa.sql.naming.conv(new)
        table.append_constraint(found)
    text = developer.revise()
    assert len(lines(text)) == 2
    assert text.count("RENAME CONSTRAINT") == 4  # there and back
    developer.up_down_up()


def test_a_name_that_an_index_has_is_not_taken_over(developer, connection):
    """That index goes first, for no two have one name."""
    connection.execute(
        "ALTER TABLE datasets RENAME CONSTRAINT uq_datasets_dataset_slug TO slug_once;"
        "CREATE INDEX uq_datasets_dataset_slug ON stage1_jobs (status)"
    )
    command.revision(developer.config, "change", autogenerate=True)
    versions = developer.checkout / "migrations" / "versions"
    first, second = (lines(path.read_text()) for path in sorted(versions.glob("*_change*.py")))
    assert [line.partition("(")[0] for line in first] == ["op.drop_index"]
    assert [line.partition("(")[0] for line in second] == [
        "op.create_unique_online",
        "op.drop_constraint",
    ]
    developer.up_down_up(to="0013")


def test_what_replaces_a_constraint_stands_before_it_goes(developer, models, connection):
    jobs, datasets = models.tables["stage1_jobs"], models.tables["datasets"]
    connection.execute(
        "ALTER TABLE stage1_jobs ADD CONSTRAINT by_hand CHECK (status <> '?');"
        "ALTER TABLE datasets ADD CONSTRAINT also UNIQUE (dataset_slug, symbol)"
    )
    jobs.append_constraint(sa.CheckConstraint("status <> '!'", name="new"))
    datasets.append_constraint(sa.UniqueConstraint("dataset_slug", "source"))
    found = [line.partition("(")[0] for line in lines(developer.revise())]
    made, dropped = found[:2], found[2:]
    assert sorted(made) == ["op.add_check_online", "op.create_unique_online"]
    assert dropped == ["op.drop_constraint"] * 2
    assert hazards(developer) == [()]
    developer.up_down_up()


def test_a_constraint_goes_first_where_a_column_changes(developer, models, connection):
    connection.execute(
        "ALTER TABLE simulation_trades ADD code integer, ADD CONSTRAINT by_hand CHECK (code > 0)"
    )
    trades = models.tables["simulation_trades"]
    trades.append_column(sa.Column("code", sa.BigInteger()))
    trades.append_constraint(sa.CheckConstraint("code > 1", name="new"))
    command.revision(developer.config, "change", autogenerate=True)
    versions = developer.checkout / "migrations" / "versions"
    first, second = (lines(path.read_text()) for path in sorted(versions.glob("*_change*.py")))
    assert [line.partition("(")[0] for line in first] == ["op.drop_constraint", "op.alter_column"]
    assert [line.partition("(")[0] for line in second] == ["op.add_check_online"]
    developer.up_down_up(to="0013")
