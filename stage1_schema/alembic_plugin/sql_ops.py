"""Operations on views, functions, triggers and grants, each with its inverse.

A body is never written into a revision: `op.run_sql_file` replays a frozen file, verbatim.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from alembic.operations import MigrateOperation, Operations

from stage1_schema.alembic_plugin import frozen
from stage1_schema.alembic_plugin.verbatim import Verbatim, literal
from stage1_schema.errors import Stage1Error

OPTION = "GRANT OPTION FOR "
"""Before a right: that the role may pass it on."""
_FROZEN = re.compile(r"\d{4}/[^/]+\.sql")


@Operations.register_operation("run_sql_file")
class RunSqlFileOp(MigrateOperation):
    """Run the statements of one file below `migrations/sql/`."""

    def __init__(self, name: str, inverse: MigrateOperation | None = None) -> None:
        """Keep the file's `name`, such as `0005/dataset_hierarchy.sql`, and what undoes it."""
        self.name = name
        self.inverse = inverse

    @classmethod
    def run_sql_file(cls, operations: Operations, name: str) -> None:
        """Run `migrations/sql/<name>` as it was written.

        Raises Stage1Error when it is missing, or not of the form `NNNN/name.sql`.
        """
        operations.invoke(cls(name))

    def reverse(self) -> MigrateOperation:
        """Return what brings back the body that stood before; raises NotImplementedError."""
        if self.inverse is None:
            raise NotImplementedError(f"What {self.name} replaced is not known.")
        return self.inverse

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        return ("run_sql_file", self.name)


@Operations.register_operation("drop_sql_object")
class DropSqlObjectOp(MigrateOperation):
    """Drop a view, function or trigger, or a rule or policy that was made by hand."""

    def __init__(self, kind: str, name: str, file: str | None = None) -> None:
        """Keep what to drop, and the frozen `file` that makes it again."""
        self.kind = kind
        self.name = name
        self.file = file

    @classmethod
    def drop_sql_object(cls, operations: Operations, kind: str, name: str) -> None:
        """Drop it if it stands: `view`, `materialized view`, `function`, `procedure` or `trigger`.

        A function is named with the types of its arguments, a trigger as `table.trigger`, and so
        are a `rule` and a `policy`.
        """
        operations.invoke(cls(kind, name))

    def reverse(self) -> MigrateOperation:
        """Return what makes the object again."""
        if self.file is None:  # it was never ours: there is nothing to bring back
            return self
        return RunSqlFileOp(self.file, self)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        return ("drop_sql_object", self.kind, self.name)


@Operations.register_operation("keep_grants")
@Operations.register_operation("restore_grants")
class KeepGrantsOp(MigrateOperation):
    """Carry what was granted on views and functions over their dropping and making again."""

    def __init__(self, names: tuple[str, ...], *, restore: bool) -> None:
        """Keep the `names` of views and functions, without arguments."""
        self.names = names
        self.restore = restore

    @classmethod
    def keep_grants(cls, operations: Operations, *names: str) -> None:
        """Remember what is granted on the views and functions, until it is granted again."""
        operations.invoke(cls(names, restore=False))

    @classmethod
    def restore_grants(cls, operations: Operations, *names: str) -> None:
        """Grant on the views and functions what was remembered, and nothing else.

        A column's rights go where the column goes. An error where nothing was remembered.
        """
        operations.invoke(cls(names, restore=True))

    def reverse(self) -> MigrateOperation:
        """Return the other half: on the way back they change places."""
        return KeepGrantsOp(self.names, restore=not self.restore)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        return ("restore_grants" if self.restore else "keep_grants", *self.names)


@Operations.register_operation("grant")
@Operations.register_operation("revoke")
class GrantOp(MigrateOperation):
    """Grant or revoke one right of one of the roles of the settings."""

    def __init__(self, right: str, on: str, role: str, *, revoke: bool = False) -> None:
        """Keep the `right`, what it is `on`, and the `role`: `app`, `readonly` or `PUBLIC`."""
        self.right = right
        self.on = on
        self.role = role
        self.revoked = revoke

    @classmethod
    def grant(cls, operations: Operations, right: str, on: str, role: str) -> None:
        """Grant, for example, `SELECT` on `TABLE datasets` to `readonly`, where the role exists.

        `SELECT (symbol)` is a right on a column, `GRANT OPTION FOR SELECT` that of passing it on.
        `later TABLES` are those that will be created: default privileges.
        """
        operations.invoke(cls(right, on, role))

    @classmethod
    def revoke(cls, operations: Operations, right: str, on: str, role: str) -> None:
        """Take back what `op.grant` grants."""
        operations.invoke(cls(right, on, role, revoke=True))

    def reverse(self) -> MigrateOperation:
        """Return the opposite."""
        return GrantOp(self.right, self.on, self.role, revoke=not self.revoked)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the operation as Alembic's differences are."""
        return ("revoke" if self.revoked else "grant", self.right, self.on, self.role)


@Operations.implementation_for(RunSqlFileOp)
def _run(operations: Operations, operation: RunSqlFileOp) -> None:
    if not _FROZEN.fullmatch(operation.name):
        raise Stage1Error(
            f"A revision runs frozen SQL only, and {operation.name} is none.",
            next_step="copy it to migrations/sql/NNNN/ and run that: NNNN/name.sql.",
        )
    script = operations.migration_context.opts["script"]
    path = Path(script.dir) / "sql" / operation.name
    if not path.is_file():
        raise Stage1Error(
            f"The frozen SQL {operation.name} is missing.", next_step="restore it from git."
        )
    operations.execute(Verbatim(frozen.read(path)))


@Operations.implementation_for(DropSqlObjectOp)
def _drop(operations: Operations, operation: DropSqlObjectOp) -> None:
    name = operation.name
    if operation.kind in ("trigger", "rule", "policy"):
        table, _, part = operation.name.rpartition(".")
        name = f"{part} ON {table}"
    operations.execute(Verbatim(f"DROP {operation.kind.upper()} IF EXISTS {name}"))


# A revision may commit in between (op.backfill), so the setting is the session's. A name that does
# not stand keeps what was remembered of it before: the step may be tried again.
_KEEP = """WITH kept AS (
    SELECT coalesce(nullif(current_setting('stage1.kept_grants', true), ''), '{{}}')::jsonb AS kept
), made AS (
    SELECT c.relname AS name, c.relowner AS owner, NULL::name AS part,
           coalesce(c.relacl, acldefault('r', c.relowner)) AS acl
      FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN ({names})
    UNION ALL
    SELECT c.relname, c.relowner, t.attname, t.attacl
      FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid AND t.attacl IS NOT NULL
     WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN ({names})
    UNION ALL
    SELECT p.proname, p.proowner, NULL, coalesce(p.proacl, acldefault('f', p.proowner))
      FROM pg_proc p
     WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ({names})
), granted AS (
    SELECT DISTINCT m.name, m.part, a.privilege_type AS right, a.is_grantable AS again,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
      FROM made m, aclexplode(m.acl) a WHERE a.grantee <> m.owner
)
SELECT set_config('stage1.kept_grants', (k.kept || (
    SELECT jsonb_object_agg(n.name, CASE
           WHEN EXISTS (SELECT FROM made m WHERE m.name = n.name)
           THEN (SELECT coalesce(jsonb_agg(g), '[]') FROM granted g WHERE g.name = n.name)
           ELSE k.kept -> n.name END)
      FROM unnest(ARRAY[{names}]) AS n (name)))::text, false)
  FROM kept k"""

_RESTORE = """DO $$
DECLARE kept jsonb := coalesce(nullif(current_setting('stage1.kept_grants', true), ''), '{{}}');
        made record;
        statement text;
BEGIN
    IF NOT kept ?& ARRAY[{names}] THEN
        RAISE 'what was granted on % was not kept in this session', '{said}'
        USING HINT = 'op.keep_grants goes before op.restore_grants, in the same run.';
    END IF;
    FOR made IN
        SELECT c.oid, c.relname AS name, 'TABLE ' || c.oid::regclass AS target, c.relowner AS owner,
               coalesce(c.relacl, acldefault('r', c.relowner)) AS acl
          FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN ({names})
        UNION ALL
        SELECT p.oid, p.proname, 'ROUTINE ' || p.oid::regprocedure, p.proowner,
               coalesce(p.proacl, acldefault('f', p.proowner))
          FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ({names})
    LOOP
        CONTINUE WHEN kept -> made.name = 'null';
        FOR statement IN
            SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', made.target,
                   CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
              FROM aclexplode(made.acl) a WHERE a.grantee <> made.owner
        LOOP EXECUTE statement; END LOOP;
        FOR statement IN
            SELECT format('GRANT %s%s ON %s TO %s%s', k ->> 'right',
                   ' (' || quote_ident(k ->> 'part') || ')', made.target, k ->> 'role',
                   CASE WHEN (k ->> 'again')::boolean THEN ' WITH GRANT OPTION' ELSE '' END)
              FROM jsonb_array_elements(kept -> made.name) k
             WHERE k ->> 'part' IS NULL
                OR EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = made.oid
                              AND t.attname = k ->> 'part' AND NOT t.attisdropped)
        LOOP EXECUTE statement; END LOOP;
    END LOOP;
    PERFORM set_config('stage1.kept_grants', (kept - ARRAY[{names}])::text, false);
END $$"""


@Operations.implementation_for(KeepGrantsOp)
def _keep(operations: Operations, operation: KeepGrantsOp) -> None:
    names = ", ".join(literal(name) for name in operation.names)
    body = _RESTORE if operation.restore else _KEEP
    said = ", ".join(operation.names).replace("'", "''")
    operations.execute(Verbatim(body.format(names=names, said=said)))


_GRANT = """DO $$
DECLARE role text := {role};
BEGIN
    IF (role = 'PUBLIC' OR EXISTS (SELECT FROM pg_roles WHERE rolname = role)){unless} THEN
        EXECUTE {statement} || CASE role WHEN 'PUBLIC' THEN role ELSE quote_ident(role) END
             || {option};
    END IF;
END $$"""


@Operations.implementation_for(GrantOp)
def _grant(operations: Operations, operation: GrantOp) -> None:
    role = literal(operation.role)
    if operation.role in ("app", "readonly"):
        setting = f"current_setting('stage1.{operation.role}_role', true)"
        role = f"coalesce(nullif({setting}, ''), 'stage1_{operation.role}')"
    verb, preposition = ("REVOKE", "FROM") if operation.revoked else ("GRANT", "TO")
    later, _, kind = operation.on.partition(" ")
    scope, on = "", operation.on
    if later == "later":
        scope, on = "ALTER DEFAULT PRIVILEGES IN SCHEMA public ", kind
    right, option = operation.right, ""
    if right.startswith(OPTION) and not operation.revoked:
        right, option = right.removeprefix(OPTION), " WITH GRANT OPTION"
    statement = literal(f"{scope}{verb} {right} ON {on} {preposition} ")
    # An owner keeps its rights.
    unless = f" AND role IS DISTINCT FROM {_owner(operation.on)}" if operation.revoked else ""
    body = _GRANT.format(role=role, unless=unless, statement=statement, option=literal(option))
    operations.execute(Verbatim(body))


def _owner(on: str) -> str:
    """Return SQL for the name of who owns what a right is `on`; of later objects that is us."""
    kind, _, name = on.partition(" ")
    if kind == "later":
        return "current_user::text"
    table, owner, find = {
        "SCHEMA": ("pg_namespace", "nspowner", "to_regnamespace"),
        "FUNCTION": ("pg_proc", "proowner", "to_regprocedure"),
    }.get(kind, ("pg_class", "relowner", "to_regclass"))
    found = f"SELECT pg_get_userbyid({owner})::text FROM {table}"
    return f"({found} WHERE oid = {find}({literal(name)}))"
