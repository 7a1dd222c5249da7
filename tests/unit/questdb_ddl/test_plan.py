"""Plans: statements in order, hazards, refusals, fingerprint."""

import re
from dataclasses import replace

import pytest

from questdb_ddl.errors import DeclarationError
from questdb_ddl.plan import Hazard, fingerprint, make_plan
from questdb_ddl.spec import Column, Kind, LiveColumn, LiveTable, PartitionBy, Table
from questdb_ddl.types import Double, Int, Long, Symbol, Timestamp, TimestampNs, Varchar

TABLE = Table("t", (Column("tag", Symbol(512)), Column("n", Long())))
COLUMNS = (
    LiveColumn("timestamp", Timestamp()),
    LiveColumn("tag", Symbol(512)),
    LiveColumn("n", Long()),
)
LIVE = LiveTable(
    "t",
    COLUMNS,
    designated_timestamp="timestamp",
    partition_by=PartitionBy.MONTH,
    wal=True,
    max_uncommitted_rows=500000,
    o3_max_lag_ms=600000,
    row_count=5,
    has_parquet=False,
)
KEYS = ("timestamp", "tag")


def with_columns(**new):
    return tuple(LiveColumn(c.name, new.get(c.name, c.type)) for c in COLUMNS)


@pytest.mark.parametrize(
    ("declared", "live", "expected"),
    [
        ({}, {}, []),
        (
            {},
            {"columns": COLUMNS[:2]},
            [('ALTER TABLE "t" ADD COLUMN IF NOT EXISTS "n" LONG', ())],
        ),
        (
            {},
            {"columns": with_columns(n=Int())},
            [('ALTER TABLE "t" ALTER COLUMN n TYPE LONG', (Hazard.REWRITES_COLUMN,))],
        ),
        (
            {},
            {"columns": with_columns(tag=Varchar())},
            [
                (
                    'ALTER TABLE "t" ALTER COLUMN tag TYPE SYMBOL CAPACITY 512',
                    (Hazard.REWRITES_COLUMN,),
                )
            ],
        ),
        (
            {"dedup_keys": KEYS},
            {},
            [
                (
                    'ALTER TABLE "t" DEDUP ENABLE UPSERT KEYS("timestamp", "tag")',
                    (Hazard.KEEPS_DUPLICATES,),
                )
            ],
        ),
        (
            {"dedup_keys": KEYS},
            {"row_count": 0},
            [('ALTER TABLE "t" DEDUP ENABLE UPSERT KEYS("timestamp", "tag")', ())],
        ),
        (
            {},
            {"dedup_keys": KEYS},
            [('ALTER TABLE "t" DEDUP DISABLE', (Hazard.DROPS_DEDUPLICATION,))],
        ),
        (
            {"ttl_months": 6},
            {"ttl_value": 1, "ttl_unit": "YEAR"},
            [('ALTER TABLE "t" SET TTL 6 MONTHS', (Hazard.DELETES_DATA,))],
        ),
        (
            {"ttl_months": 24},
            {"ttl_value": 1, "ttl_unit": "YEAR"},
            [('ALTER TABLE "t" SET TTL 24 MONTHS', ())],
        ),
        (
            {},
            {"ttl_value": 1, "ttl_unit": "YEAR"},
            [('ALTER TABLE "t" SET TTL 1000 YEARS', ())],
        ),
        (
            {"max_uncommitted_rows": 10, "o3_max_lag_ms": 20},
            {},
            [
                ('ALTER TABLE "t" SET PARAM maxUncommittedRows = 10', ()),
                ('ALTER TABLE "t" SET PARAM o3MaxLag = 20ms', ()),
            ],
        ),
        (
            {},
            {"columns": with_columns(tag=Symbol(256, cache=False, index=True))},
            [
                ('ALTER TABLE "t" ALTER COLUMN tag SYMBOL CAPACITY 512', ()),
                ('ALTER TABLE "t" ALTER COLUMN tag NOCACHE', ()),
                ('ALTER TABLE "t" ALTER COLUMN tag CACHE', ()),
                ('ALTER TABLE "t" ALTER COLUMN tag DROP INDEX', ()),
            ],
        ),
        (
            {"dedup_keys": KEYS},
            {"columns": COLUMNS[::2], "row_count": 0},
            [
                ('ALTER TABLE "t" ADD COLUMN IF NOT EXISTS "tag" SYMBOL CAPACITY 512', ()),
                ('ALTER TABLE "t" DEDUP ENABLE UPSERT KEYS("timestamp", "tag")', ()),
            ],
        ),
        (
            {"dedup_keys": ("timestamp",)},
            {"dedup_keys": KEYS, "row_count": 0},
            [('ALTER TABLE "t" DEDUP ENABLE UPSERT KEYS("timestamp")', (Hazard.MERGES_ROWS,))],
        ),
    ],
    ids=[
        "nothing to do", "missing column", "widening", "varchar to symbol", "dedup over rows",
        "dedup over nothing", "dedup off", "shorter TTL", "longer TTL", "no TTL", "parameters",
        "symbol", "columns before keys", "fewer keys",
    ],
)  # fmt: skip
def test_steps(declared, live, expected):
    plan = make_plan([replace(TABLE, **declared)], {"t": replace(LIVE, **live)})
    assert [(step.sql, step.hazards) for step in plan.steps] == expected
    assert plan.empty is (not expected)
    assert not plan.refusals


def test_an_index_of_another_block_size_is_built_anew():
    table = Table(
        "t", (Column("tag", Symbol(512, index=True, index_capacity=64)), TABLE.columns[2])
    )
    found = with_columns(tag=Symbol(512, index=True, index_capacity=256))
    assert [s.sql for s in make_plan([table], {"t": replace(LIVE, columns=found)}).steps] == [
        'ALTER TABLE "t" ALTER COLUMN tag DROP INDEX',
        'ALTER TABLE "t" ALTER COLUMN tag ADD INDEX CAPACITY 64',
    ]


@pytest.mark.parametrize(
    ("live", "says"),
    [
        ({"partition_by": PartitionBy.DAY}, "partitioning DAY instead of MONTH .* rebuild"),
        ({"wal": False}, "WAL none instead of WAL"),
        ({"columns": with_columns(timestamp=TimestampNs())}, "TIMESTAMP_NS instead of TIMESTAMP"),
        ({"kind": Kind.VIEW}, "a view instead of a table"),
        ({"columns": with_columns(n=Double())}, "n from DOUBLE to LONG would lose values"),
        (
            {"columns": with_columns(n=Int()), "dedup_keys": ("timestamp", "n")},
            "n is a deduplication key",
        ),
        ({"columns": COLUMNS[:2], "has_parquet": True}, "has Parquet partitions"),
        ({"columns": COLUMNS[:2], "has_parquet": None}, "not asked for Parquet"),
        ({"remedy": "do this"}, "suspended; do this"),
    ],
    ids=[
        "day", "no WAL", "nanoseconds", "view", "narrowing", "key", "parquet", "unknown parquet",
        "suspended",
    ],
)  # fmt: skip
def test_a_refused_table_gets_a_reason_and_no_steps(live, says):
    other = TABLE.renamed("other")
    plan = make_plan([TABLE, other], {"t": replace(LIVE, **live)})
    assert {step.table for step in plan.steps} == {"other"}
    assert {refusal.table for refusal in plan.refusals} == {"t"}
    assert any(re.search(says, refusal.reason) for refusal in plan.refusals)


def test_extra_columns_are_left_unless_they_are_to_go():
    found = {"t": replace(LIVE, columns=(*COLUMNS, LiveColumn("more", Long())))}
    plan = make_plan([TABLE], found)
    assert plan.empty
    assert [d.column for d in plan.left] == ["more"]
    (step,) = make_plan([TABLE], found, drop_extra_columns=True).steps
    assert (step.sql, step.hazards) == ('ALTER TABLE "t" DROP COLUMN "more"', ("deletes data",))


def test_an_extra_column_that_is_a_key_is_not_dropped():
    columns = (*COLUMNS, LiveColumn("more", Long()))
    found = {"t": replace(LIVE, columns=columns, dedup_keys=("timestamp", "more"))}
    plan = make_plan([TABLE], found, drop_extra_columns=True)
    assert not plan.steps
    assert "more is a deduplication key" in plan.refusals[0].reason


def test_a_table_with_parquet_that_is_as_declared_is_no_matter():
    assert make_plan([TABLE], {"t": replace(LIVE, has_parquet=True)}).empty


def test_names_that_are_one_for_questdb_are_refused():
    with pytest.raises(DeclarationError):
        make_plan([TABLE, TABLE.renamed("T")], {})


@pytest.mark.parametrize("made", ["t__old", "t__NEW_trimmed"])
def test_nothing_is_created_in_the_place_of_a_table_that_is_being_rebuilt(made):
    plan = make_plan([TABLE], {made.lower(): replace(LIVE, name=made)})
    assert plan.steps == ()
    (refusal,) = plan.refusals
    assert re.fullmatch(rf"t: {made} has its rows: finish the rebuild", str(refusal), re.IGNORECASE)
    assert plan.fingerprint != fingerprint([TABLE], {})


def test_the_fingerprint_covers_declaration_and_structure_and_no_rows():
    before = fingerprint([TABLE], {"t": LIVE})
    other = TABLE.renamed("u")
    assert fingerprint([TABLE], {"t": replace(LIVE, row_count=9, max_timestamp="x")}) == before
    assert fingerprint([TABLE, other], {}) == fingerprint([other, TABLE], {})
    changed = [
        fingerprint([TABLE], {}),
        fingerprint([replace(TABLE, extensible=True)], {"t": LIVE}),
        fingerprint([TABLE], {"t": replace(LIVE, dedup_keys=KEYS)}),
        fingerprint([TABLE], {"t": replace(LIVE, columns=with_columns(tag=Symbol(1024)))}),
        fingerprint([TABLE], {"t": replace(LIVE, ttl_value=1, ttl_unit="MONTH")}),
    ]
    assert len({before, *changed}) == 1 + len(changed)


def test_a_plan_can_be_read():
    live = {"t": replace(LIVE, dedup_keys=KEYS)}
    plan = make_plan([TABLE, TABLE.renamed("u")], {**live, "u": replace(LIVE, wal=False)})
    assert str(plan).splitlines() == [
        'ALTER TABLE "t" DEDUP DISABLE; [drops deduplication]',
        "-- refused: u: WAL none instead of WAL cannot be altered; rebuild the table",
    ]
    assert str(make_plan([TABLE], {"t": LIVE})) == "-- nothing to do"
    assert plan.hazards == (Hazard.DROPS_DEDUPLICATION,)
