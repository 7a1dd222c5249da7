"""What a PostgreSQL statement locks, whom that keeps waiting, and what it endangers.

Read from PostgreSQL's own parser. Locks are those of the manual, chapter 13.3 and the page of each
command; PostgreSQL 14 to 18.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pglast import ast, enums, parse_sql


class Hazard(StrEnum):
    """What `stage1 upgrade --allow` wants to hear by name."""

    DELETES_DATA = "deletes data"
    REWRITES_TABLE = "rewrites table"
    BLOCKS_WRITES = "blocks writes"
    BLOCKS_READS = "blocks reads and writes"
    NOT_REVERSIBLE = "not reversible"
    UNKNOWN = "unknown statement"


@dataclass(frozen=True)
class Lock:
    """A lock mode, whom it keeps waiting, and whether only for an instant."""

    mode: str
    blocks: str
    instant: bool = True

    def __str__(self) -> str:
        if not self.blocks:
            return f"{self.mode} (blocks nobody)"
        how = "for an instant" if self.instant else "while it runs"
        return f"{self.mode} (blocks {self.blocks} {how})"


ROWS = Lock("ROW EXCLUSIVE", "")
ONLINE = Lock("SHARE UPDATE EXCLUSIVE", "", instant=False)
BUILD = Lock("SHARE", "writes", instant=False)
TRIGGER = Lock("SHARE ROW EXCLUSIVE", "writes")
REFERENCE = Lock("SHARE ROW EXCLUSIVE", "writes", instant=False)
CATALOGUE = Lock("ACCESS EXCLUSIVE", "reads and writes")
SCAN = Lock("ACCESS EXCLUSIVE", "reads and writes", instant=False)


@dataclass(frozen=True)
class Effect:
    """What one statement does: `creates` names a table that is new with it."""

    kind: str
    tables: tuple[str, ...] = ()
    lock: Lock | None = None
    hazards: tuple[Hazard, ...] = ()
    creates: str | None = None


_SILENT = (
    ast.TransactionStmt,
    ast.VariableSetStmt,
    ast.SelectStmt,
    ast.CreateFunctionStmt,
    ast.GrantStmt,
    ast.CommentStmt,
    ast.DoStmt,
    ast.AlterDefaultPrivilegesStmt,
    ast.CreateSchemaStmt,
    ast.CreateEnumStmt,
    ast.CreateSeqStmt,
    ast.GrantRoleStmt,
    ast.AlterOwnerStmt,
)
_DATA = {enums.ObjectType.OBJECT_TABLE, enums.ObjectType.OBJECT_MATVIEW}
_ON_TABLE = {enums.ObjectType.OBJECT_TRIGGER, enums.ObjectType.OBJECT_POLICY}

C = enums.AlterTableType
_CHANGES: tuple[tuple[set[enums.AlterTableType], tuple[Lock, tuple[Hazard, ...]]], ...] = (
    (
        {C.AT_AlterColumnType, C.AT_SetLogged, C.AT_SetUnLogged, C.AT_SetAccessMethod},
        (SCAN, (Hazard.REWRITES_TABLE, Hazard.BLOCKS_READS)),
    ),
    ({C.AT_SetNotNull, C.AT_AttachPartition}, (SCAN, (Hazard.BLOCKS_READS,))),
    ({C.AT_ValidateConstraint, C.AT_SetStatistics, C.AT_ClusterOn, C.AT_DropCluster}, (ONLINE, ())),
    (
        {C.AT_EnableTrig, C.AT_DisableTrig, C.AT_EnableTrigUser, C.AT_DisableTrigUser},
        (TRIGGER, ()),
    ),
)


def effect(statement: str) -> Effect:
    """Return what `statement` locks and endangers; one that is not known is a hazard by itself."""
    (parsed,) = parse_sql(statement)
    node: Any = parsed.stmt
    name = type(node).__name__
    if isinstance(node, _SILENT):
        return Effect(_WORDS.get(name, name))
    known = _KNOWN.get(name)
    return known(node) if known else Effect(name, hazards=(Hazard.UNKNOWN,))


def _create_table(node: Any) -> Effect:  # noqa: ANN401 - pglast's nodes
    return Effect("CREATE TABLE", (), None, creates=node.relation.relname)


def _index(node: Any) -> Effect:  # noqa: ANN401
    table = (node.relation.relname,)
    if node.concurrent:
        return Effect("CREATE INDEX CONCURRENTLY", table, ONLINE)
    return Effect("CREATE INDEX", table, BUILD, (Hazard.BLOCKS_WRITES,))


def _drop(node: Any) -> Effect:  # noqa: ANN401
    names = [
        [part.sval for part in each] if isinstance(each, tuple) else [] for each in node.objects
    ]
    kind = f"DROP {node.removeType.name.removeprefix('OBJECT_')}"
    if node.removeType in _DATA:
        return Effect(kind, tuple(n[-1] for n in names if n), CATALOGUE, (Hazard.DELETES_DATA,))
    if node.removeType in _ON_TABLE:
        return Effect(kind, tuple(n[-2] for n in names if len(n) > 1), CATALOGUE)
    if node.removeType == enums.ObjectType.OBJECT_INDEX:
        return Effect(
            kind + " CONCURRENTLY" * node.concurrent, (), ONLINE if node.concurrent else CATALOGUE
        )
    if node.removeType == enums.ObjectType.OBJECT_SCHEMA:
        return Effect(kind, (), CATALOGUE, (Hazard.DELETES_DATA,))
    return Effect(kind)


def _alter(node: Any) -> Effect:  # noqa: ANN401
    parts = [_command(command) for command in node.cmds]
    order = [ONLINE, TRIGGER, REFERENCE, CATALOGUE, SCAN]
    lock = max((lock for lock, _ in parts), key=order.index)
    hazards = tuple(dict.fromkeys(hazard for _, found in parts for hazard in found))
    return Effect("ALTER TABLE", (node.relation.relname,), lock, hazards)


def _command(command: Any) -> tuple[Lock, tuple[Hazard, ...]]:  # noqa: ANN401
    kind = command.subtype
    if kind == C.AT_AddConstraint:
        return _constraint(command.def_)
    if kind == C.AT_DropColumn:
        return CATALOGUE, (Hazard.DELETES_DATA,)
    if kind == C.AT_AddColumn:
        return _column(command.def_)
    return next((result for kinds, result in _CHANGES if kind in kinds), (CATALOGUE, ()))


def _column(column: Any) -> tuple[Lock, tuple[Hazard, ...]]:  # noqa: ANN401
    """Tell a column that is added in the catalogue from one that is written into every row."""
    for constraint in column.constraints or ():
        kind = constraint.contype
        if kind in (enums.ConstrType.CONSTR_GENERATED, enums.ConstrType.CONSTR_IDENTITY):
            return SCAN, (Hazard.REWRITES_TABLE, Hazard.BLOCKS_READS)
        # now() is one value for all rows; any other function may give each row its own.
        if kind == enums.ConstrType.CONSTR_DEFAULT and _calls(constraint.raw_expr) - {"now"}:
            return SCAN, (Hazard.REWRITES_TABLE, Hazard.BLOCKS_READS)
    return CATALOGUE, ()


def _constraint(constraint: Any) -> tuple[Lock, tuple[Hazard, ...]]:  # noqa: ANN401
    kinds = enums.ConstrType
    if constraint.contype == kinds.CONSTR_FOREIGN:
        if constraint.skip_validation:
            return TRIGGER, ()
        return REFERENCE, (Hazard.BLOCKS_WRITES,)
    if constraint.contype in (kinds.CONSTR_UNIQUE, kinds.CONSTR_PRIMARY) and constraint.indexname:
        return CATALOGUE, ()
    if constraint.contype == kinds.CONSTR_CHECK and constraint.skip_validation:
        return CATALOGUE, ()
    return SCAN, (Hazard.BLOCKS_READS,)


def _calls(expression: Any) -> set[str]:  # noqa: ANN401
    found: set[str] = set()
    waiting = [expression]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple):
            waiting += node
        elif isinstance(node, ast.FuncCall):
            found.add((node.funcname or ())[-1].sval)
        elif isinstance(node, ast.Node):
            waiting += [getattr(node, slot, None) for slot in node]
    return found


def _rows(kind: str, *hazards: Hazard) -> Any:  # noqa: ANN401
    return lambda node: Effect(kind, (node.relation.relname,), ROWS, hazards)


_WORDS = {
    "TransactionStmt": "transaction",
    "VariableSetStmt": "SET",
    "SelectStmt": "SELECT",
    "CreateFunctionStmt": "CREATE FUNCTION",
    "GrantStmt": "GRANT",
    "CommentStmt": "COMMENT",
    "DoStmt": "DO",
    "AlterDefaultPrivilegesStmt": "ALTER DEFAULT PRIVILEGES",
}
_KNOWN: dict[str, Any] = {
    "CreateStmt": _create_table,
    "IndexStmt": _index,
    "DropStmt": _drop,
    "AlterTableStmt": _alter,
    "CreateTrigStmt": lambda node: Effect("CREATE TRIGGER", (node.relation.relname,), TRIGGER),
    "ViewStmt": lambda node: Effect("CREATE VIEW", (node.view.relname,), CATALOGUE),
    "RenameStmt": lambda node: Effect(
        "RENAME", (node.relation.relname,) if node.relation else (), CATALOGUE
    ),
    "TruncateStmt": lambda node: Effect(
        "TRUNCATE", tuple(r.relname for r in node.relations), CATALOGUE, (Hazard.DELETES_DATA,)
    ),
    "LockStmt": lambda node: Effect(
        "LOCK", tuple(r.relname for r in node.relations), SCAN, (Hazard.BLOCKS_READS,)
    ),
    "UpdateStmt": _rows("UPDATE"),
    "InsertStmt": _rows("INSERT"),
    "DeleteStmt": _rows("DELETE", Hazard.DELETES_DATA),
}
