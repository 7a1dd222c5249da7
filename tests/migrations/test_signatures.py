"""A function that changes its signature, and the CHECKs that call it or have long names."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from stage1_schema.ops import plan
from tests.migrations.developer import lines

EXTRA = """        EXECUTE format('GRANT EXECUTE ON FUNCTION stage1_cursor_gone(text) TO %I', name);
"""


def test_changed_signature_is_another_function(developer):
    changed = ("after text", "after text, extra integer DEFAULT 0")
    developer.edit("functions/stage1_cursor_gone.sql", changed)
    text = developer.revise()
    assert 'op.drop_sql_object("function", "stage1_cursor_gone(text)")' in text
    developer.up_down_up()


def test_a_right_on_it_is_there_on_the_way_back(developer, connection):
    """The default privileges do not give it: the declarations do, by name."""
    right = "GRANT EXECUTE ON FUNCTION stage1_cursor_gone(text) TO stage1_readonly"
    grant = "        FOR routine IN\n"
    developer.edit("grants/grants.sql", (grant, EXTRA + grant))
    connection.execute(right)
    command.check(developer.config)
    changed = ("after text", "after text, extra integer DEFAULT 0")
    developer.edit("functions/stage1_cursor_gone.sql", changed)
    developer.edit("grants/grants.sql", ("gone(text)", "gone(text, integer)"))
    developer.revise()
    developer.up_down_up()


def test_a_function_that_goes_leaves_what_does_not_call_it_online(developer, connection):
    connection.execute(
        "DROP INDEX ix_stage1_jobs_pending;"
        "CREATE INDEX ix_stage1_jobs_pending ON stage1_jobs (created_at) WHERE status > 'A'"
    )
    changed = ("after text", "after text, extra integer DEFAULT 0")
    developer.edit("functions/stage1_cursor_gone.sql", changed)
    command.revision(developer.config, "change", autogenerate=True)
    first, second = sorted((developer.checkout / "migrations" / "versions").glob("*_change*.py"))
    assert "index" not in first.read_text()
    assert "op.create_index_online(" in second.read_text()
    command.upgrade(developer.config, "head")
    command.check(developer.config)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        pytest.param(
            "CREATE INDEX slugs ON datasets (stage1_slug(symbol))", "index slugs", id="index"
        ),
        pytest.param(
            "ALTER TABLE datasets ALTER symbol SET DEFAULT stage1_slug('A b')",
            "column datasets.symbol",
            id="default",
        ),
        pytest.param(
            "ALTER TABLE datasets ADD s text GENERATED ALWAYS AS (stage1_slug(symbol)) STORED",
            "column datasets.s",
            id="generated column",
        ),
        pytest.param(
            "CREATE POLICY p ON datasets USING (stage1_slug(symbol) <> '')",
            "policy datasets.p",
            id="policy",
        ),
    ],
)
def test_changed_signature_that_a_table_uses_is_refused(developer, connection, statement, what):
    """PostgreSQL would refuse to drop the function; `alembic check` says so too."""
    connection.execute(statement)
    changed = ("name text", "name text, extra integer DEFAULT 0")
    developer.edit("functions/stage1_slug.sql", changed)
    said = rf"{what}:? uses stage1_slug\(text\), which must be dropped"
    with pytest.raises(CommandError, match=f"No revision can do this: {said}"):
        command.revision(developer.config, "change", autogenerate=True)
    assert not list((developer.checkout / "migrations" / "versions").glob("*_change.py"))
    with pytest.raises(CommandError, match=f"{said}; refused: take it away in a revision before"):
        command.check(developer.config)


SLUGGED = "stage1_slug(symbol) <> ''"


@pytest.mark.parametrize("text", [SLUGGED, "stage1_slug(symbol, 0) <> ''", None])
def test_a_check_steps_aside_while_its_function_changes(
    developer, connection, declared_check, text
):
    """It comes back, with another text where it has one; one that nobody declares goes."""
    connection.execute(f"ALTER TABLE datasets ADD CONSTRAINT ck_datasets_slugged CHECK ({SLUGGED})")
    connection.execute("INSERT INTO datasets (dataset_id, symbol) VALUES (gen_random_uuid(), 'x')")
    if text:
        declared_check(text)
    developer.edit("functions/stage1_slug.sql", ("name text", "name text, extra integer DEFAULT 0"))
    command.revision(developer.config, "change", autogenerate=True)
    first, *second = sorted((developer.checkout / "migrations" / "versions").glob("*_change*.py"))
    found = [line.partition("(")[0] for line in lines(first.read_text())]
    assert [each for each in found if each != "op.f"] == [
        "op.keep_grants",
        "op.drop_constraint",
        "op.drop_sql_object",
        "op.run_sql_file",
        *(["op.create_check_constraint"] if text else []),
        "op.restore_grants",
    ]
    assert [lines(each.read_text()) for each in second] == (
        [['op.validate_online("ck_datasets_slugged", "datasets")']] if text else []
    )
    made = plan.make(developer.settings, ("questdb=skip",))
    assert made.hazards == ()
    after = developer.up_down_up(to="0013")
    assert ("datasets.ck_datasets_slugged" in after["constraints"]) == bool(text)


@pytest.fixture
def declared_check(models):
    """Declare a CHECK of datasets with this text."""

    def declare(text, name="slugged"):
        models.tables["datasets"].append_constraint(sa.CheckConstraint(text, name=name))

    return declare


def test_a_check_whose_name_would_be_cut_is_refused(developer, declared_check):
    """It would never compare equal."""
    declared_check("symbol <> ''", name="x" * (64 - len("ck_datasets_")))
    for run in (command.check, lambda config: command.revision(config, "no", autogenerate=True)):
        with pytest.raises(CommandError, match="has 64 bytes; PostgreSQL keeps 63"):
            run(developer.config)


def test_a_check_of_the_longest_name_is_made_once(developer, declared_check):
    declared_check("symbol <> ''", name="x" * (63 - len("ck_datasets_")))
    developer.revise()
    developer.up_down_up()
