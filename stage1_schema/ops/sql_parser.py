"""PostgreSQL's own parser: from a statement's text to its parse tree.

The parser is C code in this process and a tree as deep as its text is long would exhaust the
stack: what is too large is refused before. Messages are short whatever the text is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import postgast
from postgast import errors, native

from stage1_schema.ops import sql_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 8 << 20
"""Bytes of the longest statement that is parsed."""
MAX_TOKENS = 20_000
"""Tokens of the largest; with half of them as levels the parser needs some 2 MB of stack."""
_MESSAGE = 200

Tree = dict[str, Any]


class ParseError(Exception):
    """The text is no SQL that PostgreSQL's parser takes; the message says why."""


class TooLargeError(ParseError):
    """The text was not given to the parser because of its size."""


class Node:
    """A node of a parse tree with its fields as attributes; what is not set is None.

    `tag` is the node's name (`SelectStmt`), empty where its place says what it is. `def_` is the
    field `def`.
    """

    __slots__ = ("_data", "tag")

    def __init__(self, tag: str, data: Tree) -> None:
        self.tag = tag
        self._data = data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the field holds
        return _wrapped(self._data.get(name.removesuffix("_")))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and (self.tag, _located(self._data)) == (
            other.tag,
            _located(other._data),
        )

    __hash__ = None  # type: ignore[assignment]

    def children(self) -> list[Any]:
        """Return the fields' values in their order."""
        return [_wrapped(each) for each in self._data.values()]


def trees(sql: str) -> list[Tree]:
    """Return the statements of `sql` as plain data, each `{name: fields}`; raises ParseError."""
    result = native.lib.pg_query_parse(_checked(sql))
    try:
        errors.check_error(result)
        return [each["stmt"] for each in json.loads(result.parse_tree)["stmts"]]
    except postgast.PgQueryError as error:
        raise ParseError(error.message[:_MESSAGE]) from None
    except RecursionError:
        raise TooLargeError("it is nested too deep") from None
    except ValueError as error:  # a message or a tree that is no UTF-8 or no JSON
        raise ParseError(f"its tree cannot be read: {type(error).__name__}") from None
    finally:
        native.lib.pg_query_free_parse_result(result)


def parse(sql: str) -> list[Node]:
    """Return the statements of `sql`; raises ParseError."""
    return [_wrapped(each) for each in trees(sql)]


def blocks(sql: str) -> list[Any]:
    """Return the PL/pgSQL of a function or a DO block as plain data; raises ParseError."""
    _checked(sql)
    try:
        return list(postgast.parse_plpgsql(sql))
    except postgast.PgQueryError as error:
        raise ParseError(error.message[:_MESSAGE]) from None
    except RecursionError:
        raise TooLargeError("it is nested too deep") from None
    except ValueError as error:
        raise ParseError(f"its tree cannot be read: {type(error).__name__}") from None


def split(sql: str) -> list[str]:
    """Return the texts of the statements of a script that we trust; raises ParseError."""
    if "\0" in sql:
        raise ParseError("it has a NUL byte")
    try:
        return [each.strip() for each in postgast.split(sql)]
    except postgast.PgQueryError as error:
        raise ParseError(error.message[:_MESSAGE]) from None


def walk(root: Any) -> Iterator[Node]:  # noqa: ANN401 - a node, or a list of them
    """Yield every node inside a node or a list, in the order of its fields."""
    waiting = _inside(root)
    while waiting:
        value = waiting.pop()
        if isinstance(value, Node):
            yield value
        waiting += _inside(value)


def _inside(value: Any) -> list[Any]:  # noqa: ANN401
    if isinstance(value, Node):
        value = value.children()
    return value[::-1] if isinstance(value, list) else []


def _checked(sql: str) -> bytes:
    if "\0" in sql:
        raise ParseError("it has a NUL byte")  # C would take it for the end
    try:
        data = sql.encode()
    except UnicodeEncodeError:
        raise ParseError("it has a character that is none") from None
    if len(data) > MAX_BYTES:
        raise TooLargeError(f"it has {len(data):,} bytes; {MAX_BYTES:,} are the most")
    if len(data) > MAX_TOKENS and sql_tokens.count(data, MAX_TOKENS) > MAX_TOKENS:
        raise TooLargeError(f"it has more than {MAX_TOKENS:,} values, names and operators")
    return data


def _wrapped(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_wrapped(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, data),) = value.items()
        if tag[:1].isupper() and isinstance(data, dict):
            return Node(tag, data)
    return Node("", value)


def _located(value: Any) -> Any:  # noqa: ANN401
    """Return the same without the places in the text."""
    if isinstance(value, list):
        return [_located(each) for each in value]
    if isinstance(value, dict):
        return {name: _located(each) for name, each in value.items() if name != "location"}
    return value
