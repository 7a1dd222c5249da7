"""What was changed by hand in PostgreSQL is named in one line, and repaired by a revision."""

import logging
import subprocess

import pytest
from alembic import command
from alembic.util import CommandError

from questdb_ddl import render
from stage1_schema.connect import engine
from stage1_schema.ops import drift, migrate, status
from tests.migrations.catalogue import catalogue
from tests.migrations.commands import ALEMBIC, alembic
from tests.migrations.drift_cases import CASES
from tests.plugins.databases import ROLES, as_role, client, environment
from tests.postgres.test_roles import deployer  # noqa: F401 - a fixture


@pytest.mark.parametrize(("statement", "line"), CASES.values(), ids=list(CASES))
def test_a_change_by_hand_is_one_line(migrated, statement, line):
    with engine(migrated.postgres).connect() as connection:
        connection.exec_driver_sql(statement)
        found = drift.postgres(connection, migrated.roles)
    assert len(found) == (line is not None)
    assert not line or found[0].startswith(line)


def test_one_revision_repairs_everything(migrated, checkout, connection, monkeypatch):
    """And its downgrade runs, and the way up again ends in the same catalogue.

    `alembic check` names each change of all kinds at once, in one line.
    """
    whole = catalogue(migrated)
    head = connection.execute("SELECT version_num FROM alembic_version").fetchone()["version_num"]
    for statement, _ in CASES.values():
        connection.execute(statement)
    told = alembic(checkout, migrated, "-x", "questdb=skip", "check", code=255)
    lines = [line.strip() for line in told.splitlines() if line.startswith("  ")]
    for _, line in CASES.values():
        assert line is None or len([each for each in lines if each.startswith(line)]) == 1, line
    assert len(lines) == len(CASES) - 1
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    command.revision(config, "repair", autogenerate=True)
    for what, target in (("upgrade", "head"), ("downgrade", head), ("upgrade", "head")):
        getattr(command, what)(config, target)
        if what == "upgrade":
            command.check(config)
    connection.execute('DROP TABLE "the child"')  # of others, no child any more
    after = catalogue(migrated)
    del after["columns"], whole["columns"]  # a column that comes back stands last
    assert after == whole


def test_disabled_triggers_of_a_foreign_key_are_a_difference(migrated, root, checkout, monkeypatch):
    """What the superuser does for a load, and forgets."""
    root.execute("ALTER TABLE walkforward_folds DISABLE TRIGGER ALL")
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    key = "walkforward_folds.fk_walkforward_folds_run_id_walkforward_runs"
    said = rf"constraint {key}: declared .*, live .*, its triggers disabled\n"
    with pytest.raises(CommandError, match=said):
        command.check(config)
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)


def test_an_identity_that_comes_back_goes_on_after_the_rows(
    migrated, connection, checkout, monkeypatch
):
    insert = "INSERT INTO spool_replays (source, mode, file_bytes) VALUES ('a', 'x', 1)"
    connection.execute(insert)
    connection.execute("ALTER TABLE spool_replays ALTER replay_id DROP IDENTITY")
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    connection.execute(insert)
    rows = connection.execute("SELECT replay_id FROM spool_replays ORDER BY 1").fetchall()
    assert [row["replay_id"] for row in rows] == [1, 2]


def test_what_a_role_gives_everywhere_by_default_is_not_declared(migrated, connection):
    """A revision would have granted it on every table that stands."""
    connection.execute(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;"
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO stage1_readonly;"
        "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO stage1_readonly"
    )
    with engine(migrated.postgres).connect() as checking:
        assert drift.postgres(checking, migrated.roles) == ()
        checking.rollback()
    assert (
        len(connection.execute("SELECT FROM pg_default_acl WHERE defaclnamespace = 0").fetchall())
        == 3
    )


def test_that_everybody_may_create_is_a_difference(migrated, root, checkout, monkeypatch):
    """Where the server does not give it to everybody by default: since PostgreSQL 15."""
    if root.info.server_version < 150000:
        pytest.skip("PostgreSQL 14 gives it by default")
    root.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    with engine(migrated.postgres).connect() as connection:
        (found,) = drift.postgres(connection, migrated.roles)
    assert found == "right CREATE on SCHEMA public to PUBLIC: there, not declared"
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        pytest.param(
            "ALTER TABLE stage1_migration_history DROP COLUMN os_user",
            "column stage1_migration_history.os_user: declared, not there",
            id="column gone that a step is recorded in",
        ),
        pytest.param(
            "ALTER TABLE stage1_migration_history ALTER id DROP IDENTITY",
            "column stage1_migration_history.id: declared GENERATED ALWAYS, live no identity",
            id="no identity",
        ),
        pytest.param(
            "ALTER TABLE alembic_version ADD by_hand text UNIQUE",
            "column alembic_version.by_hand: there, not declared",
            id="column with a key",
        ),
    ],
)
def test_the_tables_of_the_history_are_repaired(
    migrated, connection, checkout, monkeypatch, statement, said
):
    connection.execute(statement)
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    with pytest.raises(CommandError, match=said):
        command.check(config)
    command.revision(config, "repair", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)


def test_a_history_that_is_gone_is_made_again(migrated, connection, checkout, monkeypatch):
    connection.execute("DROP TABLE stage1_migration_history")
    monkeypatch.chdir(checkout)
    config = migrate.config(migrated, ["questdb=skip"])
    with pytest.raises(CommandError, match="table stage1_migration_history: declared, not there"):
        command.check(config)
    command.revision(config, "repair", autogenerate=True)
    for what, target in (("upgrade", "head"), ("downgrade", "-1"), ("upgrade", "head")):
        getattr(command, what)(config, target)
    command.check(config)


def test_a_foreign_object_is_skipped_with_a_reason(migrated, connection):
    connection.execute("CREATE FUNCTION elsewhere() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    connection.execute("CREATE VIEW grafana AS SELECT symbol FROM datasets")
    connection.execute(
        "CREATE TABLE stray (id integer);"
        "CREATE TRIGGER strange BEFORE INSERT ON stray FOR EACH ROW"
        " EXECUTE FUNCTION stage1_touch()"
    )
    connection.execute(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER swallow BEFORE INSERT ON datasets FOR EACH ROW EXECUTE FUNCTION swallow()"
    )
    with engine(migrated.postgres).connect() as open_connection:
        found = drift.compare_postgres(open_connection, migrated.roles)
    assert [str(each) for each in found if not each.equal] == [
        "table stray: skipped: not of Stage1",
        "function elsewhere(): skipped: not of Stage1",
        "function swallow(): skipped: not of Stage1",
        "view grafana: skipped: not of Stage1",
        "trigger datasets.swallow: skipped: not of Stage1, but runs on datasets",
        "trigger stray.strange: skipped: not of Stage1",
    ]
    assert [each.what for each in found if each.left_out] == ["trigger datasets.swallow"]


def test_a_role_that_may_not_create_a_schema_is_told_so(migrated):
    with engine(as_role(migrated, ROLES.app).postgres).connect() as connection:
        found = drift.compare_postgres(connection, migrated.roles)
    (skipped,) = [str(each) for each in found if not each.equal]
    assert "run it as the owner of the database" in skipped


def test_a_member_of_the_owner_role_finds_no_difference(request):
    """Though its owner role does not own the schema, where all may look anyway."""
    root, settings = request.getfixturevalue("deployer")
    migrate.upgrade(settings, arguments=["questdb=skip"])
    command.check(migrate.config(settings, ["questdb=skip"]))
    with engine(settings.postgres).connect() as connection:
        assert drift.postgres(connection, settings.roles) == ()
        connection.rollback()
        assert connection.exec_driver_sql("SELECT current_user").scalar_one() == "deploy"
    assert status.read(settings).postgres.drift == ()
    root.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    with engine(settings.postgres).connect() as connection:
        assert drift.postgres(connection, settings.roles) == (
            "right USAGE on SCHEMA public to app: declared, not there",
            "right USAGE on SCHEMA public to readonly: declared, not there",
        )


def test_the_command_line_names_it(both, questdb):
    """`stage1 check` and `stage1 status`, of both stores."""
    migrate.upgrade(both)
    with client(both, ROLES.owner) as connection:
        connection.execute("ALTER TABLE datasets ENABLE ROW LEVEL SECURITY")
    questdb.execute(render.set_ttl("indicator_bars", 24))
    questdb.wait_for("indicator_bars")
    for name in ("check", "status"):
        done = subprocess.run(
            [ALEMBIC.with_name("stage1"), name],
            env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", **environment(both)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "table datasets: declared row security off, live row security on" in done.stdout
        assert "QuestDB table indicator_bars: TTL: declared none, live 24 MONTHS" in done.stdout


def test_alembic_says_what_it_could_not_compare(migrated, connection, caplog):
    """What is of other software is none of it."""
    connection.execute("CREATE VIEW grafana AS SELECT symbol FROM datasets")
    app = as_role(migrated, ROLES.app)
    with caplog.at_level(logging.WARNING, "alembic.runtime.migration"):
        command.check(migrate.config(app, ["questdb=skip"]))
    told = [each.message for each in caplog.records]
    assert "run it as the owner of the database" in "".join(told)
    assert told[-1] == "QuestDB: skipped: -x questdb=skip"
    assert "grafana" not in "".join(told)


def test_nobody_feels_the_comparison(migrated):
    """A reader in a long transaction and a writer that holds locks: nobody waits for anybody."""
    role = as_role(migrated, ROLES.app)
    with (
        client(role, ROLES.app) as reader,
        client(role, ROLES.app) as writer,
        client(role, ROLES.app) as other,
        engine(migrated.postgres).connect() as checking,
    ):
        checking.exec_driver_sql("SET lock_timeout = '100ms'")
        checking.commit()
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM dataset_hierarchy, stage1_jobs")
        writer.execute("BEGIN")
        writer.execute("INSERT INTO stage1_jobs (job_type) VALUES ('x')")
        writer.execute("LOCK TABLE datasets, walkforward_runs IN ROW EXCLUSIVE MODE")
        assert drift.postgres(checking, migrated.roles) == ()
        modes = other.execute(
            "SELECT DISTINCT l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " WHERE l.pid = %s AND c.relnamespace = 'public'::regnamespace",
            [checking.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()],
        ).fetchall()
        other.execute("SET lock_timeout = '100ms'")
        other.execute("INSERT INTO stage1_jobs (job_type) VALUES ('y')")
        other.execute("SELECT * FROM dataset_catalog")
    assert {row["mode"] for row in modes} <= {"AccessShareLock"}
