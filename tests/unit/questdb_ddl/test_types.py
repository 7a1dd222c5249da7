"""Types: the DDL form and its inverse, limits, and what counts as widening."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from questdb_ddl import types
from questdb_ddl.errors import DeclarationError

SYMBOLS = st.builds(
    lambda capacity, cache, block: types.Symbol(capacity, cache, block is not None, block or None),
    st.none() | st.integers(2, 2**25),
    st.booleans(),
    st.none() | st.just(0) | st.integers(2, 2**20),
)
DECIMALS = st.integers(1, 76).flatmap(
    lambda precision: st.builds(types.Decimal, st.just(precision), st.integers(0, precision))
)
TYPES = st.one_of(
    st.sampled_from([simple() for simple in types.SIMPLE_TYPES]),
    SYMBOLS,
    DECIMALS,
    st.builds(types.Geohash, st.integers(1, 60)),
    st.builds(types.Array, st.integers(1, 32)),
)


@given(TYPES)
def test_parse_is_the_inverse_of_str(declared):
    assert types.parse_type(str(declared)) == declared


@given(TYPES)
def test_parsing_ignores_case_and_spacing(declared):
    assert types.parse_type(f"  {str(declared).lower().replace(' ', '   ')} ") == declared


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (types.Long(), "LONG"),
        (types.TimestampNs(), "TIMESTAMP_NS"),
        (types.IPv4(), "IPV4"),
        (types.Symbol(), "SYMBOL"),
        (types.Symbol(4096, index=True), "SYMBOL CAPACITY 4096 INDEX"),
        (
            types.Symbol(512, cache=False, index=True, index_capacity=64),
            "SYMBOL CAPACITY 512 NOCACHE INDEX CAPACITY 64",
        ),
        (types.Geohash(20), "GEOHASH(4c)"),
        (types.Geohash(21), "GEOHASH(21b)"),
        (types.Decimal(18, 4), "DECIMAL(18,4)"),
        (types.Array(2), "DOUBLE[][]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ddl_form(declared, text):
    assert str(declared) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "TEXT", "INTERVAL", "SYMBOL INDEX NOCACHE", "SYMBOL CAPACITY 1"),
        *("GEOHASH", "GEOHASH(13c)", "GEOHASH(61b)", "DECIMAL(77,1)", "DECIMAL(5,6)"),
        *("FLOAT[]", "DOUBLE[]; DROP TABLE x"),
    ],
)
def test_what_is_no_type_is_refused(text):
    with pytest.raises(DeclarationError):
        types.parse_type(text)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: types.Symbol(1), "between 2 and 33554432"),
        (lambda: types.Symbol(2**25 + 1), "between 2 and 33554432"),
        (lambda: types.Symbol(2**30 + 1, cache=False), "between 2 and 1073741824"),
        (lambda: types.Symbol(index_capacity=64), "needs index=True"),
        (lambda: types.Symbol(index=True, index_capacity=1), "between 2 and 8388608"),
        (lambda: types.Symbol(index=True, index_capacity=2**23 + 1), "not 8388609"),
        (lambda: types.Geohash(0), "1 to 60 bits"),
        (lambda: types.Array(33), "1 to 32 dimensions"),
    ],
    ids=["capacity", "cached", "uncached", "no index", "block", "large block", "geohash", "array"],
)
def test_wrong_parameters_fail_at_construction(make, says):
    with pytest.raises(DeclarationError, match=says):
        make()


@pytest.mark.parametrize(("asked", "given_"), [(2, 2), (3, 4), (256, 256), (300, 512)])
def test_capacities_are_rounded_as_the_server_does(asked, given_):
    assert types.effective_capacity(asked) == given_


@pytest.mark.parametrize(
    ("old", "new", "widens"),
    [
        ("INT", "INT", False),
        ("INT", "LONG", True),
        ("LONG", "INT", False),
        ("LONG", "DOUBLE", False),
        ("INT", "DOUBLE", True),
        ("INT", "FLOAT", False),
        ("FLOAT", "DOUBLE", True),
        ("DOUBLE", "FLOAT", False),
        ("VARCHAR", "SYMBOL CAPACITY 64", True),
        ("SYMBOL", "SYMBOL CAPACITY 64", False),
        ("SYMBOL", "VARCHAR", True),
        ("VARCHAR", "LONG", False),
        ("TIMESTAMP", "TIMESTAMP_NS", False),
        ("TIMESTAMP_NS", "TIMESTAMP", False),
        ("DECIMAL(10,2)", "DECIMAL(18,4)", True),
        ("DECIMAL(10,2)", "DECIMAL(10,2)", False),
        ("DECIMAL(10,2)", "DECIMAL(10,4)", False),
        ("DECIMAL(18,4)", "DECIMAL(19,2)", False),
        ("INT", "DECIMAL(12,2)", True),
        ("INT", "DECIMAL(11,2)", False),
        ("DOUBLE", "DECIMAL(76,2)", False),
    ],
)
def test_widening(old, new, widens):
    assert types.is_widening(types.parse_type(old), types.parse_type(new)) is widens


@given(TYPES, TYPES)
def test_widening_has_no_way_back_except_between_texts(old, new):
    text = (types.Symbol, types.String, types.Varchar)
    if types.is_widening(old, new) and types.is_widening(new, old):
        assert isinstance(old, text)
        assert isinstance(new, text)
