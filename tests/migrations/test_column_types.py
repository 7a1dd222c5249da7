"""Columns whose new type PostgreSQL casts to only if told, forward, back, and after a hand."""

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql

from stage1_schema.ops import plan
from tests.migrations.developer import lines

JOB = "INSERT INTO stage1_jobs (job_id, job_type, value) VALUES (gen_random_uuid(), 'a', %s)"
UUID = "66666666-6666-6666-6666-666666666666"
CASES = {
    # old type, its default, new type, its default, a value, what it is then
    "text to jsonb": (sa.Text(), None, postgresql.JSONB(), None, '{"a": 1}', {"a": 1}),
    "double to text": (sa.Double(), "0", sa.Text(), "'0'", 1.5, "1.5"),
    "uuid to text": (sa.Uuid(), None, sa.Text(), None, UUID, UUID),
    "integer to boolean": (sa.Integer(), "0", sa.Boolean(), "false", 1, True),
    "text to integer": (sa.Text(), "'0'", sa.Integer(), "7", "12", 12),
    "texts to integers": (
        postgresql.ARRAY(sa.Text()), None, postgresql.ARRAY(sa.Integer()), None, ["1"], [1],
    ),
    "a default that goes": (sa.Text(), "'0'", sa.Integer(), None, "12", 12),
    "a default that comes": (sa.Text(), None, sa.Integer(), "7", "12", 12),
}  # fmt: skip


def column(kind, default):
    return sa.Column("value", kind, server_default=default and sa.text(default))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_new_type_up_down_up(developer, models, connection, case):
    old, old_default, new, new_default, value, expected = case
    models.tables["stage1_jobs"].append_column(column(old, old_default))
    command.revision(developer.config, "first", autogenerate=True)
    command.upgrade(developer.config, "head")
    models.tables["stage1_jobs"].append_column(column(new, new_default), replace_existing=True)
    connection.execute(JOB, [value])
    text = developer.revise()
    assert len(lines(text)) == 1, text
    assert "changes values" in plan.make(developer.settings, ["questdb=skip"]).hazards or (
        new.__class__ is sa.Text
    )
    developer.up_down_up()
    assert connection.execute("SELECT value FROM stage1_jobs").fetchall() == [{"value": expected}]


HANDS = {
    "to text": "ALTER TABLE stage1_jobs ALTER total TYPE text",
    "with a default": "ALTER TABLE stage1_jobs ALTER progress DROP DEFAULT,"
    " ALTER progress TYPE text, ALTER progress SET DEFAULT '5'",
    "to jsonb": "ALTER TABLE stage1_jobs ALTER message TYPE jsonb USING to_jsonb(message)",
}


@pytest.mark.parametrize("hand", HANDS.values(), ids=HANDS)
def test_type_by_hand_is_taken_back(developer, connection, hand):
    declared = developer.catalogue()
    connection.execute(hand)
    developer.revise()
    assert developer.up_down_up() == declared


def test_type_that_changes_with_its_default_is_named(developer, models, connection):
    connection.execute("ALTER TABLE stage1_jobs ADD flag integer NOT NULL DEFAULT 0")
    flag = sa.Column("flag", sa.Boolean(), nullable=False, server_default=sa.false())
    models.tables["stage1_jobs"].append_column(flag)
    with pytest.raises(CommandError, match=r"column stage1_jobs.flag: type declared BOOLEAN"):
        command.check(developer.config)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(sa.Enum("a", "b", name="mood"), id="enum"),
        pytest.param(postgresql.ARRAY(postgresql.ENUM("a", name="mood")), id="array of an enum"),
        pytest.param(postgresql.DOMAIN("mood", sa.Text()), id="domain"),
    ],
)
def test_a_type_of_its_own_is_refused(developer, models, kind):
    models.tables["stage1_jobs"].append_column(sa.Column("mood", kind))
    with pytest.raises(CommandError, match=r"mood of stage1_jobs has a type .* a CHECK of"):
        command.check(developer.config)
