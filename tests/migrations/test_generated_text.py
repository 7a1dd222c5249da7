"""A generated revision writes the text of defaults, CHECKs and predicates as it was declared."""

import pytest
import sqlalchemy as sa
from alembic import command

from stage1_schema.ops import migrate

HARD = {
    "percent": "note LIKE '50%'",
    "colon": r"""note <> ' \:x' AND note <> '{"a"\:1}'""",
    "class": "note ~ '^[[:alpha:]]*$' AND note !~ '[[:digit:]]'",
    "class and colon": r"note !~ '[[:digit:]] \:a'",
    "both": r"note::text <> 'a\:b :: %s %(x)s' AND length(note) % 7 < 7",
}


@pytest.fixture
def notes(migrated, checkout, monkeypatch, models):
    """A declared table with such texts all over, and Alembic's configuration in the checkout."""
    monkeypatch.chdir(checkout)
    sa.Table(
        "notes",
        models,
        sa.Column("note", sa.Text(), server_default="it's 5% :x", comment="it's 5% :x"),
        sa.Column("plain", sa.Text(), server_default=sa.text(r"' 5% \:x'")),
        sa.Column("class", sa.Text(), server_default=sa.text("replace('[[:digit:]]', ':', '')")),
        sa.Column("made", sa.Text(), sa.Computed(r"note || ' 5% \:x'", persisted=True)),
        *(sa.CheckConstraint(each, name=name) for name, each in HARD.items()),
        *(
            sa.Index(f"ix_notes_{name}", "note", postgresql_where=sa.text(each))
            for name, each in HARD.items()
        ),
        sa.Index("ix_notes_expression", sa.text("(note || ' 5%')")),
    )
    return migrate.config(migrated, ["questdb=skip"])


def test_text_is_written_as_declared(notes, checkout, connection):
    command.revision(notes, "change", autogenerate=True)
    command.upgrade(notes, "head")
    command.check(notes)
    found = connection.execute(
        "SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint"
        " WHERE conrelid = 'notes'::regclass AND contype = 'c'"
    ).fetchall()
    assert {each["text"] for each in found} == {
        "CHECK ((note ~~ '50%'::text))",
        "CHECK (((note <> ' :x'::text) AND (note <> '{\"a\":1}'::text)))",
        "CHECK (((note ~ '^[[:alpha:]]*$'::text) AND (note !~ '[[:digit:]]'::text)))",
        "CHECK ((note !~ '[[:digit:]] :a'::text))",
        "CHECK (((note <> 'a:b :: %s %(x)s'::text) AND ((length(note) % 7) < 7)))",
    }
    command.downgrade(notes, "-1")
    command.upgrade(notes, "head")
    command.revision(notes, "again", autogenerate=True)
    assert not list((checkout / "migrations" / "versions").glob("*_again*.py"))


def test_a_quote_in_a_default_is_compared(notes, checkout, connection):
    command.revision(notes, "change", autogenerate=True)
    command.upgrade(notes, "head")
    connection.execute("ALTER TABLE notes ALTER note SET DEFAULT 'by ''hand'")
    with pytest.raises(Exception, match=r"column notes.note: declared .*it''s 5% :x"):
        command.check(notes)
    command.revision(notes, "repair", autogenerate=True)
    command.upgrade(notes, "head")
    command.check(notes)
    command.downgrade(notes, "-1")
