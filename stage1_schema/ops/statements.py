"""What a PostgreSQL statement locks, whom that keeps waiting, and what it endangers.

Read from PostgreSQL's own parser. Locks are those of the manual, chapter 13.3 and the page of each
command; PostgreSQL 14 to 18.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stage1_schema.ops import blocks, maintenance
from stage1_schema.ops.effects import (
    BUILD,
    CATALOGUE,
    CHANGED_ROWS,
    ONLINE,
    REFERENCE,
    ROWS,
    SCAN,
    TRIGGER,
    Check,
    Effect,
    Hazard,
    strongest,
)
from stage1_schema.ops.sql_parser import Node, ParseError, parse, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stage1_schema.ops.effects import Lock

_SILENT = {
    "TransactionStmt",
    "VariableSetStmt",
    "GrantStmt",
    "CommentStmt",
    "AlterDefaultPrivilegesStmt",
    "CreateSchemaStmt",
    "CreateEnumStmt",
    "CreateSeqStmt",
    "AlterSeqStmt",
    "GrantRoleStmt",
    "AlterOwnerStmt",
}
_WRITES = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}  # as a part: in a WITH
_DATA = {"OBJECT_TABLE", "OBJECT_MATVIEW"}
_RELATIONS = {*_DATA, "OBJECT_VIEW"}
_SAID = {*_RELATIONS, "OBJECT_COLUMN"}
_SERIALS = {"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"}
_ON_TABLE = {"OBJECT_TRIGGER", "OBJECT_POLICY"}

_CHANGES: tuple[tuple[set[str], tuple[Lock, tuple[Hazard, ...]]], ...] = (
    (
        {
            "AT_SetLogged",
            "AT_SetUnLogged",
            "AT_SetAccessMethod",
            "AT_SetTableSpace",
            "AT_SetExpression",
        },
        (SCAN, (Hazard.REWRITES_TABLE, Hazard.BLOCKS_READS)),
    ),
    (
        {"AT_AlterColumnType"},
        (SCAN, (Hazard.REWRITES_TABLE, Hazard.BLOCKS_READS, Hazard.CHANGES_VALUES)),
    ),
    ({"AT_SetNotNull", "AT_AttachPartition"}, (SCAN, (Hazard.BLOCKS_READS,))),
    ({"AT_ValidateConstraint", "AT_SetStatistics", "AT_ClusterOn", "AT_DropCluster"}, (ONLINE, ())),
    (
        {"AT_EnableTrig", "AT_DisableTrig", "AT_EnableTrigUser", "AT_DisableTrigUser"},
        (TRIGGER, ()),
    ),
)
_FILLED = {"CONSTR_NOTNULL", "CONSTR_PRIMARY"}
_DROPPED = {"AT_DropConstraint": "CONSTRAINT", "AT_DropColumn": "COLUMN"}


def effect(statement: str) -> Effect:
    """Return what `statement` locks and endangers; one that is not known is a hazard by itself."""
    (node,) = parse(statement)
    if _is(node, "DoStmt"):
        parts = [_inside(each) for each in blocks.statements(statement)]
        return Effect("DO").with_parts(parts)
    return _of(node).with_parts([_of(each) for each in walk(node) if each.tag in _WRITES])


def _inside(statement: str | None) -> Effect:
    if statement is None:
        return Effect("EXECUTE", hazards=(Hazard.UNKNOWN,))
    try:
        return effect(statement)
    except (ParseError, ValueError):  # PL/pgSQL's own variables can make a text no statement
        return Effect("EXECUTE", hazards=(Hazard.UNKNOWN,))


def _of(node: Any) -> Effect:  # noqa: ANN401 - nodes of the parser
    name = node.tag
    if name in _SILENT:
        return Effect(_WORDS.get(name, name))
    known = _KNOWN.get(name)
    return known(node) if known else Effect(name, hazards=(Hazard.UNKNOWN,))


def _is(node: Any, kind: str) -> bool:  # noqa: ANN401
    return isinstance(node, Node) and node.tag == kind


def _create_table(node: Any) -> Effect:  # noqa: ANN401
    return _made("CREATE TABLE", node.relation, node)


def _create_table_as(node: Any) -> Effect:  # noqa: ANN401
    view = node.objtype == "OBJECT_MATVIEW"
    kind = "CREATE MATERIALIZED VIEW" if view else "CREATE TABLE AS"
    return replace(_made(kind, node.into.rel, node), calls=tuple(_calls(node)))


def _made(kind: str, table: Any, node: Any) -> Effect:  # noqa: ANN401
    # A temporary one, or one of another schema, does not replace the one that stands.
    beside = table.relpersistence == "t" or table.schemaname not in (None, "public")
    return Effect(
        kind,
        creates=table.relname,
        may_stand=beside or bool(node.if_not_exists),
        references=_referenced(node),
    )


def _referenced(node: Any) -> tuple[str, ...]:  # noqa: ANN401
    keys: list[Any] = [each for each in walk(node) if _is(each, "Constraint")]
    return tuple(dict.fromkeys(each.pktable.relname for each in keys if each.pktable))


def _index(node: Any) -> Effect:  # noqa: ANN401
    table = (node.relation.relname,)
    if node.concurrent:
        return Effect("CREATE INDEX CONCURRENTLY", table, ONLINE)
    return Effect("CREATE INDEX", table, BUILD, (Hazard.BLOCKS_WRITES,))


def _drop(node: Any) -> Effect:  # noqa: ANN401
    names = [
        [part.sval for part in each.items] if _is(each, "List") else [] for each in node.objects
    ]
    last = tuple(each[-1] for each in names if each)
    kind = f"DROP {node.removeType.removeprefix('OBJECT_')}"
    # What else goes with it is not in the statement: columns of a type, tables of a schema.
    cascades = node.behavior == "DROP_CASCADE"
    hazards = (Hazard.DELETES_DATA,) * (cascades or node.removeType in _DATA)
    if node.removeType in _RELATIONS:
        drops = tuple((name, "TABLE", "") for name in last)
        return Effect(kind, last, CATALOGUE, hazards, drops=drops)
    if node.removeType in _ON_TABLE:
        return Effect(kind, tuple(n[-2] for n in names if len(n) > 1), CATALOGUE, hazards)
    if node.removeType == "OBJECT_INDEX":
        lock = ONLINE if node.concurrent else CATALOGUE
        how = " CONCURRENTLY" * bool(node.concurrent)
        return Effect(kind + how, (), lock, hazards, indexes=last)
    return Effect(kind, (), None, hazards)


def _rename(node: Any) -> Effect:  # noqa: ANN401
    names = (node.relation.relname,) if node.relation else ()
    if node.renameType == "OBJECT_INDEX" or not names:
        return Effect("RENAME")  # an index's name is none of its table's readers' business
    # A client that still says the old name fails; one of a constraint or trigger nobody says.
    hazards = (Hazard.CHANGES_NAMES,) * (node.renameType in _SAID)
    renames = ((*names, node.newname),) * (node.renameType == "OBJECT_TABLE")
    moves = ((*names, node.subname),) * (node.renameType == "OBJECT_COLUMN")
    return Effect("RENAME", names, CATALOGUE, hazards, renames=renames, moves=moves)


def _alter(node: Any) -> Effect:  # noqa: ANN401
    parts = [_command(command) for command in node.cmds]
    lock = strongest(lock for lock, _ in parts)
    hazards = tuple(dict.fromkeys(hazard for _, found in parts for hazard in found))
    name = (node.relation.relname,)
    if node.objtype == "OBJECT_INDEX":
        return Effect("ALTER INDEX", (), lock, hazards, indexes=name)
    retypes = tuple(
        (*name, command.name, _new_type(command))
        for command in node.cmds
        if command.subtype == "AT_AlterColumnType"
    )
    drops = tuple(
        (*name, _DROPPED[command.subtype], command.name)
        for command in node.cmds
        if command.subtype in _DROPPED
    )
    return Effect(
        "ALTER TABLE",
        name,
        lock,
        hazards,
        references=_referenced(node),
        retypes=retypes,
        drops=drops,
        alters=len(node.cmds),
        checks=tuple(_checks(*name, node.cmds)),
        fills=_those(node, "AT_SetNotNull"),
        frees=_those(node, "AT_DropNotNull"),
        validates=_those(node, "AT_ValidateConstraint"),
    )


def _those(node: Any, kind: str) -> tuple[tuple[str, str], ...]:  # noqa: ANN401
    table = node.relation.relname
    return tuple((table, command.name) for command in node.cmds if command.subtype == kind)


def _checks(table: str, commands: Any) -> Iterator[tuple[str, str, Check]]:  # noqa: ANN401
    """Yield the CHECKs that are added, those of a column that is added too."""
    for each in walk(commands):
        if _is(each, "Constraint") and each.contype == "CONSTR_CHECK":
            said: Any = each.raw_expr
            parts: list[Any] = [said, *walk(said)]
            columns = [part.fields[-1] for part in parts if _is(part, "ColumnRef")]
            check = Check(
                frozenset(str(column.sval) for column in columns),
                valid=not each.skip_validation,
                not_null=_not_null(said),
            )
            yield table, str(each.conname or ""), check


def _not_null(expression: Any) -> bool:  # noqa: ANN401
    """Tell whether a condition is `column IS NOT NULL`, and nothing else."""
    return (
        _is(expression, "NullTest")
        and expression.nulltesttype == "IS_NOT_NULL"
        and _is(expression.arg, "ColumnRef")
    )


def not_null(condition: str) -> bool:
    """Tell whether the SQL text of a condition is `column IS NOT NULL`, and nothing else."""
    try:
        select = parse(f"SELECT {condition}")[0]
    except ParseError:  # what a newer server writes
        return False
    return _not_null(select.targetList[0].val)


def _new_type(command: Any) -> str:  # noqa: ANN401
    """Return the type that a column gets, if its values are cast to that and nothing else."""
    type_: Any = command.def_.typeName
    given: Any = command.def_.raw_default
    if _is(given, "TypeCast") and given.typeName == type_:
        given = given.arg
    fields = (given.fields or ()) if _is(given, "ColumnRef") else ()
    itself = [each.sval for each in fields[-1:]] == [command.name]
    return _written(type_) if itself or given is None else ""


def _written(type_: Any) -> str:  # noqa: ANN401
    """Return a type as SQL; nothing where its modifiers are no numbers."""
    name = ".".join('"{}"'.format(each.sval.replace('"', '""')) for each in type_.names)
    mods = [each.ival for each in type_.typmods or ()]
    if not all(mods):
        return ""
    said = ",".join(str(each.ival or 0) for each in mods)
    return name + f"({said})" * bool(mods) + "[]" * len(type_.arrayBounds or ())


def _command(command: Any) -> tuple[Lock, tuple[Hazard, ...]]:  # noqa: ANN401
    kind = command.subtype
    if kind == "AT_AddConstraint":
        return _constraint(command.def_)
    if kind == "AT_DropColumn":
        return CATALOGUE, (Hazard.DELETES_DATA,)
    if kind == "AT_AddColumn":
        return _column(command.def_)
    return next((result for kinds, result in _CHANGES if kind in kinds), (CATALOGUE, ()))


def _column(column: Any) -> tuple[Lock, tuple[Hazard, ...]]:  # noqa: ANN401
    """Tell a column that is added in the catalogue from one that is read in or written to rows."""
    constraints = column.constraints or ()
    defaults = [each.raw_expr for each in constraints if each.contype == "CONSTR_DEFAULT"]
    found = {each.contype for each in constraints}
    empty = all(_is(each, "A_Const") and each.isnull for each in defaults)
    fails = (Hazard.FAILS_ON_ROWS,) * (empty and bool(found & _FILLED))
    # now() is one value for all rows; any other function may give each row its own.
    if (
        found & {"CONSTR_GENERATED", "CONSTR_IDENTITY"}
        or column.typeName.names[-1].sval in _SERIALS
        or any(_calls(default) - {"now"} for default in defaults)
    ):
        return SCAN, (Hazard.REWRITES_TABLE, Hazard.BLOCKS_READS)
    # A key of a column without values holds for every row unasked; a CHECK does not.
    read = {"CONSTR_UNIQUE", "CONSTR_PRIMARY", "CONSTR_CHECK"}
    if found & read or (defaults and "CONSTR_FOREIGN" in found):
        return SCAN, (*fails, Hazard.BLOCKS_READS)
    return CATALOGUE, fails


def _constraint(constraint: Any) -> tuple[Lock, tuple[Hazard, ...]]:  # noqa: ANN401
    if constraint.contype == "CONSTR_FOREIGN":
        if constraint.skip_validation:
            return TRIGGER, ()
        return REFERENCE, (Hazard.BLOCKS_WRITES,)
    if constraint.contype in ("CONSTR_UNIQUE", "CONSTR_PRIMARY") and constraint.indexname:
        return CATALOGUE, ()
    if constraint.contype == "CONSTR_CHECK" and constraint.skip_validation:
        return CATALOGUE, ()
    return SCAN, (Hazard.BLOCKS_READS,)


def _calls(expression: Any) -> set[str]:  # noqa: ANN401
    found = (each for each in (expression, *walk(expression)) if _is(each, "FuncCall"))
    return {each.funcname[-1].sval for each in found}


def _rows(kind: str, lock: Lock, *hazards: Hazard) -> Any:  # noqa: ANN401
    def found(node: Any) -> Effect:  # noqa: ANN401
        return Effect(kind, (node.relation.relname,), lock, hazards, calls=tuple(_calls(node)))

    return found


def _merge(node: Any) -> Effect:  # noqa: ANN401
    does = {each.commandType for each in node.mergeWhenClauses}
    changes = bool(does & {"CMD_DELETE", "CMD_UPDATE"})
    hazards = (Hazard.DELETES_DATA,) * ("CMD_DELETE" in does)
    found: Effect = _rows("MERGE", CHANGED_ROWS if changes else ROWS, *hazards)(node)
    return replace(found, hazards=found.hazards + (Hazard.CHANGES_ROWS,) * changes)


def _function(node: Any) -> Effect:  # noqa: ANN401
    """Return the function where it may write: one that is not volatile may not."""
    said = {option.defname: option.arg for option in node.options or ()}
    writes = "volatility" not in said or said["volatility"].sval == "volatile"
    return Effect("CREATE FUNCTION", defines=node.funcname[-1].sval if writes else None)


_WORDS = {
    "TransactionStmt": "transaction",
    "VariableSetStmt": "SET",
    "GrantStmt": "GRANT",
    "CommentStmt": "COMMENT",
    "AlterSeqStmt": "ALTER SEQUENCE",
    "AlterDefaultPrivilegesStmt": "ALTER DEFAULT PRIVILEGES",
}
_KNOWN: dict[str, Any] = {
    "CreateStmt": _create_table,
    "IndexStmt": _index,
    "DropStmt": _drop,
    "AlterTableStmt": _alter,
    "CreateTrigStmt": lambda node: Effect("CREATE TRIGGER", (node.relation.relname,), TRIGGER),
    "ViewStmt": lambda node: Effect("CREATE VIEW", (node.view.relname,), CATALOGUE),
    "RenameStmt": _rename,
    "TruncateStmt": lambda node: Effect(
        "TRUNCATE",
        tuple(r.relname for r in node.relations),
        CATALOGUE,
        (Hazard.DELETES_DATA,),
        cascades=node.behavior == "DROP_CASCADE",
    ),
    "LockStmt": lambda node: Effect(
        "LOCK", tuple(r.relname for r in node.relations), SCAN, (Hazard.BLOCKS_READS,)
    ),
    "VacuumStmt": maintenance.vacuum,
    "ClusterStmt": maintenance.cluster,
    "ReindexStmt": maintenance.reindex,
    "CreateTableAsStmt": _create_table_as,
    "MergeStmt": _merge,
    "SelectStmt": lambda node: Effect("SELECT", calls=tuple(_calls(node))),
    "CreateFunctionStmt": _function,
    "UpdateStmt": _rows("UPDATE", CHANGED_ROWS, Hazard.CHANGES_ROWS),
    "InsertStmt": _rows("INSERT", ROWS),
    "DeleteStmt": _rows("DELETE", CHANGED_ROWS, Hazard.DELETES_DATA, Hazard.CHANGES_ROWS),
}
