"""The way back: rows that a downgrade or an archive put away come to stand again."""

import pytest

from stage1_schema.alembic_plugin.legacy_import import LegacyError
from stage1_schema.ops import migrate
from tests.migrations.accounting import KEYS, key_of
from tests.migrations.databases import (
    downgrade,
    execute,
    fill,
    fingerprint,
    query,
    rows_of,
    schemas,
    upgrade,
)

OWN_TEXT = "# Stage1 RunConfig v1\n\n[METADATA]\nname=50% of 'a:b'\n"


@pytest.fixture
def filled(empty):
    """A database at head with rows; one run has a client's own text, the others generated ones."""
    fill(empty, "desktop")
    upgrade(empty, "import")
    quoted = OWN_TEXT.replace("'", "''")
    execute(
        empty,
        f"UPDATE walkforward_runs SET serialized_config = '{quoted}'"
        " WHERE run_id = md5('run1')::uuid",
        "DROP SCHEMA " + schemas(empty)[0] + " CASCADE",
    )
    return empty


def said(settings):
    """Return every row, without the time of its last change."""
    return {
        table: [{name: row[name] for name in row if name != "updated_at"} for row in rows]
        for table, rows in rows_of(settings).items()
    }


def keys_of(settings, schema="public"):
    rows = rows_of(settings, schema)
    return {table: {key_of(table, row) for row in rows[table]} for table in KEYS}


def test_down_and_up_again_without_rows(migrated):
    for _ in range(2):
        downgrade(migrated)
        upgrade(migrated)
    assert schemas(migrated) == []


def test_down_and_up_with_rows_twice_a_day(filled):
    keys = keys_of(filled)
    kept = []
    for _ in range(3):
        downgrade(filled)
        assert not any(rows_of(filled).values())
        upgrade(filled)
        (schema,) = set(schemas(filled, "stage1_retired_")) - set(kept)
        kept.append(schema)
        assert keys_of(filled, schema) == keys
        execute(filled, "INSERT INTO datasets SELECT * FROM " + f"{schema}.datasets" + " LIMIT 0")
        downgrade(filled)
        upgrade(filled, f"import:{schema}")
        assert keys_of(filled) == keys
    assert kept == [kept[0], f"{kept[0]}_2", f"{kept[0]}_3"]


def test_retired_rows_moved_back_by_hand_are_imported(filled):
    keys = keys_of(filled)
    downgrade(filled)
    (schema,) = schemas(filled, "stage1_retired_")
    execute(filled, *(f"ALTER TABLE {schema}.{table} SET SCHEMA public" for table in KEYS))
    upgrade(filled, "import")
    assert keys_of(filled) == keys


def test_the_current_shape_without_a_revision_lands_again_with_its_own_texts(filled):
    before = said(filled)
    execute(filled, "DROP TABLE alembic_version")
    told = upgrade(filled, "import")
    assert any("the current shape without a revision" in line for line in told)
    assert said(filled) == before
    execute(filled, "UPDATE walkforward_runs SET hyperparameters = '{\"depth\": 99}'")
    texts = query(filled, "SELECT serialized_config FROM walkforward_runs ORDER BY created_at")
    assert texts[0] == (OWN_TEXT,)
    assert all("depth=99" in text for (text,) in texts[1:])


def test_late_columns_survive_a_stop_between_two_revisions(filled):
    before = said(filled)
    execute(filled, "DROP TABLE alembic_version")
    upgrade(filled, "import", to="0001")
    (schema,) = schemas(filled, "stage1_legacy_")
    upgrade(filled)
    assert said(filled) == before
    note = query(filled, "SELECT obj_description(%s::regnamespace, 'pg_namespace')", schema)
    assert note == [("Stage1 import",)]


def test_an_archive_is_imported_later(empty):
    fill(empty, "reset")
    old = rows_of(empty)
    upgrade(empty, "archive")
    (schema,) = schemas(empty)
    downgrade(empty)
    upgrade(empty, f"import:{schema}")
    assert rows_of(empty, schema) == old
    assert len(rows_of(empty)["walkforward_folds"]) == 48
    assert schemas(empty) == [schema]


@pytest.mark.parametrize("schema", ["nothing_there", "public", 'a"b'])
def test_a_schema_without_old_tables_is_refused(empty, schema):
    with pytest.raises(LegacyError, match="holds no tables of Stage1 to import"):
        upgrade(empty, f"import:{schema}")
    assert query(empty, "SELECT 1 FROM pg_tables WHERE tablename = 'datasets'") == []


def test_rows_in_public_and_in_the_named_schema_are_refused(empty):
    fill(empty, "reset")
    upgrade(empty, "archive", to="0001")
    (schema,) = schemas(empty)
    execute(empty, "DELETE FROM alembic_version", "INSERT INTO stage1_jobs (job_type) VALUES ('x')")
    before = fingerprint(empty)
    with pytest.raises(LegacyError, match=r"Schema public holds rows of its own: stage1_jobs"):
        upgrade(empty, f"import:{schema}")
    assert fingerprint(empty) == before


def test_a_downgrade_refuses_what_other_software_built_on_empty_tables(migrated):
    downgrade(migrated, "0001")
    execute(migrated, "CREATE VIEW daily AS SELECT * FROM walkforward_runs")
    with pytest.raises(
        Exception, match=r"view daily\. Nothing was changed.*run the downgrade again"
    ):
        downgrade(migrated)
    assert migrate.head() != "0001"
    assert query(migrated, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_a_downgrade_leaves_tables_of_old_names_alone(migrated):
    execute(migrated, "CREATE TABLE jobs (job_id int, job_type text, status text)")
    downgrade(migrated)
    assert rows_of(migrated) == {"jobs": []}
