"""What an upgrade does with what stands: nothing, an empty old database, one with rows."""

import re

import pytest

from stage1_schema.alembic_plugin import standing
from stage1_schema.alembic_plugin.legacy_import import LegacyError
from stage1_schema.connect import engine
from stage1_schema.errors import Stage1Error
from tests.migrations.databases import (
    NAMES,
    SHAPES,
    downgrade,
    execute,
    fill,
    fingerprint,
    query,
    rows_of,
    schemas,
    upgrade,
)


def look(settings):
    with engine(settings.postgres).connect() as connection:
        return standing.look(connection)


def test_an_empty_database_needs_no_argument(empty):
    assert look(empty).shape == "nothing of Stage1"
    told = upgrade(empty)
    assert not any("Dropped" in line or "Moved" in line for line in told)
    assert schemas(empty) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_recognised(empty, shape):
    fill(empty, shape, rows=False)
    assert look(empty).shape == NAMES[shape]


def test_the_current_shape_without_a_revision_is_recognised(migrated):
    execute(migrated, "DROP TABLE alembic_version")
    assert look(migrated).shape == "the current shape without a revision"


@pytest.mark.parametrize("shape", SHAPES)
def test_empty_old_tables_are_dropped_unasked(empty, shape):
    fill(empty, shape, rows=False)
    told = upgrade(empty)
    assert any(line.startswith(f"Dropped ({NAMES[shape]}): ") for line in told)
    assert schemas(empty) == []
    left = query(
        empty,
        "SELECT 1 FROM pg_class WHERE relname IN ('jobs', 'stage1_datasets', 'dataset_catalog')"
        " AND relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace",
    )
    assert left == []


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_stop_it_and_nothing_changes(empty, shape):
    fill(empty, shape)
    before = fingerprint(empty)
    with pytest.raises(LegacyError) as caught:
        upgrade(empty)
    message = str(caught.value)
    assert fingerprint(empty) == before
    assert "\n" not in message
    assert NAMES[shape] in message
    counts = {name: len(rows) for name, rows in before[1]["public"].items()}
    listed = {
        name: int(n.replace(",", ""))
        for name, n in re.findall(r"(\w+) \(([\d,]+) rows?\)", message)
    }
    assert listed == counts
    assert f"-x legacy=drop:{empty.postgres.database}" in message


RETURNS_1 = "RETURNS int LANGUAGE sql AS 'SELECT 1'"
FOREIGN = {
    "a table named jobs": "CREATE TABLE jobs (id int, payload text); INSERT INTO jobs VALUES (1)",
    "a function named fn_list_": f"CREATE FUNCTION fn_list_orders() {RETURNS_1}",
    "a function named stage1_": f"CREATE FUNCTION stage1_audit() {RETURNS_1}",
    "a table of its own": "CREATE TABLE orders (id int); INSERT INTO orders VALUES (1)",
    "a trigger function in use": """
        CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RETURN NEW; END';
        CREATE TABLE orders (id int);
        CREATE TRIGGER t BEFORE UPDATE ON orders
            FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()""",
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.parametrize("legacy", [None, "import", "archive"])
def test_what_only_sounds_like_ours_stays(empty, case, legacy):
    execute(empty, FOREIGN[case])
    if legacy:
        fill(empty, "desktop")
    before = fingerprint(empty)
    upgrade(empty, legacy, to="0001")
    catalogue, rows, _ = fingerprint(empty)
    mine = {
        row
        for row in before[0]
        if re.search(r"\b(jobs|orders|fn_list_orders|stage1_audit)\b", str(row))
    }
    assert mine <= catalogue
    for table in ("jobs", "orders"):
        assert rows["public"].get(table) == before[1]["public"].get(table)


@pytest.mark.parametrize("legacy", [None, "import", "drop"])
def test_a_table_of_our_name_without_our_key_stops_it(empty, legacy):
    execute(empty, "CREATE TABLE datasets (id int)")
    before = fingerprint(empty)
    with pytest.raises(LegacyError, match="have not its key: datasets"):
        upgrade(empty, legacy)
    assert fingerprint(empty) == before
    upgrade(empty, "archive")
    (schema,) = schemas(empty)
    assert rows_of(empty, schema) == {"datasets": []}


def test_the_argument_is_said_to_be_idle_past_the_revision(migrated):
    downgrade(migrated, "0007")
    assert any("-x legacy= does nothing here" in line for line in upgrade(migrated, "import"))


@pytest.mark.parametrize("legacy", ["imprt", "drop:", "import:", "", "archive:x"])
def test_an_unknown_value_is_refused_with_the_known_ones(empty, legacy):
    with pytest.raises(Stage1Error, match="Unknown argument") as caught:
        upgrade(empty, f"{legacy}" or "=")
    assert "legacy=import|import:<schema>|archive|drop:<database>" in str(caught.value)
