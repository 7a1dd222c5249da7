"""The schema after all revisions is the schema that the models and the .sql files declare."""

import pytest

from stage1_schema import sql
from tests.migrations.catalogue import KINDS, catalogue
from tests.migrations.commands import offline, psql
from tests.plugins.databases import created, settings_for

HISTORY = "stage1_migration_history"
STANDING = [kind for kind in KINDS if kind != "rules"]  # of which nothing is declared


@pytest.fixture(scope="module")
def from_declarations(declared):
    return catalogue(declared)


@pytest.fixture(scope="module")
def after_revisions(server_with_roles, template):
    return catalogue(settings_for(server_with_roles, template))


@pytest.fixture(scope="module")
def after_script(server_with_roles, tmp_path_factory):
    with created(server_with_roles) as settings:
        done = psql(settings, offline(tmp_path_factory.mktemp("offline")))
        assert done.returncode == 0, done.stderr
        yield catalogue(settings)


@pytest.mark.parametrize("kind", STANDING)
def test_revisions_make_what_is_declared(after_revisions, from_declarations, kind):
    assert after_revisions[kind]
    assert after_revisions[kind] == from_declarations[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_offline_script_makes_the_same(after_script, from_declarations, kind):
    assert after_script[kind] == from_declarations[kind]


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("tables", "COMMENT ON TABLE datasets IS 'x'"),
        ("sequences", "ALTER SEQUENCE spool_replays_replay_id_seq INCREMENT 2"),
        ("columns", "ALTER TABLE datasets ALTER symbol SET DEFAULT 'x'"),
        (
            "constraints",
            (
                "ALTER TABLE stage1_jobs DROP CONSTRAINT ck_stage1_jobs_status, ADD CONSTRAINT"
                " ck_stage1_jobs_status CHECK (status <> '')"
            ),
        ),
        (
            "indexes",
            (
                "DROP INDEX ix_stage1_jobs_pending; CREATE INDEX ix_stage1_jobs_pending"
                " ON stage1_jobs (created_at, job_id)"
            ),
        ),
        ("rules", "CREATE RULE r AS ON DELETE TO datasets DO INSTEAD NOTHING"),
        ("functions", "COMMENT ON FUNCTION stage1_slug(text) IS 'x'"),
        ("views", "ALTER VIEW dataset_catalog SET (security_barrier)"),
        ("triggers", "ALTER TABLE datasets DISABLE TRIGGER tg_20_normalise"),
        ("grants", "GRANT DELETE ON datasets TO stage1_app"),
    ],
    ids=KINDS,
)
def test_the_comparison_sees_a_change(migrated, connection, after_revisions, kind, statement):
    connection.execute(statement)
    changed = catalogue(migrated)
    assert {each for each in KINDS if changed[each] != after_revisions[each]} == {kind}


@pytest.mark.parametrize("each", sql.objects(), ids=lambda each: each.name)
def test_a_revision_makes_every_file(after_revisions, each):
    if each.kind != "grants":  # those are compared right by right
        assert each.name in {item.stem for item in after_revisions[each.kind].values()}
