"""What VACUUM, ANALYZE, CLUSTER and REINDEX lock: the manual's page of each command."""

from __future__ import annotations

from typing import Any

from stage1_schema.ops.effects import ONLINE, SCAN, Effect, Hazard

_EXCLUSIVE = (Hazard.BLOCKS_READS,)
_ANEW = (Hazard.REWRITES_TABLE, Hazard.BLOCKS_READS)
_ALL = (Hazard.UNKNOWN,)
"""Of every table: which ones is not in the statement."""
_ON = {"true", "on", "1"}


def vacuum(node: Any) -> Effect:  # noqa: ANN401 - nodes of the parser
    """Return the effect of VACUUM and ANALYZE; the latter blocks nobody, whichever table it is."""
    kind = "VACUUM" if node.is_vacuumcmd else "ANALYZE"
    tables = tuple(each.relation.relname for each in node.rels or ())
    if not _said(node.options, "full"):
        return Effect(kind, tables, ONLINE)
    if not tables:
        return Effect("VACUUM FULL", hazards=_ALL)
    return Effect("VACUUM FULL", tables, SCAN, _ANEW)


def cluster(node: Any) -> Effect:  # noqa: ANN401
    """Return the effect of CLUSTER."""
    if node.relation is None:
        return Effect("CLUSTER", hazards=_ALL)
    return Effect("CLUSTER", (node.relation.relname,), SCAN, _ANEW)


def reindex(node: Any) -> Effect:  # noqa: ANN401
    """Return the effect of REINDEX: to plan a query, a reader wants a lock on each index."""
    alone = _said(node.params, "concurrently")
    lock, hazards = (ONLINE, ()) if alone else (SCAN, _EXCLUSIVE)
    kind = "REINDEX" + " CONCURRENTLY" * alone
    if node.kind == "REINDEX_OBJECT_INDEX":
        return Effect(kind, (), lock, hazards, indexes=(node.relation.relname,))
    if node.kind == "REINDEX_OBJECT_TABLE":
        return Effect(kind, (node.relation.relname,), lock, hazards)
    return Effect(kind, hazards=_ALL)


def _said(options: Any, name: str) -> bool:  # noqa: ANN401
    """Tell whether an option is on: it is where it has no value."""
    given = [each.arg for each in options or () if each.defname == name]
    return any(arg is None or str(arg.sval or arg.ival or "").lower() in _ON for arg in given)
