"""A dataset's redundant forms, its slug, and bad input: what comes out of what goes in."""

import json
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.postgres import clients, rows
from tests.postgres.clients import At

OTHER = "aaaabbbb-0000-4000-8000-000000000009"
S = 1_735_689_600


@pytest.fixture
def put(app):
    """Insert or update columns of the one dataset as they are given; return the row."""

    def run(dataset_id=rows.DATASET, **columns):
        row = {"dataset_id": dataset_id} | columns
        updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns)
        app.execute(
            f"INSERT INTO datasets ({', '.join(row)}) VALUES"
            f" ({', '.join(clients.quoted(value) for value in row.values())})"
            f" ON CONFLICT (dataset_id) DO UPDATE SET {updates}"
        )
        return stored(app, dataset_id)

    return run


def stored(app, dataset_id=rows.DATASET):
    query = "SELECT * FROM datasets WHERE dataset_id = %s"
    return app.execute(query, [dataset_id]).fetchone()


INSERTS = {
    "nothing": ({}, {"symbol": None, "bar_interval_ms": None, "first_ohlcv_ts": None}),
    "integer ms": ({"first_ohlcv_ts": S * 1000}, {"first_ohlcv_ts": S * 1000}),
    "integer s": ({"first_ohlcv_ts": S}, {"first_ohlcv_ts": S * 1000}),
    "integer us": ({"first_ohlcv_ts": S * 10**6}, {"first_ohlcv_ts": S * 1000}),
    "integer ns": ({"first_indicator_ts": S * 10**9}, {"first_indicator_ts": S * 1000}),
    "integer 0": ({"first_ohlcv_ts": 0}, {"first_ohlcv_ts": None, "ohlcv_first_ts": None}),
    "integer -1": ({"first_ohlcv_ts": -1}, {"first_ohlcv_ts": None, "ohlcv_first_ts": None}),
    "year 57,000": ({"ohlcv_first_ts": At(S * 1000)}, {"first_ohlcv_ts": S * 1000}),
    "time 0": ({"ohlcv_first_ts": At(0)}, {"first_ohlcv_ts": None, "ohlcv_first_ts": None}),
    "manifest in s": (
        {"metadata": {"first_ohlcv_timestamp_ms": S}},
        {"first_ohlcv_ts": S * 1000},
    ),
    "columns win over the manifest": (
        {"symbol": "A", "metadata": {"symbol": "B", "source": "s"}},
        {"symbol": "A", "source": "s"},
    ),
    "manifest fills": (
        {"metadata": {"granularity": "4h", "lookback_rows": "20", "ohlcv_rows": 5}},
        {"granularity": "4h", "bar_interval_ms": 14_400_000, "lookback_rows": 20}
        | {"ohlcv_row_count": 5},
    ),
    "interval 0 with granularity": (
        {"granularity": "15m", "bar_interval_ms": 0},
        {"bar_interval_ms": 900_000},
    ),
    "interval alone": ({"bar_interval_ms": 3_600_000}, {"granularity": "1h"}),
    "interval and granularity disagree": (
        {"granularity": "4h", "bar_interval_ms": 60_000},
        {"granularity": "4h", "bar_interval_ms": 60_000},
    ),
    "granularity of its own": (
        {"granularity": "tick"},
        {"granularity": "tick", "bar_interval_ms": None},
    ),
    "empty texts": (
        {"symbol": "", "ohlcv_measurement": "", "metadata": {"symbol": "B"}},
        {"symbol": "B", "ohlcv_measurement": None},
    ),
    "garbage in the manifest": (
        {"metadata": {"bar_interval_ms": "x", "ohlcv_rows": None, "symbol": None}},
        {"bar_interval_ms": None, "ohlcv_row_count": None, "symbol": None},
    ),
}


@pytest.mark.parametrize(("sent", "expected"), INSERTS.values(), ids=INSERTS)
def test_insert(put, sent, expected):
    row = put(dataset_slug="x", **sent)
    assert {name: row[name] for name in expected} == expected
    agree(row)


def agree(row):
    """The manifest says what the columns say, and both forms of time are one."""
    manifest = row["metadata"]
    for key, column in {
        "dataset_slug": "dataset_slug",
        "symbol": "symbol",
        "granularity": "granularity",
        "source": "source",
        "ohlcv_measurement": "ohlcv_measurement",
        "indicator_measurement": "indicator_measurement",
        "bar_interval_ms": "bar_interval_ms",
        "lookback_rows": "lookback_rows",
        "ohlcv_rows": "ohlcv_row_count",
        "indicator_rows": "indicator_row_count",
        "first_ohlcv_timestamp_ms": "first_ohlcv_ts",
        "first_indicator_timestamp_ms": "first_indicator_ts",
    }.items():
        if row[column] is not None:
            assert manifest[key] == row[column]
    for integer, time in (
        (row["first_ohlcv_ts"], row["ohlcv_first_ts"]),
        (row["first_indicator_ts"], row["indicator_first_ts"]),
        (manifest.get("last_ohlcv_timestamp_ms"), row["ohlcv_last_ts"]),
        (manifest.get("last_indicator_timestamp_ms"), row["indicator_last_ts"]),
    ):
        assert (time and round(time.timestamp() * 1000)) == integer
    assert manifest["dataset_id"] == str(row["dataset_id"])


BASE = {
    "dataset_slug": "x",
    "symbol": "A",
    "granularity": "4h",
    "source": "s",
    "indicator_measurement": "x_ind",
    "first_ohlcv_ts": S * 1000,
    "metadata": {"kept": 1, "nested": {"a": 1}, "symbol": "A"},
}
LATER = S + 86_400
UPDATES = {
    "nothing": ({"symbol": "A"}, {"symbol": "A"}),
    "NULL erases nothing": (
        dict.fromkeys(("symbol", "granularity", "source", "indicator_measurement"))
        | {"first_ohlcv_ts": None},
        {"symbol": "A", "granularity": "4h", "source": "s", "indicator_measurement": "x_ind"}
        | {"first_ohlcv_ts": S * 1000},
    ),
    "0 erases nothing": (
        {"first_ohlcv_ts": 0, "bar_interval_ms": 0},
        {"first_ohlcv_ts": S * 1000, "bar_interval_ms": 14_400_000},
    ),
    "the time changed": ({"ohlcv_first_ts": At(LATER)}, {"first_ohlcv_ts": LATER * 1000}),
    "the integer changed": ({"first_ohlcv_ts": LATER * 1000}, {"first_ohlcv_ts": LATER * 1000}),
    "the manifest changed": (
        {"metadata": {"first_ohlcv_timestamp_ms": LATER * 1000, "symbol": "M"}},
        {"first_ohlcv_ts": LATER * 1000, "symbol": "M"},
    ),
    "column before manifest": (
        {"symbol": "C", "metadata": {"symbol": "M", "source": "t"}},
        {"symbol": "C", "source": "t"},
    ),
    "the same time in another unit": ({"first_ohlcv_ts": S}, {"first_ohlcv_ts": S * 1000}),
    "granularity": (
        {"granularity": "1d"},
        {"granularity": "1d", "bar_interval_ms": 86_400_000},
    ),
    "interval": ({"bar_interval_ms": 60_000}, {"granularity": "1m", "bar_interval_ms": 60_000}),
    "metadata without symbol": ({"metadata": {"new": 2}}, {"symbol": "A"}),
    "slug": ({"dataset_slug": "Y-2"}, {"dataset_slug": "y_2"}),
    "slug in the manifest": ({"metadata": {"dataset_slug": "Z 3"}}, {"dataset_slug": "z_3"}),
}


@pytest.mark.parametrize(("sent", "expected"), UPDATES.values(), ids=UPDATES)
def test_update(put, sent, expected):
    put(**BASE)
    row = put(**sent)
    assert {name: row[name] for name in expected} == expected
    assert row["metadata"]["kept"] == 1
    agree(row)


def test_metadata_is_merged_and_unwrapped(put, app):
    put(**BASE)
    app.execute(
        "UPDATE datasets SET metadata = %s::jsonb",
        [json.dumps(json.dumps({"kept": 2, "nested": {"b": 1}}))],
    )
    metadata = stored(app)["metadata"]
    assert (metadata["kept"], metadata["nested"], metadata["symbol"]) == (2, {"b": 1}, "A")
    for other in ("[1]", '"text"'):
        app.execute("UPDATE datasets SET metadata = %s::jsonb", [other])
        assert stored(app)["metadata"]["value"] == json.loads(other)
    app.execute("UPDATE datasets SET metadata = NULL")
    assert stored(app)["metadata"]["kept"] == 2


KEYS = st.sampled_from(["a", "b", "symbol", "source", "granularity", "lookback_rows"])
DOCUMENT = st.dictionaries(KEYS, st.none() | st.integers(0, 9) | st.sampled_from(["", "1d", "t"]))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(DOCUMENT, min_size=1, max_size=4))
def test_metadata_merges_as_dicts_do(app, put, documents):
    app.execute("UPDATE datasets SET is_placeholder = true")  # start afresh: see placeholders
    expected = {}
    for document in documents:
        row = put(dataset_slug="x", metadata=document)
        expected |= document
    for key, value in expected.items():
        # Of the manifest's own keys, what is unknown or unusable gives way to what is known.
        if key in ("a", "b") or (key != "lookback_rows" and value in ("1d", "t")):
            assert row["metadata"][key] == value
    agree(row)


A = rows.A_DATASET
SLUGS = {
    "canonical": ({"questdb_tag": "indicators_btc25_4h"}, "btc25_4h"),
    "suffix": ({"questdb_tag": "BTC25-4h_ind"}, "btc25_4h"),
    "bare": ({"questdb_tag": "btc25_4h"}, "btc25_4h"),
    "free text": ({"questdb_tag": "My tag (1)"}, "my_tag_1"),
    "no tag": ({"questdb_tag": None}, "btcusdt_4h"),
    "empty tag": ({"questdb_tag": ""}, "btcusdt_4h"),
    "a tag of signs": ({"questdb_tag": "--"}, "btcusdt_4h"),
    "nothing": (
        {"questdb_tag": "", "symbol": None, "granularity": ""},
        rows.DATASET.replace("-", "_"),
    ),
    "too long": ({"questdb_tag": "x" * 300}, "x" * 107 + "_0f0e0d0c"),
}


@pytest.mark.parametrize(("sent", "slug"), SLUGS.values(), ids=SLUGS)
def test_a_slug_is_made_where_none_was_sent(app, sent, slug):
    app.execute(clients.a_dataset(A | sent))
    assert stored(app)["dataset_slug"] == slug


def test_a_made_slug_that_is_taken_gets_the_id(app):
    app.execute(clients.a_dataset(A))
    app.execute(clients.a_dataset(A | {"dataset_id": OTHER}))
    assert stored(app, OTHER)["dataset_slug"] == "btc25_4h_aaaabbbb"


def test_a_slug_that_was_sent_and_is_taken_is_refused_whole(app, put):
    put(dataset_slug="btc", symbol="A")
    for slug in ("btc", "BTC!"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            put(dataset_id=OTHER, dataset_slug=slug)
    assert stored(app, OTHER) is None
    put(dataset_id=OTHER, dataset_slug="eth")
    with pytest.raises(psycopg.errors.UniqueViolation):
        put(dataset_id=OTHER, dataset_slug="btc", symbol="B")
    assert stored(app, OTHER)["symbol"] is None


@pytest.mark.parametrize("slug", ["", "  ", "--", "ß"])
def test_an_empty_slug_is_refused(app, put, slug):
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"slug .* is empty") as caught:
        put(dataset_slug=slug)
    assert "ASCII letters and digits" in caught.value.diag.message_hint
    put(dataset_slug="x")
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        put(dataset_slug=slug)
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        app.execute(clients.b_call(rows.B_DATASET | {"dataset_slug": slug}))


def test_a_long_slug_is_refused(put):
    assert put(dataset_slug="x" * 116)["dataset_slug"] == "x" * 116
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="has 117 characters"):
        put(dataset_slug="x" * 117)


@pytest.mark.parametrize(
    ("slug", "expected"), [("d'or", "d_or"), ('"q"', "q"), ("a;DROP TABLE x--", "a_drop_table_x")]
)
def test_a_slug_with_quotes(put, slug, expected):
    assert put(dataset_slug=slug)["dataset_slug"] == expected


def test_generation_a_keeps_the_slug_of_c_and_c_replaces_that_of_a(app):
    app.execute(clients.a_dataset(A | {"questdb_tag": "My tag"}))
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute(clients.a_dataset(A | {"questdb_tag": "Another tag"}))
    row = stored(app)
    assert (row["dataset_slug"], row["indicator_measurement"]) == ("btc25_4h", "Another tag")


@pytest.mark.parametrize("slug", ["Old Name", "x" * 200, ""])
def test_a_slug_that_stood_before_the_rule_is_left_alone(app, root, slug):
    root.execute("SET session_replication_role = replica")
    root.execute(
        "INSERT INTO datasets (dataset_id, dataset_slug) VALUES (%s, %s)", [rows.DATASET, slug]
    )
    app.execute(clients.a_dataset(A))
    assert (stored(app)["dataset_slug"], stored(app)["symbol"]) == (slug, "BTCUSDT")
    app.execute(clients.c_dataset(rows.C_DATASET))
    assert stored(app)["dataset_slug"] == "btc25_4h"


JSON_REFUSED = ["nan", "inf", "-nan(ind)", "NaN", "-Infinity", "{", "{'a': 1}", ""]


@pytest.mark.parametrize("value", JSON_REFUSED)
def test_what_is_not_json_is_refused_whole(app, put, value):
    before = put(**BASE)
    text = f'{{"a": {value}}}' if value not in ("", "{") else value
    with pytest.raises(psycopg.errors.DataError):
        app.execute(
            f"UPDATE datasets SET symbol = 'lost', metadata = {clients.quoted(text)}::jsonb"
        )
    assert stored(app) == before


@pytest.mark.parametrize("value", ["nan", "inf", "-nan(ind)"])
def test_a_bare_nan_is_refused_whole(app, value):
    app.execute(clients.c_dataset(rows.C_DATASET))
    app.execute(clients.c_run(rows.RUN_ROW))
    statement = clients.a_fold(rows.FOLD_ROW | {"best_score": 0.5})
    with pytest.raises(psycopg.errors.ProgrammingError):
        app.execute(statement.replace("0.500000", value))
    assert app.execute("SELECT * FROM walkforward_folds").fetchall() == []


def test_microseconds_through_to_timestamp_are_refused_whole(app):
    with pytest.raises(psycopg.errors.DatetimeFieldOverflow):
        app.execute(clients.a_dataset(A | {"first_bar_ts": At(S * 10**6)}))
    assert stored(app) is None


def test_the_view_takes_do_nothing_and_update_and_delete_stays_forbidden(app):
    app.execute(clients.a_dataset_or_nothing(A))
    app.execute(clients.a_dataset_or_nothing(A | {"symbol": "X"}))
    assert stored(app)["symbol"] == "BTCUSDT"
    app.execute("UPDATE indicator_datasets SET questdb_measurement = 'm' WHERE symbol = 'BTCUSDT'")
    assert stored(app)["indicator_measurement"] == "m"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("DELETE FROM indicator_datasets")
    found = app.execute("SELECT dataset_id FROM indicator_datasets ORDER BY created_at DESC")
    assert found.fetchall() == [{"dataset_id": UUID(rows.DATASET)}]
