"""Declare, plan and apply the schema of a QuestDB server.

A table is a typed declaration, and a wrong one fails where it is written:

>>> from questdb_ddl import Column, Double, Symbol, Table, create_table
>>> quotes = Table(
...     "quotes",
...     columns=(Column("venue", Symbol(capacity=256)), Column("price", Double())),
...     dedup_keys=("timestamp", "venue"),
... )
>>> print(create_table(quotes))
CREATE TABLE IF NOT EXISTS "quotes" (
    "timestamp" TIMESTAMP,
    "venue" SYMBOL CAPACITY 256,
    "price" DOUBLE
)
TIMESTAMP("timestamp")
PARTITION BY MONTH
WAL
DEDUP UPSERT KEYS("timestamp", "venue")

>>> Table("quotes", columns=(Column("price", Double()),), dedup_keys=("price",))
Traceback (most recent call last):
questdb_ddl.errors.DeclarationError: The table quotes leaves the designated timestamp out of its \
deduplication keys.

Declared and live tables are compared as objects, and a plan is a value to look at before it runs:

>>> from questdb_ddl import LiveColumn, LiveTable, PartitionBy, Timestamp, make_plan
>>> found = LiveTable(
...     "quotes",
...     (LiveColumn("timestamp", Timestamp()), LiveColumn("venue", Symbol(capacity=256))),
...     designated_timestamp="timestamp",
...     partition_by=PartitionBy.MONTH,
...     wal=True,
...     has_parquet=False,
... )
>>> print(make_plan([quotes], {"quotes": found}))
ALTER TABLE "quotes" ADD COLUMN IF NOT EXISTS "price" DOUBLE;
ALTER TABLE "quotes" DEDUP ENABLE UPSERT KEYS("timestamp", "venue"); \
[keeps duplicates that are already there]

With a server (`Client` is a context manager over one kept-alive connection):

    with Client("http://127.0.0.1:9000") as client:
        ensure_table(client, quotes)
        plan = plan_for(client, [quotes])
        apply(client, plan, allow=[Hazard.KEEPS_DUPLICATES])

What a `rebuild` or a `trim` would do is shown by `plan_rebuild`; `suspects` counts rows whose time
is in a wrong unit, `export` writes a file and reads it back, `drop_old` ends what a rebuild kept.

`client`, `introspect`, `apply`, `dropping`, `rebuild` and what they use talk to a server; `types`,
`spec`, `names`, `render`, `diff` and `plan` are pure. Every error is a `QuestDBDDLError` with a
message of one line. Tried on QuestDB 8.2.0 (no TTL), 9.0.3 and 9.3.4.
"""

from __future__ import annotations

from questdb_ddl.apply import Ensured, apply, ensure_table, plan_for
from questdb_ddl.client import Client
from questdb_ddl.detached import refuse_detached, unseen
from questdb_ddl.diff import Comparison, Difference, DifferenceKind, compare, compare_all
from questdb_ddl.dropping import RetireAction, Retired, drop, retire, retired_name
from questdb_ddl.errors import (
    AuthenticationFailed,
    DeclarationError,
    DetachedPartitions,
    PlanRefused,
    QueryError,
    QuestDBDDLError,
    TableSuspended,
    Unreachable,
    VerificationFailed,
)
from questdb_ddl.export import Exported, export
from questdb_ddl.introspect import live_tables
from questdb_ddl.kept import drop_old, old_tables
from questdb_ddl.names import check_column_name, check_table_name, quote, slug
from questdb_ddl.plan import Hazard, Plan, Refusal, Step, fingerprint, make_plan
from questdb_ddl.rebuild import rebuild
from questdb_ddl.rebuild_plan import RebuildPlan, plan_rebuild
from questdb_ddl.rebuild_run import Rebuilt
from questdb_ddl.render import create_table
from questdb_ddl.spec import Column, Detached, Kind, LiveColumn, LiveTable, PartitionBy, Table
from questdb_ddl.time_units import Suspects, suspects
from questdb_ddl.trim import UnfinishedTrim, trim, unfinished_trims
from questdb_ddl.types import (
    Array,
    Binary,
    Boolean,
    Byte,
    Char,
    ColumnType,
    Date,
    Decimal,
    Double,
    Float,
    Geohash,
    Int,
    IPv4,
    Long,
    Long128,
    Long256,
    Short,
    String,
    Symbol,
    Timestamp,
    TimestampNs,
    Uuid,
    Varchar,
    is_widening,
    parse_type,
)
from questdb_ddl.versions import untested
from questdb_ddl.views import View, read_views, readers

__all__ = [
    "Array",
    "AuthenticationFailed",
    "Binary",
    "Boolean",
    "Byte",
    "Char",
    "Client",
    "Column",
    "ColumnType",
    "Comparison",
    "Date",
    "Decimal",
    "DeclarationError",
    "Detached",
    "DetachedPartitions",
    "Difference",
    "DifferenceKind",
    "Double",
    "Ensured",
    "Exported",
    "Float",
    "Geohash",
    "Hazard",
    "IPv4",
    "Int",
    "Kind",
    "LiveColumn",
    "LiveTable",
    "Long",
    "Long128",
    "Long256",
    "PartitionBy",
    "Plan",
    "PlanRefused",
    "QueryError",
    "QuestDBDDLError",
    "RebuildPlan",
    "Rebuilt",
    "Refusal",
    "RetireAction",
    "Retired",
    "Short",
    "Step",
    "String",
    "Suspects",
    "Symbol",
    "Table",
    "TableSuspended",
    "Timestamp",
    "TimestampNs",
    "UnfinishedTrim",
    "Unreachable",
    "Uuid",
    "Varchar",
    "VerificationFailed",
    "View",
    "apply",
    "check_column_name",
    "check_table_name",
    "compare",
    "compare_all",
    "create_table",
    "drop",
    "drop_old",
    "ensure_table",
    "export",
    "fingerprint",
    "is_widening",
    "live_tables",
    "make_plan",
    "old_tables",
    "parse_type",
    "plan_for",
    "plan_rebuild",
    "quote",
    "read_views",
    "readers",
    "rebuild",
    "refuse_detached",
    "retire",
    "retired_name",
    "slug",
    "suspects",
    "trim",
    "unfinished_trims",
    "unseen",
    "untested",
]
