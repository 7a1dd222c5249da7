"""A generated revision orders its operations, freezes its bodies, and goes up, down and up."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy import Numeric

from stage1_schema.errors import Stage1Error
from stage1_schema.models import Base
from tests.migrations.catalogue import catalogue
from tests.migrations.developer import lines
from tests.plugins.databases import ROLES, client, superuser

LIVE = '''"""Run SQL that may change.\n"""
from alembic import op
revision, down_revision = "0014", "0013"
def upgrade():
    op.run_sql_file("{name}")
'''


def test_function_body_is_replaced_in_place(developer):
    developer.edit("functions/stage1_touch.sql", ("now()", "clock_timestamp()"))
    text = developer.revise()
    assert lines(text) == ['op.run_sql_file("0014/stage1_touch.sql")']
    assert 'op.run_sql_file("0008/stage1_touch.sql")' in text.split("def downgrade")[1]
    frozen = developer.checkout / "migrations" / "sql" / "0014" / "stage1_touch.sql"
    assert "clock_timestamp()" in frozen.read_text()
    developer.up_down_up()


@pytest.fixture
def grafana(server_with_roles, migrated):
    """A role of other software."""
    with superuser(server_with_roles, migrated.postgres.database) as admin:
        admin.execute("CREATE ROLE grafana")
        yield
        admin.execute("DROP OWNED BY grafana; DROP ROLE grafana")


def lose_a_column(developer):
    developer.edit("views/dataset_catalog.sql", ("       d.lookback_rows,\n", ""))
    developer.edit(
        "functions/fn_list_datasets.sql",
        ("    lookback_rows bigint,\n", ""),
        ("c.lookback_rows, ", ""),
    )


@pytest.mark.usefixtures("grafana")
def test_view_that_loses_a_column_keeps_its_rights(developer, connection):
    """dataset_catalog is used by no view, but by functions whose bodies name it."""
    connection.execute("GRANT SELECT ON dataset_catalog TO grafana WITH GRANT OPTION")
    connection.execute("GRANT UPDATE (symbol) ON dataset_catalog TO grafana")
    rights = catalogue(developer.settings)["grants"]
    connection.execute("GRANT UPDATE (lookback_rows) ON dataset_catalog TO grafana")
    lose_a_column(developer)
    text = developer.revise()
    assert lines(text) == [
        'op.keep_grants("dataset_catalog", "fn_list_datasets")',
        'op.drop_sql_object("view", "dataset_catalog")',
        "op.drop_sql_object(",
        'op.run_sql_file("0014/fn_list_datasets.sql")',
        'op.run_sql_file("0014/dataset_catalog.sql")',
        'op.restore_grants("dataset_catalog", "fn_list_datasets")',
    ]
    assert "fn_list_datasets(integer,integer,text,text,uuid,timestamp with time zone)" in text
    command.upgrade(developer.config, "head")
    assert catalogue(developer.settings)["grants"] == rights
    assert {name for name in rights if "to grafana" in name} == {
        "GRANT OPTION FOR SELECT on TABLE dataset_catalog to grafana",
        "SELECT on TABLE dataset_catalog to grafana",
        "UPDATE (symbol) on TABLE dataset_catalog to grafana",
    }
    command.downgrade(developer.config, "-1")
    developer.up_down_up()


BACKFILL = """UPDATE datasets SET source = 'x' WHERE source IS NULL AND /* page */ true"""
STEP = '    op.backfill("datasets", "0014/backfill.sql", key=["dataset_id"])\n'


@pytest.mark.usefixtures("grafana")
@pytest.mark.parametrize("granted", ["GRANT SELECT ON dataset_catalog TO grafana", "SELECT 1"])
def test_rights_are_kept_over_a_commit(developer, connection, granted):
    """A backfill commits what came before it; a view without rights is given none by default."""
    connection.execute("REVOKE ALL ON dataset_catalog FROM stage1_app, stage1_readonly")
    connection.execute(granted)
    rights = catalogue(developer.settings)["grants"]
    lose_a_column(developer)
    command.revision(developer.config, "change", autogenerate=True)
    (path,) = (developer.checkout / "migrations" / "versions").glob("*_change.py")
    text = path.read_text().replace("op.grant(", "# op.grant(")  # what was taken by hand
    text = text.replace("    op.restore_grants", f"{STEP}    op.restore_grants", 1)
    path.write_text(text)
    (developer.checkout / "migrations" / "sql" / "0014" / "backfill.sql").write_text(BACKFILL)
    command.upgrade(developer.config, "head")
    assert catalogue(developer.settings)["grants"] == rights


def test_rights_that_were_not_kept_are_not_restored(developer):
    lose_a_column(developer)
    command.revision(developer.config, "change", autogenerate=True)
    (path,) = (developer.checkout / "migrations" / "versions").glob("*_change.py")
    path.write_text(path.read_text().replace("op.keep_grants(", "# op.keep_grants("))
    with pytest.raises(CommandError, match="granted on dataset_catalog, fn_list_datasets was not"):
        command.upgrade(developer.config, "head")


def test_right_on_a_column_goes_before_the_column(developer, connection):
    connection.execute("ALTER TABLE datasets ADD by_hand text")
    connection.execute("GRANT UPDATE (by_hand) ON datasets TO stage1_readonly")
    assert lines(developer.revise()) == [
        'op.revoke("UPDATE (by_hand)", "TABLE datasets", "readonly")',
        'op.drop_column("datasets", "by_hand")',
    ]
    developer.up_down_up()


def test_an_object_may_be_called_as_a_step_is(developer):
    """`drop.sql` and `backfill_runs.sql` are steps; what makes its own name is an object."""
    for name in ("drop_rates", "backfill_rates", "revoke_rates", "import_rates"):
        (developer.files / "views" / f"{name}.sql").write_text(
            f"CREATE OR REPLACE VIEW {name} AS SELECT 1 AS rate;\n"
        )
    developer.revise()
    command.upgrade(developer.config, "head")
    command.check(developer.config)
    developer.edit("views/drop_rates.sql", ("1 AS rate", "2 AS rate"))
    (developer.files / "views" / "import_rates.sql").unlink()
    command.revision(developer.config, "second", autogenerate=True)
    (path,) = (developer.checkout / "migrations" / "versions").glob("*_second.py")
    text = path.read_text()
    assert lines(text)[-2:] == [
        'op.drop_sql_object("view", "import_rates")',
        'op.run_sql_file("0015/drop_rates.sql")',
    ]
    assert 'op.run_sql_file("0014/drop_rates.sql")' in text.split("def downgrade")[1]
    developer.up_down_up()


def test_dependents_step_aside_for_a_type_change(developer, monkeypatch):
    column = Base.metadata.tables["datasets"].c.lookback_rows
    monkeypatch.setattr(column, "type", Numeric())
    developer.edit(
        "functions/fn_list_datasets.sql", ("lookback_rows bigint", "lookback_rows numeric")
    )
    found = lines(developer.revise())
    drop = found.index('op.drop_sql_object("view", "dataset_catalog")')
    change = found.index("op.alter_column(")
    again = found.index('op.run_sql_file("0010/dataset_catalog.sql")')
    assert drop < change < again
    developer.up_down_up()


def test_new_view_over_a_new_view_and_a_new_function(developer):
    """Alphabetical order would create a_view first, which needs z_view, which needs a function."""
    (developer.files / "views" / "a_view.sql").write_text(
        "CREATE VIEW a_view AS SELECT * FROM z_view"
    )
    (developer.files / "views" / "z_view.sql").write_text(
        "CREATE OR REPLACE VIEW z_view AS SELECT dataset_id, z_rows(dataset_id) AS n FROM datasets;"
    )
    (developer.files / "functions" / "z_rows.sql").write_text(
        "CREATE OR REPLACE FUNCTION z_rows(id uuid) RETURNS bigint LANGUAGE sql STABLE AS\n"
        "'SELECT count(*) FROM walkforward_runs WHERE dataset_id = id';\n"
        "COMMENT ON FUNCTION z_rows(uuid) IS '100% of :runs';"
    )
    assert lines(developer.revise())[:3] == [
        'op.run_sql_file("0014/z_rows.sql")',
        'op.run_sql_file("0014/z_view.sql")',
        'op.run_sql_file("0014/a_view.sql")',
    ]
    developer.up_down_up()


def test_object_that_is_no_longer_declared_is_dropped(developer):
    (developer.files / "views" / "dataset_hierarchy.sql").unlink()
    developer.edit("grants/grants.sql", ("dataset_hierarchy, ", ""))
    assert lines(developer.revise()) == [
        'op.revoke("SELECT", "TABLE dataset_hierarchy", "app")',
        'op.revoke("SELECT", "TABLE dataset_hierarchy", "readonly")',
        'op.drop_sql_object("view", "dataset_hierarchy")',
    ]
    developer.up_down_up()


def test_new_table_with_everything(developer, models):
    """A table, its CHECK by a new function, its trigger, its generated column, its rights."""
    sa.Table(
        "notes",
        models,
        sa.Column("note_id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("length", sa.Integer(), sa.Computed("length(text)", persisted=True)),
        sa.CheckConstraint("is_note(text)", name="text"),
        sa.Index("ix_notes_short", "text", postgresql_where=sa.text("length(text) < 10")),
    )
    (developer.files / "functions" / "is_note.sql").write_text(
        "CREATE OR REPLACE FUNCTION is_note(t text) RETURNS boolean LANGUAGE sql IMMUTABLE AS"
        " 'SELECT t <> '''''"
    )
    (developer.files / "triggers" / "notes_tg_90_touch.sql").write_text(
        "CREATE OR REPLACE TRIGGER tg_90_touch BEFORE DELETE ON notes"
        " FOR EACH ROW EXECUTE FUNCTION stage1_refuse_move()"
    )
    developer.edit("grants/grants.sql", ("stage1_jobs, indicator", "stage1_jobs, notes, indicator"))
    found = lines(developer.revise())
    assert found[0] == 'op.run_sql_file("0014/is_note.sql")'
    assert "op.create_table(" in found
    assert found[-1] == 'op.run_sql_file("0014/notes_tg_90_touch.sql")'  # rights come by default
    developer.up_down_up()


def test_generated_column_is_made_anew(developer, connection, monkeypatch):
    table = Base.metadata.tables["walkforward_folds"]
    column = sa.Column("short", sa.Text(), sa.Computed("left(metrics::text, 10)", persisted=True))
    table.append_column(column)
    try:
        connection.execute(
            "ALTER TABLE walkforward_folds ADD short text"
            " GENERATED ALWAYS AS (left(metrics::text, 5)) STORED"
        )
        text = developer.revise()
        assert [line.partition("(")[0] for line in lines(text)] == [
            "op.drop_column",
            "op.add_column",
        ]
        developer.up_down_up()
    finally:
        table._columns.remove(column)


COLON = r"'{\"a\":true}'"


@pytest.mark.parametrize(
    ("item", "what"),
    [
        pytest.param(
            lambda: sa.Column("odd", sa.Text(), server_default=sa.text(COLON)),
            "default of column odd",
            id="default",
        ),
        pytest.param(
            lambda: sa.Column("odd", sa.Text(), sa.Computed(COLON)),
            "default of column odd",
            id="generated",
        ),
        pytest.param(
            lambda: sa.CheckConstraint(f"symbol <> {COLON}", name="odd"),
            "CHECK ck_odd_odd",
            id="check",
        ),
        pytest.param(
            lambda: sa.Index("odd", "id", postgresql_where=sa.text(f"id <> {COLON}")),
            "index odd",
            id="predicate",
        ),
        pytest.param(
            lambda: sa.Index("odd", sa.text(f"(id || {COLON})")), "index odd", id="expression"
        ),
    ],
)
def test_colon_that_would_become_null_is_refused(developer, models, item, what):
    """SQLAlchemy takes `:true` for a parameter; the revision said NULL in its place."""
    sa.Table("odd", models, sa.Column("id", sa.Text(), primary_key=True), item())
    for run in (command.check, lambda config: command.revision(config, "no", autogenerate=True)):
        with pytest.raises(CommandError, match=rf"The {what} of odd says :true,.* \\\\:true there"):
            run(developer.config)


def test_escaped_colon_arrives(developer, models, connection):
    text = COLON.replace(":", r"\:")
    table = models.tables["datasets"]
    table.append_column(sa.Column("odd", sa.Text(), server_default=sa.text(text)))
    table.append_constraint(sa.CheckConstraint(f"symbol <> {text}", name="odd"))
    developer.revise()
    developer.up_down_up(to="0013")
    connection.execute(
        "INSERT INTO datasets (dataset_id, dataset_slug) SELECT gen_random_uuid(), 'a'"
    )
    (row,) = connection.execute("SELECT odd FROM datasets")
    assert row["odd"] == COLON.strip("'")


def test_table_whose_name_needs_quotes_is_refused(developer, models):
    sa.Table("Trades", models, sa.Column("id", sa.Integer(), primary_key=True))
    with pytest.raises(CommandError, match=r'The table "Trades" has a name that .* wants quoted'):
        command.check(developer.config)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(("RETURN NEW", "RETURM NEW"), id="in the body"),
        pytest.param(("CREATE OR REPLACE", "CREAT OR REPLACE"), id="no statement"),
        pytest.param(("CREATE OR REPLACE", "/* CREATE OR REPLACE"), id="a comment left open"),
        pytest.param(("LANGUAGE plpgsql", "LANGUAGE 'plpgsql"), id="a quote left open"),
        pytest.param(("LANGUAGE plpgsql", "LANGUAGE nolang"), id="what is not there"),
    ],
)
def test_wrong_body_names_its_file(developer, edit):
    developer.edit("functions/stage1_touch.sql", edit)
    with pytest.raises(Exception, match=r"functions/stage1_touch.sql cannot be created") as told:
        command.check(developer.config)
    assert isinstance(told.value.__cause__ or told.value, Stage1Error)


def test_file_is_named_after_what_it_makes(developer):
    path = developer.files / "views" / "dataset_catalog.sql"
    path.rename(path.with_name("catalog.sql"))
    with pytest.raises(Exception, match="makes 0 views called catalog"):
        command.check(developer.config)


def test_two_files_of_one_name_are_refused(developer):
    """A view and a function may share a name in PostgreSQL; their frozen bodies cannot."""
    (developer.files / "functions" / "dataset_catalog.sql").write_text(
        "CREATE FUNCTION dataset_catalog() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    )
    said = r"has functions/dataset_catalog.sql and views/dataset_catalog.sql\. Next: call one"
    with pytest.raises(CommandError, match=said):
        command.check(developer.config)
    with pytest.raises(CommandError, match=said):
        command.revision(developer.config, "change", autogenerate=True)


@pytest.mark.parametrize(
    "name",
    [
        "../../stage1_schema/sql/views/dataset_catalog.sql",
        "dataset_catalog.sql",
        "0010/../0010/dataset_catalog.sql",
        "0010/dataset_catalog",
    ],
)
def test_revision_runs_frozen_sql_only(developer, name):
    path = developer.checkout / "migrations" / "versions" / "0014_live.py"
    path.write_text(LIVE.format(name=name))
    with pytest.raises(CommandError, match="A revision runs frozen SQL only"):
        command.upgrade(developer.config, "head")


def test_nothing_changed_writes_nothing(developer):
    command.revision(developer.config, "change", autogenerate=True)
    assert not list((developer.checkout / "migrations" / "versions").glob("*_change.py"))


def test_the_application_keeps_working_after_a_replaced_view(developer):
    developer.edit("views/indicator_datasets.sql", ("       updated_at,\n", ""))
    developer.revise()
    developer.up_down_up()
    with client(developer.settings, ROLES.app) as app:
        app.execute("SELECT * FROM indicator_datasets")
