"""What a DO block runs, read from PL/pgSQL's own parser: nobody sees it in the block's effect."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from stage1_schema.ops.sql_parser import Node, ParseError, parse
from stage1_schema.ops.sql_parser import blocks as parse_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATEMENT, _VALUE = 0, 2  # an expression's parseMode; above them it is an assignment
_ASSIGNED = re.compile(r"[^:=]*:?=")
_RIGHTS = re.compile(r"\s*(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES)\b[^;]*$", re.IGNORECASE)
_DYNAMIC = ("dynexecute", "dynfors", "open", "return_query")


def statements(block: str) -> Iterator[str | None]:
    """Yield the statements of a DO block; None for what only its run would tell.

    A text that is put together is that, unless it can only grant or revoke. Which branch is taken
    is not asked.
    """
    try:
        parsed = parse_blocks(block)
    except ParseError:
        yield None
        return
    nodes = list(_nodes(parsed))
    if not any(name == "PLpgSQL_stmt_block" for name, _ in nodes):  # another language
        yield None
        return
    for name, node in nodes:
        if name == "PLpgSQL_expr":
            yield _as_statement(node)
        elif name.removeprefix("PLpgSQL_stmt_") in _DYNAMIC:
            text = node.get("query") or node.get("dynquery")
            if text and not _only_rights(text["PLpgSQL_expr"]["query"], nodes):
                yield None


def _as_statement(expression: dict[str, Any]) -> str:
    """Return what an expression runs: of a condition or an assignment that is a SELECT."""
    query: str = expression["query"]
    if expression.get("parseMode", _STATEMENT) == _STATEMENT:
        return query
    assigned = _ASSIGNED.match(query) if expression["parseMode"] > _VALUE else None
    return f"SELECT {query[assigned.end() :] if assigned else query}"


def _nodes(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        for each in value:
            yield from _nodes(each)
    elif isinstance(value, dict):
        for name, node in value.items():
            if isinstance(node, dict):
                yield name, node
            yield from _nodes(node)


def _only_rights(query: str, nodes: list[tuple[str, dict[str, Any]]]) -> bool:
    """Tell whether a text put together by `query` starts as a GRANT or REVOKE and goes no further.

    A bare variable is followed to the loops of the block, where no assignment can change it.
    """
    expressions = [_expression(f"SELECT {query}")]
    if expressions[0] is not None and expressions[0].tag == "ColumnRef":
        if any(name == "PLpgSQL_stmt_assign" for name, _ in nodes):
            return False
        loops = [node for name, node in nodes if name == "PLpgSQL_stmt_fors"]
        expressions = [
            _expression(loop["query"]["PLpgSQL_expr"]["query"])
            for loop in loops
            if query.strip() in json.dumps(loop["var"])
        ]
    starts = [_start(each) for each in expressions]
    return bool(starts) and all(start and _RIGHTS.match(start) for start in starts)


def _expression(select: str) -> Node | None:
    try:
        (parsed,) = parse(select)
    except ParseError:
        return None
    (first, *_) = parsed.targetList or (None,)
    return first and first.val


def _start(expression: Node | None) -> str | None:
    """Return the literal that a text begins with."""
    if expression is None:
        return None
    kind = expression.tag
    if kind == "A_Const" and expression.sval:
        return str(expression.sval.sval)
    if kind == "A_Expr" and expression.name[0].sval == "||":
        return _start(expression.lexpr)
    if kind == "FuncCall" and expression.funcname[-1].sval == "format":
        return _start(expression.args[0])
    return None
