"""What stood on a table or a column: taken along by hand, or in the way of a revision."""

import re

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from tests.migrations.developer import lines

VIEWS = {"dataset_catalog", "dataset_hierarchy", "indicator_datasets", "stage1_datasets"}


def back_and_again(developer):
    """Return the catalogue after the repair and after its downgrade; up again ends as before.

    A view that is new again has what is granted on new ones by default, too.
    """
    command.check(developer.config)
    repaired = developer.catalogue()
    command.downgrade(developer.config, "0013")
    back = developer.catalogue()
    command.upgrade(developer.config, "head")
    command.check(developer.config)
    again = developer.catalogue()
    assert repaired.pop("grants").items() <= again.pop("grants").items()
    assert again == repaired
    return repaired, back


def foreign(caplog):
    """Return what was told of objects of other software."""
    return [each.message for each in caplog.records if "not of Stage1" in each.message]


@pytest.mark.parametrize(
    "by_hand",
    [
        pytest.param("DROP TABLE walkforward_runs CASCADE", id="table"),
        pytest.param("ALTER TABLE datasets DROP COLUMN granularity CASCADE", id="column"),
    ],
)
def test_what_was_dropped_by_hand_goes_again(developer, connection, by_hand):
    connection.execute(by_hand)
    developer.revise()
    developer.up_down_up("0013")
    command.check(developer.config)


def test_column_is_renamed_by_hand(developer, connection):
    """And is another one now: it goes, and one of the declared name comes.

    The views on it are left out on the way back: their frozen bodies name the old column.
    """
    connection.execute(
        "ALTER TABLE datasets RENAME COLUMN symbol TO sym;"
        "ALTER TABLE datasets ALTER sym SET NOT NULL"
    )
    developer.revise()
    command.upgrade(developer.config, "head")
    repaired, back = back_and_again(developer)
    assert repaired["views"].keys() - back["views"].keys() == VIEWS


def test_view_is_replaced_by_hand_for_want_of_a_column(developer, connection):
    """It can be replaced in place, but must not keep the way back from dropping the column."""
    (row,) = connection.execute("SELECT pg_get_viewdef('indicator_datasets') AS body")
    # PostgreSQL 14 says the table before the column.
    body = re.sub(r"(\w+\.)?granularity,", "NULL::text AS granularity,", row["body"], count=1)
    assert body != row["body"]
    connection.execute("DROP VIEW dataset_catalog, dataset_hierarchy, stage1_datasets")
    connection.execute(f"CREATE OR REPLACE VIEW indicator_datasets AS {body}")
    connection.execute("DROP TRIGGER tg_05_prepare_placeholder ON datasets")
    connection.execute("ALTER TABLE datasets DROP COLUMN granularity")
    text = developer.revise()
    assert 'op.drop_sql_object("view", "indicator_datasets")' in lines(text)
    command.upgrade(developer.config, "head")
    back_and_again(developer)


def test_dropped_view_is_no_obstacle_to_a_type(developer, connection, models):
    """The way back turns the column, and puts no view on it before."""
    connection.execute("DROP VIEW dataset_catalog")
    models.tables["datasets"].c.lookback_rows.type = sa.Numeric()
    developer.edit(
        "functions/fn_list_datasets.sql", ("lookback_rows bigint", "lookback_rows numeric")
    )
    developer.revise()
    developer.up_down_up("0013")


def test_trigger_is_no_obstacle_to_its_changed_function(developer, connection):
    connection.execute("DROP FUNCTION stage1_touch() CASCADE")
    developer.edit("functions/stage1_touch.sql", ("now()", "clock_timestamp()"))
    developer.revise()
    developer.up_down_up("0013")


def test_view_dropped_by_hand_comes_back_as_the_history_has_it(developer, connection):
    """Elsewhere it stood all the time; nothing there may lose it on the way back."""
    connection.execute("DROP VIEW dataset_hierarchy")
    developer.revise()
    command.upgrade(developer.config, "head")
    repaired, back = back_and_again(developer)
    assert back["views"] == repaired["views"]


def test_view_of_everything_comes_back_without_a_new_column(developer, models):
    """Its frozen body is the same, `SELECT *`: the way back makes it from what there is."""
    (developer.files / "views" / "everything.sql").write_text(
        "CREATE OR REPLACE VIEW everything AS SELECT * FROM stage1_jobs;\n"
    )
    command.revision(developer.config, "first", autogenerate=True)
    command.upgrade(developer.config, "head")
    models.tables["stage1_jobs"].append_column(sa.Column("extra", sa.Text()))
    developer.revise()
    developer.up_down_up()


@pytest.mark.parametrize("gone", [False, True], ids=["type", "column"])
def test_foreign_view_in_the_way_is_told(developer, connection, models, caplog, gone):
    """PostgreSQL refuses to change or drop what it uses: better told here than on deploying."""
    connection.execute("CREATE VIEW grafana AS SELECT job_id, total FROM stage1_jobs")
    connection.execute("CREATE VIEW beside AS SELECT job_id FROM stage1_jobs")
    table = models.tables["stage1_jobs"]
    if gone:
        table._columns.remove(table.c.total)
    else:
        table.c.total.type = sa.Numeric()
    told = ["view grafana: skipped: not of Stage1, and uses stage1_jobs.total: drop it"]
    with pytest.raises(CommandError):
        command.check(developer.config)
    assert foreign(caplog) == told
    caplog.clear()
    developer.revise()
    assert foreign(caplog) == told
    with pytest.raises(CommandError, match=r"other objects depend on it|used by a view"):
        command.upgrade(developer.config, "head")
    connection.execute("DROP VIEW grafana")
    developer.up_down_up()


def test_foreign_view_of_a_dropped_table_is_told(developer, connection, models, caplog):
    """A foreign trigger is not: it goes with its table."""
    connection.execute(
        "CREATE VIEW grafana AS SELECT side, notes FROM simulation_trade_buckets;"
        "CREATE TRIGGER strange BEFORE UPDATE OF notes ON simulation_trade_buckets"
        " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    )
    models.remove(models.tables["simulation_trade_buckets"])
    (developer.files / "triggers" / "simulation_trade_buckets_tg_20_normalise.sql").unlink()
    developer.edit("grants/grants.sql", (" simulation_trade_buckets,", ""))
    developer.revise()
    assert foreign(caplog) == [
        "view grafana: skipped: not of Stage1, and uses simulation_trade_buckets.notes: drop it",
        "view grafana: skipped: not of Stage1, and uses simulation_trade_buckets.side: drop it",
    ]


def test_a_view_that_comes_back_has_the_declared_rights_alone(developer, connection):
    """What default privileges give with it is taken back."""
    connection.execute("DROP VIEW dataset_hierarchy")
    text = developer.revise()
    assert text.count('op.revoke("INSERT", "TABLE dataset_hierarchy", "app")') == 1
    command.upgrade(developer.config, "head")
    back_and_again(developer)
