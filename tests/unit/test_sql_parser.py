"""The parser takes hostile text: it says what is wrong, shortly, and its process lives on."""

import subprocess
import sys

import pytest

from stage1_schema.ops import sql_parser, sql_tokens

DEEP = 100_000
LONG = {
    "casts": "SELECT 1" + "::jsonb" * DEEP,
    "sums": "SELECT 1" + "+1" * DEEP,
    "sums behind a quote": "SELECT E'\\'', 1" + "+1" * DEEP,
    "sums behind a comment": "SELECT /* ' */ 1" + "+1" * DEEP,
    "joins": "SELECT FROM a" + " CROSS JOIN a" * DEEP,
    "collations": "SELECT a" + " COLLATE b" * DEEP,
    "unions": "SELECT 1" + " UNION SELECT 1" * DEEP,
    "brackets": "SELECT " + "(" * DEEP + "1" + ")" * DEEP,
    "calls": "SELECT " + "f(" * DEEP + "1" + ")" * DEEP,
    "signs": "SELECT " + "- " * DEEP + "1",
    "values": "SELECT " + ",".join("1" * DEEP),
    "rows": "INSERT INTO t VALUES " + ",".join(["(1)"] * DEEP),
    "open string": "SELECT '" + "a" * (4 << 20),
    "bytes": "SELECT '" + "a" * (9 << 20) + "'",
    "levels": "SELECT " + "f(" * 2_000 + "1" + ")" * 2_000,
}
SURVIVED = """
import resource, sys
from stage1_schema.ops import sql_parser
resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, 4 << 20))
try:
    sql_parser.trees(sys.stdin.read())
except sql_parser.ParseError as error:
    print(len(str(error)), type(error).__name__)
"""


@pytest.mark.parametrize("kind", LONG)
def test_what_is_too_large_is_said_and_kills_nothing(kind):
    done = subprocess.run(
        [sys.executable, "-c", SURVIVED],
        input=LONG[kind],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    length, name = done.stdout.split()
    assert int(length) < 250
    assert (name == "ParseError") == (kind in ("open string", "brackets"))


def test_as_many_values_as_are_allowed_are_parsed():
    row = "(" + ", ".join(["'a'"] * 10) + ")"
    (insert,) = sql_parser.trees("INSERT INTO t VALUES " + ", ".join([row] * 1_900))
    assert len(insert["InsertStmt"]["selectStmt"]["SelectStmt"]["valuesLists"]) == 1_900


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT 1\0; DROP TABLE t", "NUL"),
        ("SELECT '\ud800'", "character"),
        ("SELECT 'ü' FROM FROM", '"FROM"'),
        ("SELECT 'ü", "unterminated"),
    ],
)
def test_text_that_is_no_sql(text, reason):
    with pytest.raises(sql_parser.ParseError, match=reason):
        sql_parser.trees(text)


def test_text_beyond_ascii_is_kept():
    (select,) = sql_parser.parse("SELECT 'ü𝄞' AS \"ñ\"")
    (target,) = select.targetList
    assert (target.name, target.val.sval.sval) == ("ñ", "ü𝄞")
    assert sql_parser.split("SELECT 'ü;'; SELECT 2") == ["SELECT 'ü;'", "SELECT 2"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", 0),
        ("SELECT 1, 2", 3),
        ("a 'b c' \"d e\" $$f g$$ $x$ h $x$", 5),
        ("a -- b c\nd /* e /* f */ g */ h", 5),
        ("E'\\' a b' c", 3),
        ("'a'' b' c", 2),
        ("a$1$b", 1),
    ],
)
def test_tokens_are_counted(text, found):
    assert sql_tokens.count(text.encode(), 100) == found
