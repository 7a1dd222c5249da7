"""Which statements may run, and that the quick way accepts no other."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stage1_schema.ops.spool import grammar, mend
from stage1_schema.ops.spool.contract import FOLDS, TABLES, TRADES, Kind
from stage1_schema.ops.spool.shapes import Shapes
from stage1_schema.ops.spool.values import NULL, Held, Refused, Tally, field, moment
from tests.spool import generator

NOW = "2026-01-01T00:00:00+00:00"


def fields_of(text, tally=None):
    statement = grammar.parse(text)
    tally = tally or Tally()
    return [
        field(kind, constant, NOW, tally)
        for kind, constant in zip(statement.shape.kinds, statement.rows[0], strict=True)
    ]


def test_every_statement_of_the_contract_may_run():
    for statement in generator.usual(runs=3, folds=1, trades=2).statements:
        parsed = grammar.parse(statement)
        assert len(parsed.rows) == 1
        assert parsed.shape.table is not None or parsed.shape.target == "upsert_stage1_dataset"


INSERT = "INSERT INTO datasets (dataset_id, dataset_slug) VALUES ('x', 'y')"
REFUSED = [
    pytest.param(f"{INSERT} RETURNING 1", id="RETURNING"),
    pytest.param(INSERT.replace("datasets", "stage1_jobs"), id="another table"),
    pytest.param(INSERT.replace("datasets", "public.datasets"), id="a schema"),
    pytest.param(INSERT.replace("datasets", "datasets AS d"), id="an alias"),
    pytest.param(INSERT.replace("dataset_slug", "is_placeholder"), id="another column"),
    pytest.param(INSERT.replace("dataset_slug", "dataset_id"), id="a column twice"),
    pytest.param(INSERT.replace("'y'", "DEFAULT"), id="DEFAULT"),
    pytest.param(INSERT.replace("'y'", "'y' || 'z'"), id="an operator"),
    pytest.param(INSERT.replace("'y'", "version()"), id="another function"),
    pytest.param(INSERT.replace("'y'", "pg_catalog.now()"), id="a qualified function"),
    pytest.param(INSERT.replace("'y'", "now(1)"), id="an argument too many"),
    pytest.param(INSERT.replace("'y'", "(SELECT 'y')"), id="a subquery"),
    pytest.param(INSERT.replace("'y'", "$1"), id="a parameter"),
    pytest.param(INSERT.replace("'y'", "'y'::regclass"), id="another cast"),
    pytest.param(INSERT.replace("'y'", "ARRAY['y']"), id="an array"),
    pytest.param(INSERT.replace("'y'", "B'1'"), id="a bit string"),
    pytest.param(INSERT.replace(", 'y'", ""), id="a value too few"),
    pytest.param(f"{INSERT} ON CONFLICT (dataset_slug) DO NOTHING", id="another key"),
    pytest.param(f"{INSERT} ON CONFLICT ON CONSTRAINT c DO NOTHING", id="a constraint's name"),
    pytest.param(
        f"{INSERT} ON CONFLICT (dataset_id) DO UPDATE SET dataset_slug = 'z'", id="SET to a value"
    ),
    pytest.param(
        f"{INSERT} ON CONFLICT (dataset_id) DO UPDATE SET dataset_slug = EXCLUDED.dataset_id",
        id="SET to another column",
    ),
    pytest.param(
        f"{INSERT} ON CONFLICT (dataset_id) DO UPDATE SET symbol = EXCLUDED.symbol",
        id="SET of what is not inserted",
    ),
    pytest.param(
        f"{INSERT} ON CONFLICT (dataset_id) DO UPDATE SET dataset_slug = EXCLUDED.dataset_slug"
        " WHERE true",
        id="WHERE",
    ),
    pytest.param("SELECT upsert_stage1_dataset('x')", id="too few arguments"),
    pytest.param("SELECT upsert_stage1_dataset('x'), 1", id="a second column"),
    pytest.param("SELECT 1", id="no call"),
    pytest.param("TABLE datasets", id="TABLE"),
    pytest.param("VALUES (1)", id="VALUES"),
    pytest.param("EXPLAIN SELECT 1", id="EXPLAIN"),
    pytest.param("SET search_path TO x", id="SET"),
    pytest.param("", id="nothing"),
]


@pytest.mark.parametrize("statement", REFUSED)
def test_anything_else_is_refused_with_a_reason(statement):
    with pytest.raises(Refused, match=r"\w"):
        grammar.parse(statement)


@pytest.mark.parametrize("text", ["INSERT INTO", "nonsense", "'", "INSERT INTO datasets VALUES ("])
def test_what_is_no_sql_is_broken(text):
    with pytest.raises(grammar.Broken):
        grammar.parse(text)


JSON = [
    ('{"a":1}', '{"a":1}', 0),
    ('{"a":nan,"b":[-inf, Infinity,-nan(ind)]}', '{"a":null,"b":[null, null,null]}', 4),
    ('{"nan":"nan, inf","b":1.#QNAN}', '{"nan":"nan, inf","b":null}', 1),
    (r'{"a":"\"nan,","info":inf}', r'{"a":"\"nan,","info":null}', 1),
    ('{"a":nano}', '{"a":nano}', 0),
]


@pytest.mark.parametrize(("given_", "wanted", "count"), JSON)
def test_json_is_mended_outside_of_its_strings(given_, wanted, count):
    assert mend.json_text(given_) == (wanted, count)


BARE = [
    "nan", "-NaN", "+nan", "nan(ind)", "-nan(ind)", "nan(0x8000)", "nan()", "inf", "-Inf", "- inf",
    "infinity", "1.#IND", "-1.#IND00", "1.#QNAN", "+1.#inf", "-1.#SNAN0", "nan /* nan */",
]  # fmt: skip
OTHERS = [
    '"nan"', '-"inf"', "nan.nan", "nano", "1.#nano", "2.#IND", '1.#"inf"', "nan + 1", "nan(1, 2)",
    "nan(nan(1))", "f(nan)",
]  # fmt: skip


@pytest.mark.parametrize("written", [*BARE, *OTHERS])
def test_bare_numbers_that_are_none_are_mended(written):
    usual = [SLOTS.get(kind, "1") for kind in TRADES.columns.values()]
    usual[list(TRADES.columns).index("pnl")] = written
    if written in OTHERS:
        with pytest.raises(Refused):
            grammar.parse(statement_of(TRADES, usual))
        return
    statement = grammar.parse(statement_of(TRADES, usual))
    assert statement.mended == 1
    assert fields_of(statement_of(TRADES, usual)).count(NULL) == 1


QUOTED = {
    "a string": lambda text: "'" + text.replace("'", "''") + "'",
    "escapes": lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "dollars": lambda text: f"$quoted${text}$quoted$",
    "unicode": lambda text: "U&'" + text.replace("\\", "\\\\").replace("'", "''") + "'",
}
PIECES = [
    "nan",
    ", nan, ",
    "(inf)",
    "'",
    '"',
    "\\",
    "-nan(ind)",
    ",",
    " ",
    "--",
    "/*",
    "é",
    ":",
    "1.#IND",
]


@settings(max_examples=600)
@given(
    text=st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    how=st.sampled_from([*QUOTED]),
    comment=st.sampled_from(["", "/* ', nan, ' */", "-- (nan, '\n"]),
)
def test_text_in_quotes_is_never_changed(text, how, comment):
    """Whatever stands beside it: here numbers that are mended, and comments with quotes."""
    usual = [SLOTS.get(kind, "nan") for kind in TABLES["simulation_trade_buckets"].columns.values()]
    usual[-1] = comment + QUOTED[how](text)
    statement = grammar.parse(statement_of(TABLES["simulation_trade_buckets"], usual))
    assert statement.rows[0][-1].text == text
    assert statement.mended == 5


@settings(max_examples=600)
@given(st.recursive(st.text() | st.integers() | st.none() | st.floats(), st.lists))
def test_json_keeps_everything_but_numbers_that_are_none(value):
    text = json.dumps(value)
    mended, count = mend.json_text(text)
    found = iter([None] * count)
    assert json.loads(mended) == json.loads(text, parse_constant=lambda _: next(found))
    assert next(found, "none left") == "none left"


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        ("0", "1970-01-01 00:00:00.000000+00"),
        ("1700000000", "2023-11-14 22:13:20.000000+00"),
        ("-1.5", "1969-12-31 23:59:58.500000+00"),
        ("-62135596801", "0001-12-31 23:59:59.000000+00 BC"),
    ],
)
def test_moment(seconds, wanted):
    assert moment(seconds) == wanted


def test_moments_are_those_of_the_server(connection):
    for seconds in ("1700000000000", "1735689600123", "253402300800", "1.9999995", "-1e10", "0.1"):
        query = f"SELECT %s::timestamptz = to_timestamp({seconds})"
        assert list(connection.execute(query, (moment(seconds),)).fetchone().values()) == [True]


WORDS = [
    "'", "''", "NULL", "nan", "-", "--", "/*", "*/", "\\", "E'", "$$", "$a$", ";", ",", "(", ")",
    " ", "\n", "\t", "0", "007", "-0", "1.5", "-0.0", ".5", "5.", "1e5", "9" * 30, "0x1F", "1_000",
    "TO_TIMESTAMP(1)", "TO_TIMESTAMP('1')", "to_timestamp(1)", "TO_TIMESTAMP(-5)", "NOW()", "now()",
    "TRUE", "::jsonb", "::text", "'{}'::jsonb", "'{\"a\": nan}'::jsonb", "x", "DEFAULT", "\x00",
    "'00000000-0000-4000-8000-000000000000'", "ON CONFLICT", "é", "\x7f", "U&'", "B'1'", "'a''b'",
]  # fmt: skip
SLOTS = {
    Kind.UUID: "'00000000-0000-4000-8000-000000000000'",
    Kind.JSON: "'{}'::jsonb",
    Kind.TIME: "TO_TIMESTAMP(1)",
    Kind.TEXT: "'long'",
}


def statement_of(table, values):
    columns = list(table.columns)
    return generator.insert(table.name, columns, values, list(table.key), table.fixed)


@settings(max_examples=1500)
@given(
    table=st.sampled_from([FOLDS, TRADES, TABLES["walkforward_runs"]]),
    column=st.integers(0, 30),
    value=st.lists(st.sampled_from(WORDS), max_size=4).map("".join),
    around=st.sampled_from(["", " ", "\n", "\r\n", "/* */"]),
)
def test_the_quick_way_accepts_nothing_that_the_parser_does_not(table, column, value, around):
    usual = [SLOTS.get(kind, "1") for kind in table.columns.values()]
    learnt = statement_of(table, usual)
    quick, slow = Tally(), Tally()
    shapes = Shapes(NOW, quick)
    shapes.learn(learnt.encode(), grammar.parse(learnt).shape)
    assert shapes.match(learnt.encode(), 0, 0, 1) is not None
    values = list(usual)
    values[column % len(values)] = around + value + around
    text = statement_of(table, values)
    shapes.window(text.encode())
    fast = shapes.match(text.encode(), 0, 0, 1)
    if fast is None:
        return
    taken = text.encode()[: fast.place.length].decode()
    parsed = grammar.parse(taken)
    assert parsed.shape == fast.shape
    assert fields_of(taken, slow) == fast.fields
    assert slow.mended + parsed.mended == quick.mended


def test_the_quick_way_takes_the_usual_file():
    spool = generator.usual(runs=3, folds=3, trades=4)
    shapes = Shapes(NOW, Tally())
    quick = 0
    for statement in spool.statements:
        data = statement.encode()
        fast = shapes.match(data, 0, 0, 1)
        quick += fast is not None
        parsed = grammar.parse(statement)
        if fast is None:
            shapes.learn(data, parsed.shape)
        else:
            assert fast.fields == fields_of(statement)
    assert quick >= len(spool.statements) - 11


@settings(max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_refused_or_held_without_a_traceback(text):
    try:
        grammar.parse(re.sub("[\x00\ud800-\udfff]", "", text))
    except (Refused, Held) as verdict:
        assert str(verdict)  # noqa: PT017 - a verdict or a statement, both are right


def test_null_is_the_null_of_copy():
    assert fields_of(statement_of(TRADES, ["'x'", "'y'", *["NULL"] * 8]))[2:] == [NULL] * 8
