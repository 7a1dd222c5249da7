"""Names: QuestDB's rules without a server (tests/questdb tries them on one), and the slug."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from questdb_ddl.errors import DeclarationError
from questdb_ddl.names import check_column_name, check_table_name, is_system_table, quote, slug


@pytest.mark.parametrize(
    "name", ["ohlcv_btc_4h", "1", "select", "a-b", "a.b", "a b", "_x", "a" * 127, "CON", "a;b"]
)
def test_table_names_that_questdb_takes(name):
    assert check_table_name(name) == name
    assert quote(name) == f'"{name}"'


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("a" * 128, "has 128 characters"),
        ("größe", "not ASCII"),
        ("a/b", "'/'"),
        ('a"b', "contains '\"'"),
        ("a'b", 'contains "\'"'),
        ("a\nb", "contains '\\n'"),
        ("a\x7fb", "contains '\\x7f'"),
        (".a", "begins or ends"),
        ("a.", "begins or ends"),
        (" a", "begins or ends"),
        ("a..b", "two dots"),
        ("telemetry", "own tables"),
        ("Sys.x", "own tables"),
    ],
)
def test_table_names_that_it_does_not(name, says):
    with pytest.raises(DeclarationError, match=re.escape(says)):
        check_table_name(name)


@pytest.mark.parametrize("name", ["Date", "1", "a b", " a", "select", "a" * 127])
def test_column_names_that_questdb_takes(name):
    assert check_column_name(name) == name


@pytest.mark.parametrize("name", ["", "a.b", "a-b", "a/b", 'a"b', "a" * 128, "é"])
def test_column_names_that_it_does_not(name):
    with pytest.raises(DeclarationError):
        check_column_name(name)


@given(st.text())
def test_whatever_is_accepted_can_be_quoted(name):
    for check in (check_table_name, check_column_name):
        try:
            check(name)
        except DeclarationError as error:
            assert "\n" not in str(error)  # noqa: PT017 - an acceptable name raises nothing
        else:
            assert quote(name)[1:-1] == name


@pytest.mark.parametrize("name", ["", 'a"b', "a'b", "a\\b", "a\nb"])
def test_quote_has_no_escape_and_refuses(name):
    with pytest.raises(DeclarationError):
        quote(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("telemetry_config", True), ("SYS.anything", True), ("_query_trace", True), ("_x", False)],
)
def test_system_tables(name, expected):
    assert is_system_table(name) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("btc25_4h", "btc25_4h"),
        ("BTCUSDT", "btcusdt"),
        ("BTC/USDT  4h (2025)", "btc_usdt_4h_2025"),
        ("__a__b__", "a_b"),
        ("größe", "gr_e"),
        ("a\u212ab", "a_b"),
        ("7", "7"),
    ],
    ids=["nothing to do", "case", "runs", "underscores", "accents", "kelvin sign", "digit"],
)
def test_slug(text, expected):
    assert slug(text) == expected


@pytest.mark.parametrize("text", ["", "___", "日本", " / "])
def test_an_empty_slug_is_an_error(text):
    with pytest.raises(DeclarationError, match="no ASCII letter or digit"):
        slug(text)


@given(st.text())
def test_a_slug_is_a_name_and_its_own_slug(text):
    if re.search("[A-Za-z0-9]", text):
        result = slug(text)
        assert re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", result)
        assert slug(result) == result
        assert re.sub("_", "", result) == re.sub("[^A-Za-z0-9]", "", text).lower()
