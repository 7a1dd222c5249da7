"""Which statements a spool may contain, by PostgreSQL's own parse tree.

Every node is checked for the keys that it may have: what is not known here is refused, so that
a construct nobody thought of cannot pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stage1_schema.ops.spool import mend
from stage1_schema.ops.spool.contract import TABLES, UPSERT_DATASET, UPSERT_DATASET_KINDS, Shape
from stage1_schema.ops.spool.values import Constant, Form, Held, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stage1_schema.ops.spool.contract import Table

Node = dict[str, Any]
ROWS = 1_000
"""Rows of the largest INSERT."""

_STATEMENTS = {
    "CopyStmt": "COPY",
    "DoStmt": "DO",
    "TruncateStmt": "TRUNCATE",
    "TransactionStmt": "a transaction command",
    "VariableSetStmt": "SET",
}
_OPEN = ("TRANS_STMT_BEGIN", "TRANS_STMT_START")
_CLOSE = ("TRANS_STMT_COMMIT", "TRANS_STMT_ROLLBACK", "TRANS_STMT_PREPARE")


@dataclass(frozen=True)
class Statement:
    """A statement that may run: what it writes, and its rows of constants."""

    shape: Shape
    rows: tuple[tuple[Constant, ...], ...]

    @property
    def mended(self) -> int:
        """How many of its values are a bare nan or infinity."""
        return sum(each.form is Form.NONFINITE for row in self.rows for each in row)


class Broken(Held):
    """The text is no SQL statement."""

    kind = "syntax"


class Transaction(Refused):
    """A transaction command; `opens` and `closes` say what it does to a transaction."""

    def __init__(self, node: Node) -> None:
        super().__init__(f"{_STATEMENTS['TransactionStmt']} is never run")
        self.opens = node["kind"] in _OPEN
        self.closes = node["kind"] in _CLOSE and not node.get("chain")


class TooLarge(Broken):
    """The statement has more bytes, values or rows than any of a spool, or is nested deeper."""

    kind = "too large"


def parse(text: str) -> Statement:
    """Return what a statement writes.

    Raises Refused with the reason when a spool may not contain it, Broken when it is no SQL.
    """
    statements = _tree(text)
    if len(statements) != 1:
        raise Refused("it is not one statement")
    kind, node = _single(statements[0])
    if kind == "InsertStmt":
        return _insert(node, text.encode())
    if kind == "SelectStmt":
        return _call(node, text.encode())
    if kind == "TransactionStmt":
        raise Transaction(node)
    raise Refused(f"{_STATEMENTS.get(kind, kind.removesuffix('Stmt').upper())} is never run")


def parses(text: str) -> bool:
    """Tell whether `text` is SQL at all, allowed or not; what is too large may be."""
    try:
        _tree(text)
    except TooLarge:
        return True
    except Broken:
        return False
    return True


def aim(text: str) -> tuple[str | None, str | None]:
    """Return which table a statement that cannot run writes to, and the keys of its rows.

    Each is None where it cannot be told. The keys are as in the quarantine, with `,` between them.
    """
    source = text.encode()
    try:
        ((kind, node),) = (_single(each) for each in _tree(text))
        if kind == "SelectStmt":
            arguments = _single(_single(node["targetList"][0])[1]["val"])[1]
            if _name(arguments["funcname"][-1]) != UPSERT_DATASET:
                return None, None
            return UPSERT_DATASET, _constant(arguments["args"][0], source).text.lower()
        table = TABLES[node["relation"]["relname"]]
    except (Held, Refused, LookupError, ValueError):
        return None, None
    try:
        columns = [_target(each, "")[0] for each in node["cols"]]
        at = [columns.index(column) for column in table.key]
        rows = [_single(row)[1]["items"] for row in _single(node["selectStmt"])[1]["valuesLists"]]
        keys = [key_of([_constant(items[n], source) for n in at]) for items in rows]
    except (Held, Refused, LookupError, ValueError):
        return table.name, None
    return table.name, ",".join(keys)


def key_of(values: Iterable[Constant]) -> str:
    """Return the key of a row as the quarantine has it: lower case, with `/` between columns."""
    return "/".join(value.text for value in values).lower()


def _tree(text: str) -> list[Node]:
    from stage1_schema.ops import sql_parser  # noqa: PLC0415 - 0.05 s, seldom needed

    try:
        return sql_parser.trees(text)
    except sql_parser.TooLargeError as error:
        raise TooLarge(str(error)) from None
    except sql_parser.ParseError as error:
        raise Broken(f"it cannot be parsed: {error}") from None


def _insert(node: Node, source: bytes) -> Statement:
    _only(node, "relation", "cols", "selectStmt", "onConflictClause", "override", what="INSERT")
    relation = node["relation"]
    _only(relation, "relname", "inh", "relpersistence", "location", what="the table")
    table = TABLES.get(relation["relname"])
    if table is None:
        raise Refused(f"{relation['relname']} is none of the tables of a spool")
    if node.get("override", "OVERRIDING_NOT_SET") != "OVERRIDING_NOT_SET":
        raise Refused("OVERRIDING")
    columns = tuple(_target(each, "the column list")[0] for each in node.get("cols", ()))
    unknown = [column for column in columns if column not in table.columns]
    if not columns or unknown or len(set(columns)) != len(columns):
        raise Refused(f"its columns are not those of {table.name}: {', '.join(unknown) or 'none'}")
    if not set(table.key) <= set(columns):
        raise Refused(f"{', '.join(table.key)} must be given")
    updates, plain = _conflict(node.get("onConflictClause"), table, columns)
    shape = Shape(table.name, columns, updates, plain=plain)
    return Statement(shape, tuple(_rows(node, len(columns), source)))


def _rows(node: Node, width: int, source: bytes) -> Iterable[tuple[Constant, ...]]:
    kind, select = _single(node.get("selectStmt", {"": {}}))
    if kind != "SelectStmt" or "valuesLists" not in select:
        raise Refused("only INSERT … VALUES is run")
    _only(select, "valuesLists", "limitOption", "op", what="VALUES")
    if len(select["valuesLists"]) > ROWS:
        raise TooLarge(f"it has {len(select['valuesLists']):,} rows; {ROWS:,} are the most")
    for each in select["valuesLists"]:
        items = _single(each)[1].get("items", [])
        if len(items) != width:
            raise Refused(f"{len(items)} values stand for {width} columns")
        yield tuple(_constant(item, source) for item in items)


def _conflict(
    node: Node | None, table: Table, columns: tuple[str, ...]
) -> tuple[tuple[str, ...], bool]:
    """Return the columns that ON CONFLICT updates, and whether the clause is missing."""
    if node is None:
        return (), True
    _only(node, "action", "infer", "targetList", "location", what="ON CONFLICT")
    infer = node.get("infer")
    if infer is not None:
        _only(infer, "indexElems", "location", what="ON CONFLICT")
        elements = [_single(each)[1] for each in infer.get("indexElems", ())]
        for element in elements:
            _only(element, "name", "ordering", "nulls_ordering", "location", what="ON CONFLICT")
        if sorted(element.get("name", "") for element in elements) != sorted(table.key):
            raise Refused(f"ON CONFLICT names something else than ({', '.join(table.key)})")
    if node["action"] == "ONCONFLICT_NOTHING":
        return (), False
    updates = [_excluded(each) for each in node.get("targetList", ())]
    if infer is None or not updates or len(set(updates)) != len(updates):
        raise Refused("ON CONFLICT DO UPDATE is not that of the contract")
    if not set(updates) <= set(columns) - set(table.key):
        raise Refused("ON CONFLICT updates a key, or a column that is not inserted")
    if fixed := [column for column in updates if column in table.fixed]:
        raise Refused(f"ON CONFLICT never updates {', '.join(fixed)} of {table.name}")
    return tuple(updates), False


def _excluded(target: Node) -> str:
    name, value = _target(target, "SET")
    fields = [_name(each) for each in (value or {}).get("ColumnRef", {}).get("fields", ())]
    if fields != ["excluded", name]:
        raise Refused(f"SET {name} is not EXCLUDED.{name}")
    return name


def _call(node: Node, source: bytes) -> Statement:
    _only(node, "targetList", "limitOption", "op", what="SELECT")
    targets = node.get("targetList", ())
    kind, call = _single(_single(targets[0])[1].get("val", {"": {}})) if targets else ("", {})
    if len(targets) != 1 or kind != "FuncCall":
        raise Refused(f"only SELECT {UPSERT_DATASET}(…) is run")
    _only(_single(targets[0])[1], "val", "location", what="SELECT")
    _only(call, "funcname", "args", "funcformat", "location", what="the call")
    name = ".".join(_name(each) for each in call["funcname"])
    if name != UPSERT_DATASET:
        raise Refused(f"the function {name} is never called")
    arguments = tuple(_constant(each, source) for each in call.get("args", ()))
    if len(arguments) != len(UPSERT_DATASET_KINDS):
        raise Refused(f"{UPSERT_DATASET} has {len(UPSERT_DATASET_KINDS)} arguments")
    return Statement(Shape(UPSERT_DATASET), (arguments,))


def _constant(node: Node, source: bytes) -> Constant:
    kind, value = _single(node)
    if kind == "A_Const":
        return _literal(value)
    if kind == "TypeCast":
        return _cast(value, source)
    if mend.is_bare(node, source):
        return Constant(Form.NONFINITE)
    if kind == "FuncCall":
        return _function(value, source)
    raise Refused(f"a value is no constant ({kind})")


def _literal(value: Node) -> Constant:
    if value.get("isnull"):
        return Constant(Form.NULL)
    if "ival" in value:
        return Constant(Form.NUMBER, str(value["ival"].get("ival", 0)))
    if "fval" in value:
        return Constant(Form.NUMBER, value["fval"]["fval"])
    if "boolval" in value:
        return Constant(Form.BOOLEAN, "true" if value["boolval"].get("boolval") else "false")
    if "sval" in value:
        return Constant(Form.STRING, value["sval"].get("sval", ""))
    raise Refused("a value is a bit string")


def _cast(value: Node, source: bytes) -> Constant:
    _only(value, "arg", "typeName", "location", what="a cast")
    _only(value["typeName"], "names", "typemod", "location", what="a cast")
    if [_name(each) for each in value["typeName"]["names"]] != ["jsonb"]:
        raise Refused("a cast is not one to jsonb")
    inner = _constant(value["arg"], source)
    if inner.form is Form.NULL:
        return inner
    if inner.form is not Form.STRING:
        raise Refused("a cast to jsonb is not one of a string")
    return Constant(Form.JSON, inner.text)


def _function(value: Node, source: bytes) -> Constant:
    _only(value, "funcname", "args", "funcformat", "location", what="a call")
    name = ".".join(_name(each) for each in value["funcname"])
    arguments = value.get("args", ())
    if name == "now" and not arguments:
        return Constant(Form.NOW)
    if name != "to_timestamp" or len(arguments) != 1:
        raise Refused(f"the function {name} is never called")
    inner = _constant(arguments[0], source)
    if inner.form is Form.NULL:
        return inner
    if inner.form is Form.NONFINITE:
        raise Held("a NaN or an infinity stands for a time")
    if inner.form is not Form.NUMBER:
        raise Refused("TO_TIMESTAMP is not of a number")
    return Constant(Form.TIME, inner.text)


def _target(node: Node, what: str) -> tuple[str, Node | None]:
    kind, target = _single(node)
    if kind != "ResTarget":
        raise Refused(what)
    _only(target, "name", "val", "location", what=what)
    return target.get("name", ""), target.get("val")


def _name(node: Node) -> str:
    return str(node.get("String", {}).get("sval", ""))


def _single(node: Node) -> tuple[str, Node]:
    ((kind, value),) = node.items()
    return kind, value


def _only(node: Node, *keys: str, what: str) -> None:
    if extra := [key for key in node if key not in keys]:
        raise Refused(f"{what} has something that a spool's has not ({', '.join(extra)})")
