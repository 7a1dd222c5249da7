"""A generated column is made anew, and with it what PostgreSQL drops together with a column."""

import pytest
import sqlalchemy as sa

from tests.migrations.developer import lines

BY_HAND = (
    "ALTER TABLE simulation_trades ADD g double precision GENERATED ALWAYS AS (pnl * 2) STORED;"
)
PARTS = """
CREATE INDEX ix_g ON simulation_trades (g) WHERE g > 1;
CREATE INDEX ix_twice ON simulation_trades ((g * 2), side);
ALTER TABLE simulation_trades ADD CONSTRAINT uq_g UNIQUE (trade_id, g),
  ADD CONSTRAINT ck_simulation_trades_g CHECK (g > 0);
COMMENT ON COLUMN simulation_trades.g IS 'Twice';
"""


@pytest.fixture
def trades(models):
    return models.tables["simulation_trades"]


def generated(trades, text, type_=sa.Double, **options):
    trades.append_column(sa.Column("g", type_(), sa.Computed(text, persisted=True), **options))


def declare_parts(trades, unique="uq_g"):
    sa.Index("ix_g", trades.c.g, postgresql_where=sa.text("g > 1"))
    sa.Index("ix_twice", sa.text("(g * 2)"), trades.c.side)
    trades.append_constraint(sa.UniqueConstraint("trade_id", "g", name=unique))
    trades.append_constraint(sa.CheckConstraint("g > 0", name="g"))


def operations(developer):
    return [line.partition("(")[0].removeprefix("op.") for line in lines(developer.revise())]


def standing(developer):
    found = developer.catalogue()
    parts = {**found["constraints"], **found["indexes"]}
    return [name.rpartition(".")[2] for name in parts if name.endswith(("_g", "_twice"))]


def test_what_mentions_a_changed_one_is_made_with_it(developer, trades, connection):
    connection.execute(BY_HAND + PARTS)
    generated(trades, "pnl * 3", comment="Twice")
    declare_parts(trades)
    found = operations(developer)
    assert sorted(found[:4]) == ["drop_constraint"] * 2 + ["drop_index"] * 2
    assert found[4:6] == ["drop_column", "add_column"]
    assert sorted(found[6:]) == [
        "create_check_constraint",
        "create_index",
        "create_index",
        "create_unique_constraint",
    ]
    developer.up_down_up()
    assert len(standing(developer)) == 4


def test_what_changes_with_it_is_done_once(developer, trades, connection):
    """An index that goes, one that comes, one that changes, and a constraint of another name."""
    connection.execute(BY_HAND + PARTS + "CREATE INDEX ix_old_g ON simulation_trades (g, side)")
    generated(trades, "pnl * 3", sa.Numeric, comment="Thrice")
    sa.Index("ix_g", trades.c.g)
    sa.Index("ix_new_g", trades.c.side, trades.c.g)
    trades.append_constraint(sa.UniqueConstraint("trade_id", "g", name="uq_other_g"))
    developer.revise()
    developer.up_down_up(to="0013")
    assert sorted(standing(developer)) == ["ix_g", "ix_new_g", "uq_other_g"]


def test_what_mentions_it_on_one_side_alone(developer, trades, connection):
    connection.execute(
        BY_HAND + "CREATE INDEX ix_loses_g ON simulation_trades (g, side);"
        "CREATE INDEX ix_gets_g ON simulation_trades (side);"
        "ALTER TABLE simulation_trades ADD CONSTRAINT uq_g UNIQUE (trade_id, g)"
    )
    generated(trades, "pnl * 3")
    sa.Index("ix_loses_g", trades.c.side)
    sa.Index("ix_gets_g", trades.c.side, trades.c.g)
    trades.append_constraint(sa.UniqueConstraint("trade_id", "side", name="uq_g"))
    developer.revise()
    developer.up_down_up()
    assert sorted(standing(developer)) == ["ix_gets_g", "ix_loses_g", "uq_g"]


def test_a_plain_column_becomes_generated_with_its_index(developer, trades, connection):
    connection.execute(
        "CREATE INDEX ix_crp_g ON simulation_trades (cumulative_return_pct);"
        "ALTER TABLE simulation_trades ADD CONSTRAINT ck_g CHECK (cumulative_return_pct > 0)"
    )
    sa.Computed("pnl * 2", persisted=True)._set_parent(trades.c.cumulative_return_pct)
    sa.Index("ix_crp_g", trades.c.cumulative_return_pct)
    named = sa.sql.naming.conv("ck_g")
    trades.append_constraint(sa.CheckConstraint("cumulative_return_pct > 0", name=named))
    developer.revise()
    developer.up_down_up()
    assert sorted(standing(developer)) == ["ck_g", "ix_crp_g"]


def test_a_column_that_it_uses_changes_its_type(developer, trades, connection):
    connection.execute(BY_HAND + PARTS)
    generated(trades, "pnl * 2", comment="Twice")
    declare_parts(trades)
    trades.c.pnl.type = sa.Numeric()
    found = operations(developer)
    assert found.index("drop_column") < found.index("alter_column") < found.index("add_column")
    developer.up_down_up()
    assert len(standing(developer)) == 4


def test_a_type_changes_and_the_expression_reads_as_before(developer, trades, connection):
    connection.execute(
        "ALTER TABLE simulation_trades ADD n text;"
        "ALTER TABLE simulation_trades ADD g boolean GENERATED ALWAYS AS (n IS NULL) STORED"
    )
    trades.append_column(sa.Column("n", sa.String(20)))
    generated(trades, "n IS NULL", sa.Boolean)
    found = operations(developer)
    assert found == ["drop_column", "alter_column", "add_column"]
    developer.up_down_up()


@pytest.mark.parametrize("comes", [True, False])
def test_one_comes_or_goes_while_a_type_changes(developer, trades, connection, comes):
    if comes:
        generated(trades, "pnl * 2")
        sa.Index("ix_g", trades.c.g)
    else:
        connection.execute(BY_HAND + PARTS)
    trades.c.pnl.type = sa.Numeric()
    developer.revise()
    developer.up_down_up(to="0013")
