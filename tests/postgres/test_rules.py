"""The normalising functions against a reference in Python."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from questdb_ddl import DeclarationError, slug
from tests.plugins.databases import ROLES, client, settings_for

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUICK = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@pytest.fixture(scope="module")
def rules(server_with_roles, template):
    """Call functions of the template: they write nothing."""
    with client(settings_for(server_with_roles, template), ROLES.owner) as connection:

        def call(expression, *parameters):
            found = connection.execute(f"SELECT {expression} AS result", parameters)
            return found.fetchone()["result"]

        yield call


@QUICK
@given(TEXT)
def test_a_slug_is_what_questdb_ddl_makes_of_it(rules, name):
    expected = "_".join(re.findall("[a-z0-9]+", re.sub("[A-Z]+", lambda m: m[0].lower(), name)))
    assert rules("stage1_slug(%s::text)", name) == expected
    try:
        assert slug(name) == expected
    except DeclarationError:
        assert expected == "" or len(expected) > 100


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("btc25_4h", "btc25_4h"),
        ("", ""),
        ("--", ""),
        ("BTC/USDT 4h", "btc_usdt_4h"),
        ("__a__b__", "a_b"),
        ('d\'or "x"', "d_or_x"),
        ("\u212aelvin \u0130I", "elvin_i"),  # lower() of another collation makes ASCII of these
        ("ß1", "1"),
    ],
)
def test_slugs(rules, name, expected):
    assert rules("stage1_slug(%s)", name) == expected


def milliseconds(number):
    if number <= 0:
        return None
    for limit, ms in ((1e11, number * 1000), (1e14, number), (1e17, number // 1000)):
        if number < limit:
            return ms
    return number // 1_000_000


@QUICK
@given(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1),
        st.integers(1, 19).map(lambda digits: 10**digits // 10 + digits),
        st.sampled_from([10**11 - 1, 10**11, 10**14 - 1, 10**14, 10**17 - 1, 10**17, 0, -1, 1]),
    )
)
def test_an_integer_time_is_told_by_its_magnitude(rules, number):
    assert rules("stage1_epoch_ms(%s::bigint)", number) == milliseconds(number)


@QUICK
@given(st.integers(1_000_000_000, 4_000_000_000))
def test_one_time_in_four_units_is_one_time(rules, seconds):
    for unit in (1, 1000, 1_000_000, 1_000_000_000):
        assert rules("stage1_epoch_ms(%s::bigint)", seconds * unit) == seconds * 1000
    expected = EPOCH + timedelta(seconds=seconds)
    assert rules("stage1_moment(to_timestamp(%s))", seconds) == expected
    if seconds >= 100_000_000:
        assert rules("stage1_moment(to_timestamp(%s))", seconds * 1000) == expected
        assert rules("stage1_moment_ms(to_timestamp(%s))", seconds * 1000) == seconds * 1000


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("infinity", None),
        ("-infinity", None),
        ("1962-01-02 00:00+00", datetime(1962, 1, 2, tzinfo=UTC)),
        ("5138-11-16 09:46:39+00", datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC)),
        ("5138-11-16 09:46:40+00", datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (None, None),
    ],
)
def test_moments(rules, stamp, expected):
    assert rules("stage1_moment(%s::timestamptz)", stamp) == expected


@pytest.mark.parametrize(
    ("granularity", "ms"),
    [
        ("4h", 14_400_000),
        ("15m", 900_000),
        ("1d", 86_400_000),
        ("1w", 604_800_000),
        ("30s", 30_000),
        ("1M", 2_592_000_000),
        ("1H", 3_600_000),
        ("5 min", 300_000),
        ("1D", 86_400_000),
        ("0h", None),
        ("tick", None),
        ("h", None),
        ("", None),
        ("999999999w", 604_799_999_395_200_000),
        ("999999999999w", None),  # beyond 64 bits
    ],
)
def test_a_granularity_in_ms(rules, granularity, ms):
    assert rules("stage1_interval_ms(%s)", granularity) == ms


@QUICK
@given(st.integers(-5, 10**12))
def test_an_interval_as_granularity_and_back(rules, ms):
    granularity = rules("stage1_granularity(%s::bigint)", ms)
    assert (granularity is None) == (ms <= 0)
    if granularity:
        assert rules("stage1_interval_ms(%s)", granularity) == ms or ms % 1000 or ms < 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def unwrapped(value):
    while isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=json.loads)
        except ValueError:
            break
    return value if isinstance(value, dict) else {} if value is None else {"value": value}


@QUICK
@given(JSON, st.integers(0, 2))
def test_metadata_is_unwrapped(rules, value, encoded):
    sent = value
    for _ in range(encoded):
        sent = json.dumps(sent)
    assert rules("stage1_json_object(%s::jsonb)", json.dumps(sent)) == unwrapped(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, {}),
        ("null", {}),
        ("{}", {}),
        ("[1, 2]", {"value": [1, 2]}),
        ("7", {"value": 7}),
        ('"plain"', {"value": "plain"}),
        (r'"{\"a\": 1}"', {"a": 1}),
        (json.dumps(json.dumps(json.dumps({"a": "b"}))), {"a": "b"}),
        (json.dumps('{"a": NaN}'), {"value": '{"a": NaN}'}),
        (json.dumps("{cut"), {"value": "{cut"}),
        (json.dumps('"\\u0000"'), {"value": '"\\u0000"'}),
    ],
)
def test_metadata_forms(rules, value, expected):
    assert rules("stage1_json_object(%s::jsonb)", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1.9", 1), ('"17"', 17), ('"x"', None), ("null", None), ("true", None), ("1e30", None)],
)
def test_integers_of_json(rules, value, expected):
    assert rules("stage1_json_integer(%s::jsonb)", value) == expected
