"""The schema after all revisions is the schema that the models and the .sql files declare."""

from pathlib import Path

import pytest

from stage1_schema import sql
from tests.migrations.catalogue import QUERIES, catalogue

FROZEN = Path(__file__).parents[2] / "migrations" / "sql"


@pytest.fixture(scope="module")
def both(migrated, declared):
    with migrated.connect() as after_revisions, declared.connect() as from_declarations:
        return catalogue(after_revisions), catalogue(from_declarations)


@pytest.mark.parametrize("kind", QUERIES)
def test_revisions_make_what_is_declared(both, kind):
    migrated, declared = both
    assert migrated[kind]
    assert migrated[kind] == declared[kind]


CHANGES = {
    "columns": "ALTER TABLE datasets ALTER symbol SET DEFAULT 'x'",
    "constraints": """
        ALTER TABLE stage1_jobs DROP CONSTRAINT ck_stage1_jobs_status,
            ADD CONSTRAINT ck_stage1_jobs_status CHECK (status <> '')""",
    "indexes": """
        DROP INDEX ix_stage1_jobs_pending;
        CREATE INDEX ix_stage1_jobs_pending ON stage1_jobs (created_at, job_id)""",
    "relations": "COMMENT ON TABLE datasets IS 'x'",
    "functions": "COMMENT ON FUNCTION stage1_slug(text) IS 'x'",
    "triggers": "ALTER TABLE datasets DISABLE TRIGGER tg_20_normalise",
    "grants": "GRANT DELETE ON datasets TO stage1_app",
}


@pytest.mark.parametrize(
    ("kind", "statement"),
    CHANGES.items(),
    ids=list(CHANGES),
)
def test_the_comparison_sees_a_change(connection, both, kind, statement):
    connection.execute(statement)
    changed = catalogue(connection)
    assert changed[kind] != both[0][kind]


@pytest.mark.parametrize("declared_object", sql.objects(), ids=lambda each: each.name)
def test_the_last_frozen_copy_is_the_live_file(declared_object):
    copies = sorted(FROZEN.glob(f"*/{declared_object.name}.sql"))
    assert copies, "no revision creates it"
    assert copies[-1].read_text(encoding="utf-8") == declared_object.text
