"""Constraints and indexes that do not fit a column's new type go before it, and come after."""

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.dialects import postgresql

from stage1_schema.alembic_plugin import standing
from tests.migrations.developer import lines

ROW = "INSERT INTO stage1_jobs (job_type, code) VALUES ('a', {})"
FIRST = "ALTER TABLE stage1_jobs ADD code {};"
CHECK = "ALTER TABLE stage1_jobs ADD CONSTRAINT {} CHECK ({});"
NAME = "ck_stage1_jobs_code"
EXCLUDE = "ALTER TABLE stage1_jobs ADD CONSTRAINT by_hand EXCLUDE USING hash (lower(code) WITH =);"
INDEX = "CREATE INDEX ix_code ON stage1_jobs {};"


def check(text, name="code"):
    return lambda jobs: jobs.append_constraint(sa.CheckConstraint(text, name=name))


def index(*expressions, **options):
    return lambda jobs: sa.Index(
        "ix_code", *(sa.text(each) for each in expressions), _table=jobs, **options
    )


CASES = {
    # the type by hand, what stands on it, the declared type, what is declared on it
    "check changes": ("integer", CHECK.format(NAME, "code > 0"), sa.Text(), check("code <> ''")),
    "check goes": ("integer", CHECK.format(NAME, "code > 0"), sa.Text(), None),
    "check comes": ("integer", "", sa.Text(), check("code <> ''")),
    "check changes its name too": (
        "integer", CHECK.format("by_hand", "code > 0"), sa.Text(), check("code <> ''"),
    ),
    "check reads as another": ("integer", CHECK.format(NAME, "code > 0"), sa.Numeric(),
                               check("code > 0")),
    "predicate changes": (
        "integer", INDEX.format("(status) WHERE code > 0"), sa.Text(),
        index("status", postgresql_where=sa.text("code <> ''")),
    ),
    "predicate goes": (
        "integer", INDEX.format("(status) WHERE code > 0"), sa.Text(), index("status"),
    ),
    "index goes": ("integer", INDEX.format("((code + 1))"), sa.Text(), None),
    "expression changes": (
        "integer", INDEX.format("((code + 1))"), sa.Text(), index("lower(code)"),
    ),
    "operator class goes": (
        "text", INDEX.format("(code text_pattern_ops)"), sa.Integer(), index("code"),
    ),
    "what cannot be ordered": ("text", INDEX.format("(code)"), postgresql.JSON(), None),
    "unique goes": (
        "text", "ALTER TABLE stage1_jobs ADD CONSTRAINT by_hand UNIQUE (code);",
        postgresql.JSON(), None,
    ),
    "exclusion goes": (
        "text", EXCLUDE, sa.Integer(), None,
    ),
    "replica identity goes": (
        "integer NOT NULL",
        ("CREATE UNIQUE INDEX ix_code ON stage1_jobs (code);"
        "ALTER TABLE stage1_jobs REPLICA IDENTITY USING INDEX ix_code"),
        sa.Text(), lambda jobs: setattr(jobs.c.code, "nullable", False),
    ),
    "not valid": (
        "integer", CHECK.format(NAME, "code > 0").replace(");", ") NOT VALID;"), sa.Numeric(),
        check("code > 0"),
    ),
    "not inherited": (
        "integer", CHECK.format(NAME, "code > 0").replace(");", ") NO INHERIT;"), sa.Numeric(),
        check("code > 0"),
    ),
    "quoted": (
        "integer", CHECK.format("\"by 'hand\"", "code > 0"), sa.Text(), check("code <> '%'"),
    ),
}  # fmt: skip


def revise(developer, name="change"):
    command.revision(developer.config, name, autogenerate=True)
    versions = developer.checkout / "migrations" / "versions"
    texts = [path.read_text() for path in sorted(versions.glob(f"*_{name}*.py"))]
    return [[line.partition("(")[0] for line in lines(text)] for text in texts]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_does_not_fit_the_new_type(developer, models, connection, case):
    old, stands, new, declare = case
    connection.execute(FIRST.format(old) + stands)
    jobs = models.tables["stage1_jobs"]
    jobs.append_column(sa.Column("code", new))
    if declare:
        declare(jobs)
    revise(developer)
    developer.up_down_up(to="0013")
    assert revise(developer, "again") == []


MIXED = {
    "check, text": (sa.Integer, sa.Text, CHECK.format(NAME, "code > more"), check("code > more")),
    "check, narrower": (
        sa.Numeric, sa.Integer, CHECK.format(NAME, "code > more"), check("code > more"),
    ),
    "index, narrower": (
        sa.Numeric, sa.Integer, INDEX.format("((code + more))"), index("(code + more)"),
    ),
    "columns alone": (sa.Integer, sa.Text, INDEX.format("(code, more)"), index("code", "more")),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "stands", "declare"), MIXED.values(), ids=MIXED)
def test_what_says_two_columns_that_both_change(
    developer, models, connection, old, new, stands, declare
):
    """It reads the same before and after, and in between it does not fit."""
    kind = old().compile(postgresql.dialect())
    connection.execute(FIRST.format(kind) + FIRST.format(kind).replace("code", "more") + stands)
    jobs = models.tables["stage1_jobs"]
    jobs.append_column(sa.Column("code", new()))
    jobs.append_column(sa.Column("more", new()))
    declare(jobs)
    revise(developer)
    developer.up_down_up(to="0013")
    assert revise(developer, "again") == []


def test_a_check_holds_for_new_rows_all_the_time(developer, models, connection):
    """It comes back in the revision that took it away; the next one reads the rows that stand."""
    connection.execute(FIRST.format("integer") + CHECK.format(NAME, "code > 0"))
    jobs = models.tables["stage1_jobs"]
    jobs.append_column(sa.Column("code", sa.Text()))
    check("code <> '5'")(jobs)
    connection.execute(ROW.format(1))
    first, second = revise(developer)
    assert first[:3] == ["op.drop_constraint", "op.execute", "op.create_check_constraint"]
    assert second == ["op.validate_online"]
    command.upgrade(developer.config, "0014")
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(ROW.format("'5'"))
    command.downgrade(developer.config, "0013")
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(ROW.format(0))
    developer.up_down_up(to="0013")
    assert connection.execute("SELECT code FROM stage1_jobs").fetchall() == [{"code": "1"}]


def test_what_fits_is_left_alone(developer, models, connection):
    connection.execute(
        FIRST.format("integer") + CHECK.format(NAME, "code > 0") + INDEX.format("(code)")
    )
    jobs = models.tables["stage1_jobs"]
    jobs.append_column(sa.Column("code", sa.BigInteger()))
    check("code > 0")(jobs)
    index("code")(jobs)
    assert revise(developer) == [["op.alter_column"]]
    developer.up_down_up()


def test_a_constraint_that_is_called_as_the_column(developer, models, connection):
    connection.execute(FIRST.format("integer") + CHECK.format("code", "code > 0"))
    jobs = models.tables["stage1_jobs"]
    jobs.append_column(sa.Column("code", sa.Text()))
    assert revise(developer) == [["op.drop_constraint", "op.execute"]]
    developer.up_down_up()


@pytest.mark.parametrize(
    ("old", "new", "apart"),
    [
        pytest.param(sa.Uuid, sa.Text, True, id="uuid to text"),
        pytest.param(sa.Integer, sa.BigInteger, False, id="integer to bigint"),
    ],
)
def test_both_ends_of_a_foreign_key(developer, models, old, new, apart):
    """Where PostgreSQL compares the two types, the key stands all the time."""
    parent = sa.Table("parents", models, sa.Column("id", old, primary_key=True))
    child = sa.Table(
        "children", models, sa.Column("of", old, sa.ForeignKey("parents.id", ondelete="CASCADE"))
    )
    revise(developer, "tables")
    command.upgrade(developer.config, "head")
    parent.c.id.type = child.c.of.type = new()
    found = revise(developer)
    assert ("op.create_foreign_key" in found[0], len(found)) == (apart, 1 + apart)
    developer.up_down_up(to="0014")
    assert revise(developer, "again") == []


def accounts(models, kind, unique, to, of=None):
    """Declare a table, what of it is unique, and another that refers `to` it."""
    for name in ("accounts", "transfers"):
        if name in models.tables:
            models.remove(models.tables[name])
    key = [sa.ForeignKey(f"accounts.{to}", name="fk_transfers_of")] if to else []
    sa.Table(
        "accounts",
        models,
        sa.Column("id", kind, primary_key=True),
        sa.Column("other", sa.Uuid(), unique=True),
        sa.Column("code", kind),
        *([sa.UniqueConstraint(*unique, name="uq_accounts_code")] if unique else []),
    )
    sa.Table("transfers", models, sa.Column("of", of or kind, *key))


RESTS = {
    # what is unique and what refers to what, before and after `accounts` changes its types
    "unique changes, key goes": (("code",), "code", ("code", "other"), None),
    "unique goes, key goes": (("code",), "code", (), None),
    "unique changes, key moves": (("code",), "code", ("code", "other"), "other"),
    "key moves": ((), "id", (), "other"),
}


@pytest.mark.parametrize("case", RESTS.values(), ids=RESTS)
def test_a_foreign_key_rests_on_what_changes(developer, models, case):
    unique, to, then_unique, then = case
    accounts(models, sa.Uuid(), unique, to)
    revise(developer, "tables")
    command.upgrade(developer.config, "head")
    accounts(models, sa.Text(), then_unique, then, sa.Uuid())
    revise(developer)
    developer.up_down_up(to="0014")
    assert revise(developer, "again") == []


@pytest.mark.parametrize(("unique", "to"), [((), "id"), (("code",), "code")], ids=["key", "unique"])
def test_the_table_that_refers_to_it_goes(developer, models, monkeypatch, unique, to):
    """Its foreign key goes and comes back with it."""
    monkeypatch.setattr(standing, "TABLES", (*standing.TABLES, "transfers"))
    accounts(models, sa.Uuid(), unique, to)
    revise(developer, "tables")
    command.upgrade(developer.config, "head")
    accounts(models, sa.Text(), (), None)
    models.remove(models.tables["transfers"])
    revise(developer)
    developer.up_down_up(to="0014")
    assert revise(developer, "again") == []
