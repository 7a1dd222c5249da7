"""A plan of QuestDB operations: what is refused, and what the rest costs."""

import pytest

from questdb_ddl.tables import TRADING_SIM_EQUITY
from questdb_ddl.tables import TRADING_SIM_TRACES as TRADES
from stage1_schema.errors import Stage1Error
from stage1_schema.ops import migrate, plan
from tests.migrations.parquet import with_parquet

REVISION = '''"""Change

Revises: 0013
"""
from alembic import op
revision, down_revision = "0014", "0013"
def upgrade():
    {}
def downgrade():
    {}
'''


@pytest.fixture
def planned(head, checkout, monkeypatch):
    """Plan revision 0014 that does what is given, on stores that stand at head."""

    def plan_of(*does):
        path = checkout / "migrations" / "versions" / "0014_change.py"
        body = "\n    ".join(does)
        path.write_text(REVISION.format(body, body))
        return plan.make(head)

    monkeypatch.chdir(checkout)
    return plan_of


EQUITY = TRADING_SIM_EQUITY.name
NARROW = f'op.alter_questdb_column("{EQUITY}", "equity", "LONG", existing="DOUBLE")'
NOCACHE = "SYMBOL NOCACHE"
RETIRE_KEY = f'op.retire_questdb_column("{EQUITY}", "mode", "SYMBOL")'


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        pytest.param(NARROW, "from DOUBLE to LONG would lose values", id="narrowing"),
        pytest.param(
            NARROW.replace('existing="DOUBLE"', 'existing="INT"'),
            "from DOUBLE to LONG would lose values",
            id="narrowing of what stands",
        ),
        pytest.param(RETIRE_KEY, "mode is a deduplication key", id="key column"),
        pytest.param(
            f'op.add_questdb_column("{TRADES.name}", "x", "LONG")', "Parquet", id="Parquet"
        ),
        pytest.param(
            'op.add_questdb_column("nowhere", "x", "LONG")', "no table nowhere", id="gone"
        ),
        pytest.param(
            f'op.rename_questdb_table("{EQUITY}", "{TRADES.name}")', "has both", id="name taken"
        ),
        pytest.param(
            f'op.create_questdb_table("{EQUITY}", columns={{"x": "LONG"}})',
            "would create",
            id="another table stands",
        ),
    ],
)
def test_refused_operation_stops_the_plan(planned, questdb, does, reason):
    if reason == "Parquet":
        with_parquet(questdb, TRADES.name)
    with pytest.raises(Stage1Error, match=reason):
        planned(does)


def test_plan_looks_at_each_operation_after_those_before_it(planned, questdb):
    keys = list(TRADING_SIM_EQUITY.dedup_keys)
    left = [key for key in keys if key != "mode"]
    made = planned(
        f'op.alter_questdb_table("{EQUITY}", dedup_keys={left}, existing={{"dedup_keys": {keys}}})',
        RETIRE_KEY,
        f'op.rename_questdb_table("{EQUITY}", "equity")',
        'op.add_questdb_column("equity", "x", "LONG")',
        'op.create_questdb_table("y", columns={"x": "INT"})',
        'op.alter_questdb_column("y", "x", "LONG", existing="INT")',
    )
    assert len(made.revisions[0].questdb) == 6


def test_plan_names_what_a_change_of_questdb_costs(planned):
    more = {"dedup_keys": list(TRADING_SIM_EQUITY.dedup_keys)}
    fewer = {"dedup_keys": more["dedup_keys"][:-1]}
    merges = "makes one row of rows that a key told apart"
    assert planned(f'op.alter_questdb_table("{EQUITY}", **{more}, existing={fewer})').hazards == ()
    changes = {
        f'op.alter_questdb_table("{EQUITY}", **{fewer}, existing={more})': merges,
        f'op.retire_questdb_column("{EQUITY}", "equity", "DOUBLE")': "puts data away",
        f'op.retire_questdb_table("{EQUITY}")': "puts data away",
        f'op.alter_questdb_table("{EQUITY}", dedup_keys=[], existing={{}})': "drops deduplication",
        f'op.alter_questdb_table("{EQUITY}", ttl_months=9, existing={{}})': "deletes data",
    }
    for does, hazard in changes.items():
        assert planned(does).hazards == (hazard,)


@pytest.mark.core
@pytest.mark.parametrize(
    ("does", "invalidates"),
    [
        (f'op.add_questdb_column("{EQUITY}", "x", "LONG")', False),
        (
            f'op.alter_questdb_column("{EQUITY}", "mode", "SYMBOL NOCACHE", existing="SYMBOL")',
            False,
        ),
        (f'op.alter_questdb_table("{EQUITY}", dedup_keys=[], existing={{}})', False),
        (f'op.retire_questdb_column("{EQUITY}", "equity", "DOUBLE")', True),
        (f'op.rename_questdb_table("{EQUITY}", "equity")', True),
        (f'op.retire_questdb_table("{EQUITY}")', True),
    ],
    ids=["add", "symbol", "keys", "retire column", "rename", "retire table"],
)
def test_plan_names_the_views_that_a_revision_invalidates(planned, questdb, does, invalidates):
    if questdb.version_numbers() < (9,):
        pytest.skip("QuestDB 8.2 has no materialized views")
    questdb.execute(
        f"CREATE MATERIALIZED VIEW v_daily AS (SELECT timestamp, max(drawdown) m FROM {EQUITY}"
        " SAMPLE BY 1d) PARTITION BY MONTH"
    )
    made = planned(does)
    questdb.execute("DROP MATERIALIZED VIEW v_daily")
    assert made.revisions[0].views == (("v_daily",) if invalidates else ())
    assert ("invalidates materialized views" in made.hazards) is invalidates


def test_an_upgrade_names_the_views_that_it_invalidates(planned, head, questdb):
    """Also where nobody looked at the plan."""
    questdb.execute(
        f"CREATE MATERIALIZED VIEW v_daily AS (SELECT timestamp, max(drawdown) m FROM {EQUITY}"
        " SAMPLE BY 1d) PARTITION BY MONTH"
    )
    planned(f'op.retire_questdb_column("{EQUITY}", "equity", "DOUBLE")')
    said = []
    migrate.upgrade(head, progress=said.append)
    questdb.execute("DROP MATERIALIZED VIEW v_daily")
    assert "This run invalidates materialized views: v_daily" in said


def test_a_detached_partition_stops_the_plan(planned, questdb):
    questdb.execute(
        f"INSERT INTO {EQUITY} (timestamp, equity) VALUES ('2020-01-01', 1), ('2020-02-01', 1)"
    )
    questdb.execute(f"ALTER TABLE {EQUITY} DETACH PARTITION LIST '2020-01'")
    questdb.wait_for(EQUITY)
    with pytest.raises(Stage1Error, match=f"2020-01 .1 row.*Next: .*--give-up-detached {EQUITY}"):
        planned(f'op.retire_questdb_table("{EQUITY}")')
