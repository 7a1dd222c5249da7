"""The chain of revisions runs up, down and up again, in both stores."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import text

from questdb_ddl import Client, live_tables, render
from questdb_ddl.tables import SHARED_TABLES, WALKFORWARD_PREDICTIONS
from stage1_schema.connect import connect, engine
from stage1_schema.ops import drift, migrate, sample
from stage1_schema.settings import QuestDBSettings
from tests.plugins.databases import as_role

SHARED = {table.name for table in SHARED_TABLES}


def revision_of(settings):
    with engine(settings.postgres).connect() as connection:
        return migrate.revision(connection)


def run(settings, what, target, *arguments):
    getattr(command, what)(migrate.config(settings, arguments), target)


def tables_of(settings):
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    with connect(settings.postgres) as connection:
        return {name for (name,) in connection.execute(query)}


def test_one_upgrade_migrates_both_stores(both, questdb):
    migrate.upgrade(both)
    assert revision_of(both) == migrate.head()
    live = live_tables(questdb)
    assert set(live) == SHARED
    assert all(
        str(table.partition_by) == "MONTH" and table.wal and table.dedup_keys
        for table in live.values()
    )
    with engine(both.postgres).connect() as connection:
        assert drift.postgres(connection) == ()


def test_second_upgrade_is_a_no_op(both):
    migrate.upgrade(both)
    told = []
    migrate.upgrade(both, progress=told.append)
    assert told == []


def test_every_revision_goes_down_and_up_again(both, questdb):
    from alembic.script import ScriptDirectory

    revisions = [
        script.revision for script in ScriptDirectory.from_config(migrate.config()).walk_revisions()
    ][::-1]
    for before, revision in zip(["base", *revisions], revisions, strict=False):
        run(both, "upgrade", revision)
        run(both, "downgrade", before)
        run(both, "upgrade", revision)
        assert revision_of(both) == revision
    run(both, "downgrade", "base")
    assert tables_of(both) == {"alembic_version", "stage1_migration_history"}
    assert live_tables(questdb) == {}
    run(both, "upgrade", "head")
    assert revision_of(both) == migrate.head()


def test_way_down_keeps_rows_in_both_stores(both, questdb):
    migrate.upgrade(both)
    sample.load(as_role(both, both.roles.app).postgres, both.questdb)
    run(both, "downgrade", "base")
    run(both, "upgrade", "head")
    with connect(both.postgres) as connection:
        (schema,) = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'stage1_retired_%'"
        ).fetchone()
        kept = connection.execute(f"SELECT count(*) FROM {schema}.walkforward_folds").fetchone()
        new = connection.execute("SELECT count(*) FROM walkforward_folds").fetchone()
    assert (kept, new) == ((sample.FOLDS,), (0,))
    live = live_tables(questdb, counts=True)
    retired = [t for t in live.values() if t.name.startswith("walkforward_predictions_retired_")]
    assert [table.row_count for table in retired] == [sample.FOLDS * sample.TEST_BARS]
    assert live["walkforward_predictions"].row_count == 0


def test_unreachable_questdb_stops_before_anything_changes(empty):
    with pytest.raises(Exception, match=r"Nothing was changed.*-x questdb=skip"):
        migrate.upgrade(empty)
    assert tables_of(empty) <= {"alembic_version"}


def test_questdb_can_be_skipped_and_made_up_for(both, questdb):
    from stage1_schema.ops import series

    migrate.upgrade(both, arguments=("questdb=skip",))
    assert revision_of(both) == migrate.head()
    assert live_tables(questdb) == {}
    series.carry_out(questdb, series.plan(questdb))
    assert set(live_tables(questdb)) == SHARED
    assert series.plan(questdb).empty


def test_a_questdb_table_that_differs_stops_the_chain_before_its_first_step(both, questdb):
    """Later failures of QuestDB are in test_questdb_faults."""
    wrong = '"walkforward_predictions" (timestamp TIMESTAMP, x LONG) TIMESTAMP(timestamp)'
    questdb.execute(f"CREATE TABLE {wrong} PARTITION BY DAY WAL")
    with pytest.raises(Exception, match=r"walkforward_predictions .*PARTITION|partitioning"):
        migrate.upgrade(both)
    assert revision_of(both) is None
    questdb.execute(render.drop_table("walkforward_predictions"))
    migrate.upgrade(both)
    assert revision_of(both) == migrate.head()


def test_postgres_failure_after_questdb_converges(both, questdb):
    """The stamp of the QuestDB revision fails: a second run finds the tables and goes on."""
    run(both, "upgrade", "0006")
    with engine(both.postgres).begin() as connection:
        connection.execute(
            text("ALTER TABLE alembic_version ADD CONSTRAINT no CHECK (version_num <> '0007')")
        )
    with pytest.raises(Exception, match="refused"):
        migrate.upgrade(both)
    assert revision_of(both) == "0006"
    assert set(live_tables(questdb)) == SHARED
    with engine(both.postgres).begin() as connection:
        connection.execute(text("ALTER TABLE alembic_version DROP CONSTRAINT no"))
    migrate.upgrade(both)
    assert revision_of(both) == migrate.head()
    assert set(live_tables(questdb)) == SHARED


def test_frozen_questdb_tables_are_the_declared_ones(both, questdb):
    migrate.upgrade(both)
    assert drift.questdb(live_tables(questdb), ()) == ()


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        pytest.param("questdb=off", "Unknown argument -x questdb=off", id="unknown value"),
        pytest.param("speed=high", "Unknown argument -x speed=high", id="unknown name"),
        pytest.param("skip", "Unknown argument -x skip", id="no value"),
    ],
)
def test_unknown_argument_is_refused_with_the_known_ones(empty, argument, told):
    with pytest.raises(CommandError, match=told) as error:
        run(empty, "upgrade", "head", argument)
    assert "questdb=skip" in str(error.value)
    assert tables_of(empty) == set()


def test_questdb_with_another_answer_is_named(empty, both):
    from dataclasses import replace

    port = empty.postgres.parameters["port"]  # something that speaks, but no HTTP
    odd = replace(both, questdb=QuestDBSettings(f"http://127.0.0.1:{port}"))
    with pytest.raises(Exception, match="Nothing was changed"):
        migrate.upgrade(odd)
    assert tables_of(both) <= {"alembic_version"}


def test_live_table_reads_its_declaration(both, questdb_server):
    migrate.upgrade(both)
    with Client(questdb_server.url) as client:
        live = live_tables(client)[WALKFORWARD_PREDICTIONS.name]
    assert live.dedup_keys == WALKFORWARD_PREDICTIONS.dedup_keys
