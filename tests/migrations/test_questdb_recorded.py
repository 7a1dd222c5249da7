"""Tables that PostgreSQL records: `alembic check` promises of each what `questdb apply` does."""

import pytest
from alembic import command
from alembic.util import CommandError

from stage1_schema.ops import drift, migrate, series, status
from tests.plugins.databases import ROLES, client
from tests.postgres import clients, rows

BARS_OF = "ohlcv_btc25_4h"
OPTIONS = "; stage1 questdb apply{} repairs it"
PARQUET = (
    "the table has Parquet partitions, and altering those can stop the server; "
    'ALTER TABLE "ohlcv_btc25_4h" CONVERT PARTITION TO NATIVE WHERE … first'
)
LEFT = (
    "; stage1 questdb apply leaves it: if it is a column that is missing now, rename it back "
    'before, else drop it with its values: ALTER TABLE "ohlcv_btc25_4h" DROP COLUMN '
)
LOSSY = (
    "QuestDB column ohlcv_btc25_4h.open: column type: declared DOUBLE, live LONG; stage1 questdb "
    "apply refuses it: open from LONG to DOUBLE would lose values without a word; rebuild the "
    "table: stage1 questdb rebuild ohlcv_btc25_4h --dry-run"
)
AS_PARQUET = "CONVERT PARTITION TO PARQUET LIST '2025-01'"
AS_NATIVE = f"{BARS_OF} CONVERT PARTITION TO NATIVE WHERE timestamp > 0"


@pytest.fixture
def recorded(head, questdb):
    """Settings of both stores, with the tables of one dataset and two bars in each."""
    with client(head, ROLES.owner) as connection:
        connection.execute(clients.c_dataset(rows.C_DATASET))
    series.carry_out(questdb, series.plan(questdb, series.catalogue(head)))
    for name in (BARS_OF, "indicators_btc25_4h"):
        questdb.execute(f"INSERT INTO {name} (timestamp) VALUES ('2025-01-01'), ('2025-03-01')")
        questdb.wait_for(name)
    return head


def alter(questdb, *changes):
    for change in changes:
        questdb.execute(f"ALTER TABLE {change}")
        questdb.wait_for(change.partition(" ")[0])


def lines_of_check(settings):
    with pytest.raises(CommandError) as told:
        command.check(migrate.config(settings))
    return sorted(line.strip() for line in str(told.value).splitlines()[1:-1])


@pytest.mark.parametrize(
    ("changes", "lines", "allow", "left"),
    [
        pytest.param(
            ["indicators_btc25_4h SET TTL 5 YEARS"],
            [
                "QuestDB table indicators_btc25_4h: TTL: declared none, live 60 MONTHS"
                + OPTIONS.format("")
            ],
            (),
            [],
            id="TTL",
        ),
        pytest.param(
            [f"{BARS_OF} ALTER COLUMN close TYPE FLOAT", f"{BARS_OF} SET TTL 500 YEARS"],
            [
                f"QuestDB column {BARS_OF}.close: column type: declared DOUBLE, live FLOAT"
                + OPTIONS.format(' --allow "rewrites a column"'),
                f"QuestDB table {BARS_OF}: TTL: declared none, live 6000 MONTHS"
                + OPTIONS.format(""),
            ],
            ["rewrites a column"],
            [],
            id="hazard",
        ),
        pytest.param(
            [f"{BARS_OF} ADD COLUMN extra LONG"],
            [
                (
                    f"QuestDB column {BARS_OF}.extra: extra column: declared nothing, live LONG"
                    f'{LEFT}"extra"'
                )
            ],
            (),
            [0],
            id="extra column",
        ),
        pytest.param(
            [f"{BARS_OF} RENAME COLUMN close TO closing"],
            [
                (
                    f"QuestDB column {BARS_OF}.close: missing column: declared DOUBLE, live nothing"
                    "; stage1 questdb apply adds it"
                ),
                (
                    f"QuestDB column {BARS_OF}.closing: extra column: declared nothing, live DOUBLE"
                    f'{LEFT}"closing"'
                ),
            ],
            (),
            [1],
            id="renamed column",
        ),
        pytest.param(
            [f"{BARS_OF} ALTER COLUMN open TYPE LONG", "indicators_btc25_4h SET TTL 5 YEARS"],
            [
                LOSSY,
                "QuestDB table indicators_btc25_4h: TTL: declared none, live 60 MONTHS"
                + OPTIONS.format(" --skip-refused"),
            ],
            (),
            [0],
            id="beside a refused table",
        ),
    ],
)
def test_check_promises_what_apply_does(recorded, questdb, changes, lines, allow, left):
    alter(questdb, *changes)
    assert lines_of_check(recorded) == lines
    declarations = series.catalogue(recorded)
    refused = any("--skip-refused" in line for line in lines)
    series.carry_out(questdb, series.plan(questdb, declarations), allow=allow, skip_refused=refused)
    if left:
        assert lines_of_check(recorded) == [lines[n] for n in left]
    else:
        command.check(migrate.config(recorded))


@pytest.mark.parametrize(
    ("changes", "lines", "way_out"),
    [
        pytest.param([f"{BARS_OF} ALTER COLUMN open TYPE LONG"], [LOSSY], BARS_OF, id="type"),
        pytest.param(
            ["indicators_btc25_4h ALTER COLUMN dataset_id TYPE VARCHAR"],
            [
                (
                    "QuestDB column indicators_btc25_4h.dataset_id: column type: declared SYMBOL "
                    "CAPACITY 256, live VARCHAR; stage1 questdb apply refuses it: dataset_id is a "
                    "deduplication key; rebuild the table to change it: stage1 questdb rebuild "
                    "indicators_btc25_4h --dry-run"
                )
            ],
            "indicators_btc25_4h",
            id="type of a key",
        ),
        pytest.param(
            [f"{BARS_OF} {AS_PARQUET}", f"{BARS_OF} SET TTL 500 YEARS"],
            [
                (
                    f"QuestDB table {BARS_OF}: TTL: declared none, live 6000 MONTHS"
                    f"; stage1 questdb apply refuses it: {PARQUET}"
                )
            ],
            [AS_NATIVE],
            id="TTL with Parquet partitions",
        ),
        pytest.param(
            [f"{BARS_OF} ADD COLUMN extra LONG", f"{BARS_OF} {AS_PARQUET}"],
            [
                (
                    f"QuestDB column {BARS_OF}.extra: extra column: declared nothing, live LONG"
                    f"; stage1 questdb apply leaves it, and dropping it is refused: {PARQUET}"
                )
            ],
            [AS_NATIVE, f'{BARS_OF} DROP COLUMN "extra"'],
            id="extra column with Parquet partitions",
        ),
    ],
)
def test_check_says_what_apply_refuses_and_the_way_out(
    recorded, questdb, monkeypatch, checkout, changes, lines, way_out
):
    alter(questdb, *changes)
    assert lines_of_check(recorded) == lines
    # A revision has nothing to do with it.
    monkeypatch.chdir(checkout)
    command.revision(migrate.config(recorded), "other", autogenerate=True)
    assert not list((checkout / "migrations" / "versions").glob("*_other.py"))
    if isinstance(way_out, str):
        series.rebuild(recorded, way_out)
    else:
        alter(questdb, *way_out)
        series.carry_out(questdb, series.plan(questdb, series.catalogue(recorded)))
    command.check(migrate.config(recorded))


@pytest.mark.parametrize(
    ("change", "way_out"),
    [
        pytest.param("ADD COLUMN extra LONG", 'DROP COLUMN "extra"', id="dropped"),
        pytest.param("RENAME COLUMN close TO closing", "RENAME COLUMN closing TO close", id="back"),
    ],
)
def test_extra_column_goes_by_hand(recorded, questdb, change, way_out):
    alter(questdb, f"{BARS_OF} {change}", f"{BARS_OF} {way_out}")
    command.check(migrate.config(recorded))


def test_shared_table_with_indicators_is_one_line(head, questdb):
    """It is recorded as well: what no revision can repair, apply cannot either."""
    row = {**rows.C_DATASET, "metadata": {"declared_indicators": ["rsi"]}}
    with client(head, ROLES.owner) as connection:
        connection.execute(clients.c_dataset(row))
    alter(questdb, "indicator_bars ALTER COLUMN open TYPE LONG")
    refused, added = lines_of_check(head)
    assert "; refused: open from LONG to DOUBLE would lose values" in refused
    assert added == (
        "QuestDB column indicator_bars.rsi: missing column: declared DOUBLE, live nothing; stage1 "
        "questdb apply refuses it: open from LONG to DOUBLE would lose values without a word; "
        "rebuild the table: stage1 questdb rebuild indicator_bars --dry-run"
    )


def test_other_partitioning_is_rebuilt(recorded, questdb):
    questdb.execute(f"DROP TABLE {BARS_OF}")
    questdb.execute(
        f"CREATE TABLE {BARS_OF} (timestamp TIMESTAMP, Date LONG, Time LONG, open DOUBLE, "
        "high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE) TIMESTAMP(timestamp) "
        "PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp)"
    )
    assert lines_of_check(recorded) == [
        (
            f"QuestDB table {BARS_OF}: partitioning: declared MONTH, live DAY; stage1 questdb "
            "apply refuses it: partitioning DAY instead of MONTH cannot be altered; rebuild the "
            f"table: stage1 questdb rebuild {BARS_OF} --dry-run"
        )
    ]
    series.rebuild(recorded, BARS_OF)
    command.check(migrate.config(recorded))


def test_recorded_tables_are_compared(head, questdb):
    """Those of datasets, of runs and of simulations, whatever they are called."""
    with client(head, ROLES.owner) as connection:
        for statement in (
            clients.c_dataset({**rows.C_DATASET, "metadata": {"ohlcv_measurement": "free_name"}}),
            clients.c_run(rows.RUN_ROW),
            clients.simulation(rows.SIMULATION_ROW),
        ):
            connection.execute(statement)
    names = ["btc25_4h_wf1738400000", "btc_sim1", "free_name", "indicators_btc25_4h"]
    declarations = series.catalogue(head)
    (skipped,) = drift.check(head).skipped
    assert str(skipped).startswith("QuestDB tables recorded and not made yet: skipped: 2, such as")
    command.check(migrate.config(head))
    series.carry_out(questdb, series.plan(questdb, declarations))
    for name in names:
        questdb.execute(f"ALTER TABLE {name} SET TTL 5 YEARS")
        questdb.wait_for(name)
    lines = [f"QuestDB table {name}: TTL: declared none, live 60 MONTHS" for name in names]
    assert sorted(map(str, drift.check(head).different)) == lines
    assert sorted(status.read(head).questdb.drift) == lines
    with pytest.raises(CommandError) as told:
        command.check(migrate.config(head))
    repair = "; stage1 questdb apply repairs it"
    assert sorted(str(told.value).splitlines()[1:-1]) == [f"  {line}{repair}" for line in lines]
    series.carry_out(questdb, series.plan(questdb, declarations))
    command.check(migrate.config(head))
