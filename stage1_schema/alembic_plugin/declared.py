"""The catalogue that the models and the `.sql` files declare.

Everything is created in a scratch schema inside a savepoint, read, and rolled back. Nothing in it
refers to a live object, foreign keys included: no reader and no writer can feel it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, text
from sqlalchemy.exc import DBAPIError

from stage1_schema.alembic_plugin import catalogue, history
from stage1_schema.alembic_plugin.verbatim import Verbatim
from stage1_schema.errors import Stage1Error
from stage1_schema.models.history import MIGRATION_HISTORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from stage1_schema.alembic_plugin.catalogue import Catalogue, Edge
    from stage1_schema.sql import SqlObject

BESIDE = MetaData()
"""Alembic's own table and the history: they stand beside the models' and outlive a downgrade."""
Table(
    "alembic_version",
    BESIDE,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
MIGRATION_HISTORY.to_metadata(BESIDE, schema=None)  # type: ignore[arg-type]  # of no schema


# What the role's default privileges give in every schema is not declared. Whether everybody may
# execute a function is left to them: PostgreSQL gives it by default, and some take that back.
_OWN_DEFAULTS = """
DO $$
DECLARE given record;
BEGIN
    FOR given IN
        SELECT CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                                    ELSE 'FUNCTIONS' END AS kind,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
          FROM pg_default_acl d, aclexplode(d.defaclacl) a
         WHERE d.defaclnamespace = 0 AND d.defaclrole = to_regrole(quote_ident(current_user))
           AND a.grantee <> d.defaclrole AND d.defaclobjtype IN ('r', 'S', 'f')
           AND (d.defaclobjtype <> 'f' OR a.grantee <> 0)
    LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES REVOKE ALL ON %s FROM %s', given.kind, given.role);
    END LOOP;
END $$
"""


class CannotCompareError(Stage1Error):
    """The declarations cannot be compared on this server by this role."""


@dataclass(frozen=True)
class Declared:
    """The declared catalogue; `order` is one in which its `.sql` files can be created.

    `uses` says what uses what in it; `independent` names the functions whose signatures need no
    table, so that a table's CHECK or index can use them.
    """

    catalogue: Catalogue
    order: tuple[SqlObject, ...]
    uses: tuple[Edge, ...]
    independent: frozenset[str]


def build(connection: Connection, metadata: MetaData, files: Iterable[SqlObject]) -> Declared:
    """Create what is declared, read it, and take it back.

    Raises Stage1Error, naming the file, when a declaration is wrong, and CannotCompareError when
    the role may not create a schema.
    """
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    schema = f"stage1_declared_{pid}"  # two comparisons at once do not meet
    savepoint = connection.begin_nested()
    try:
        _open(connection, schema)
        waiting = list(files)
        # A CHECK, a default or an index may call a function that needs no table itself.
        early, failed = _round(connection, schema, [f for f in waiting if f.kind == "functions"])
        metadata.create_all(connection, checkfirst=False)
        BESIDE.create_all(connection, checkfirst=False)
        connection.execute(Verbatim(_moved(history.GRANT, schema)))
        waiting = [each for each in waiting if each in failed or each.kind != "functions"]
        order = (*early, *_create(connection, schema, waiting))
        connection.execute(text("SET LOCAL check_function_bodies = on"))
        functions = [each for each in order if each.kind == "functions"]
        _create(connection, schema, functions)  # now that all stands, their bodies are checked
        uses = catalogue.edges(connection)
        found = catalogue.read(connection)
    finally:
        savepoint.rollback()
    _check_names(found, order)
    relations = ("tables", "views")
    dependent = {edge.user[1] for edge in uses if edge.used[0] in relations}
    independent = frozenset(found["functions"]) - dependent
    return Declared(found, order, uses, independent)


def _open(connection: Connection, schema: str) -> None:
    try:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state not in ("42501", "25006"):  # insufficient privilege, read-only
            raise
        raise CannotCompareError(
            "This role may not create the schema that declarations are compared in.",
            next_step="run it as the owner of the database, on the primary server.",
        ) from error
    connection.execute(text(f"SET LOCAL search_path = {schema}"))
    connection.execute(Verbatim(_OWN_DEFAULTS))
    connection.execute(text("SET LOCAL check_function_bodies = off"))
    connection.execute(text("SET LOCAL client_min_messages = warning"))


def _create(
    connection: Connection, schema: str, waiting: Sequence[SqlObject]
) -> tuple[SqlObject, ...]:
    """Create files in an order that works: one that needs another waits for the next round."""
    done: list[SqlObject] = []
    while waiting:
        made, failed = _round(connection, schema, waiting)
        if not made:
            _raise(*next(iter(failed.items())), schema)
        done += made
        waiting = list(failed)
    return tuple(done)


def _round(
    connection: Connection, schema: str, files: Iterable[SqlObject]
) -> tuple[list[SqlObject], dict[SqlObject, DBAPIError]]:
    """Create what can be created now; return that, and what could not and why."""
    made: list[SqlObject] = []
    failed: dict[SqlObject, DBAPIError] = {}
    connection.execute(text("SAVEPOINT file"))
    for each in files:
        body = _moved(each.text, schema)
        try:  # in one message, behind which the next one's savepoint stands
            connection.execute(Verbatim(f"{body}\n;RELEASE SAVEPOINT file;SAVEPOINT file"))
        except DBAPIError as error:
            connection.execute(text("ROLLBACK TO SAVEPOINT file"))
            failed[each] = error
        else:
            made.append(each)
    connection.execute(text("RELEASE SAVEPOINT file"))
    return made, failed


def _check_names(found: Catalogue, order: Iterable[SqlObject]) -> None:
    """Raise Stage1Error unless each file makes one object of its own kind and name.

    And for a table whose name needs quotes.
    """
    for file in order:
        made = [item for item in found[file.kind].values() if item.stem == file.name]
        if file.kind != "grants" and len(made) != 1:
            raise Stage1Error(
                f"stage1_schema/sql/{file.kind}/{file.name}.sql makes {len(made)} {file.kind}"
                f" called {file.name}, not one.",
                next_step="one file for each object, named after it (a trigger: table_trigger).",
            )
    for table in found["tables"].values():
        if table.name != table.stem:  # nobody addresses one so (contract, part 1)
            raise Stage1Error(
                f"The table {table.name} has a name that PostgreSQL wants quoted.",
                next_step="declare it in lower case, in ASCII, and not as a keyword.",
            )


def _moved(body: str, schema: str) -> str:
    # The role PUBLIC is written in capitals; `public` in a file is the schema.
    return re.sub(rf"\b{catalogue.SCHEMA}\b", schema, body)


def _raise(file: SqlObject, error: DBAPIError, schema: str) -> None:
    lines = str(error.orig).replace(schema, catalogue.SCHEMA).splitlines()
    raise Stage1Error(
        f"stage1_schema/sql/{file.kind}/{file.name}.sql cannot be created: {lines[0]}.",
        next_step="correct the file, or declare what it needs.",
    ) from error
