"""Where the two stores are: read from the environment, a `.env` file, or the local servers.

The names of the variables are those of the clients (contract, part 7); this module adds
`STAGE1_POSTGRES_URL`, `STAGE1_POSTGRES_SSLMODE`, `STAGE1_QUESTDB_USER`, `STAGE1_QUESTDB_PASSWORD`
and the names of the roles.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from psycopg import ProgrammingError, conninfo

from stage1_schema.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

POSTGRES_PARTS = {
    "STAGE1_POSTGRES_HOST": "host",
    "STAGE1_POSTGRES_PORT": "port",
    "STAGE1_POSTGRES_DB": "dbname",
    "STAGE1_POSTGRES_USER": "user",
    "STAGE1_POSTGRES_PASSWORD": "password",
    "STAGE1_POSTGRES_SSLMODE": "sslmode",
}
_VARIABLES = {
    "PostgreSQL": "STAGE1_POSTGRES_HOST, STAGE1_POSTGRES_PORT, STAGE1_POSTGRES_DB,"
    " STAGE1_POSTGRES_USER, STAGE1_POSTGRES_PASSWORD (or STAGE1_POSTGRES_URL)",
    "QuestDB": "STAGE1_QUESTDB_REST",
}
MAX_PORT = 65_535
MAX_INTEGER = 2_147_483_647
"""What PostgreSQL takes for a number of milliseconds, at most."""
POSTGRES_DEFAULTS = {"port": "5432", "dbname": "stage1_trading", "user": "stage1_app"}


@dataclass(frozen=True)
class PostgresSettings:
    """How to reach PostgreSQL: libpq's parameters, the password kept out of every repr."""

    parameters: Mapping[str, str] = field(repr=False)
    local: bool = False  # the server of `make up`

    @property
    def database(self) -> str:
        """The database's name, which a destructive command wants as confirmation."""
        return self.parameters["dbname"]

    @property
    def where(self) -> str:
        """`host:port/database` for people to read; never a password."""
        host = self.parameters.get("host", "(default socket)")
        return f"{host}:{self.parameters['port']}/{self.database}"


@dataclass(frozen=True)
class QuestDBSettings:
    """How to reach QuestDB over REST. Timeouts are in ms, as in the contract."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    connect_timeout_ms: int = 5_000
    rest_timeout_ms: int = 60_000
    local: bool = False

    @property
    def where(self) -> str:
        """`host:port` for people to read."""
        return self.address

    @property
    def address(self) -> str:
        """`host:port`, as the ILP client wants it."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or 9000}"


@dataclass(frozen=True)
class Roles:
    """Names of the PostgreSQL roles that the grants go to."""

    owner: str = "stage1_owner"
    app: str = "stage1_app"
    readonly: str = "stage1_readonly"


class Missing:
    """In the place of a store that is not set: whoever uses it gets the SettingsError."""

    where = "not set"
    local = False

    def __init__(self, error: SettingsError) -> None:
        """Keep the error to raise."""
        self.error = error

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - it never returns
        if name.startswith("_"):  # of Python's own, such as copy and pickle
            raise AttributeError(name)
        raise self.error


@dataclass(frozen=True)
class Settings:
    """Both stores, and the roles. A store that is not set raises SettingsError where it is used."""

    postgres: PostgresSettings
    questdb: QuestDBSettings
    roles: Roles = field(default_factory=Roles)

    def targets(self, *, skip_questdb: bool = False) -> str:
        """Return the line that begins every run: where both stores are, and as which role."""
        postgres, questdb = self.postgres.where, self.questdb.where
        if not isinstance(self.postgres, Missing):
            postgres += f" as {self.postgres.parameters['user']}"
        if not isinstance(self.questdb, Missing):
            questdb = self.questdb.url
        return f"PostgreSQL {postgres}, QuestDB {'skipped' if skip_questdb else questdb}"


def load(
    environment: Mapping[str, str] | None = None, *, directory: Path | None = None
) -> Settings:
    """Return the settings in force.

    A variable of the process wins over `.env` in `directory` (default: the current one). The local
    servers of `make up` are used where neither store is set, and never beside one that is set: a
    store that is missing then raises SettingsError where it is used.

    Raises SettingsError when a value cannot be used, or when there is no store at all.
    """
    directory = directory or Path.cwd()
    given = _given(environment, directory)
    postgres, questdb = _postgres(given), _questdb(given)
    local = postgres is None and questdb is None
    if local:
        postgres, questdb = _local(local_directory(given, directory))
    return Settings(
        postgres or _not_set("PostgreSQL", local=local),
        questdb or _not_set("QuestDB", local=local),
        _roles(given),
    )


def require(store: object) -> None:
    """Raise SettingsError where a store of the settings is not set."""
    if isinstance(store, Missing):
        raise store.error


def roles(environment: Mapping[str, str] | None = None, *, directory: Path | None = None) -> Roles:
    """Return the names of the roles: needed offline too, where no store is."""
    return _roles(_given(environment, directory or Path.cwd()))


def given(
    environment: Mapping[str, str] | None = None, *, directory: Path | None = None
) -> dict[str, str]:
    """Return every `STAGE1_` variable that is set: of the process, else of `.env`."""
    return _given(environment, directory or Path.cwd())


def of_this_process(directory: Path | None = None) -> list[str]:
    """Return the names of `STAGE1_` variables that the process has and `.env` has not."""
    directory = directory or Path.cwd()
    in_file = _dotenv(directory)
    found = _given(None, directory).items()
    return sorted(name for name, value in found if value != in_file.get(name))


def local_directory(given: Mapping[str, str] | None = None, directory: Path | None = None) -> Path:
    """Return the directory of the local servers: `STAGE1_LOCAL_DIR`, else `.stage1`."""
    name = (os.environ if given is None else given).get("STAGE1_LOCAL_DIR") or ".stage1"
    return (directory or Path.cwd()) / name


def _given(environment: Mapping[str, str] | None, directory: Path) -> dict[str, str]:
    values = _dotenv(directory) | dict(os.environ if environment is None else environment)
    found = {name: value for name, value in values.items() if name.startswith("STAGE1_") and value}
    for name, value in found.items():
        if "\0" in value or not _is_text(value):
            raise SettingsError(
                f"{name} is not text in UTF-8.",
                next_step="correct it in the environment or in .env.",
            )
    return found


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes of the environment that are no UTF-8
        return False
    return True


def _roles(given: Mapping[str, str]) -> Roles:
    return Roles(
        owner=given.get("STAGE1_OWNER_ROLE", Roles.owner),
        app=given.get("STAGE1_APP_ROLE", Roles.app),
        readonly=given.get("STAGE1_READONLY_ROLE", Roles.readonly),
    )


def _dotenv(directory: Path) -> dict[str, str]:
    path = directory / ".env"
    try:
        if not path.exists():
            return {}
        from dotenv import dotenv_values  # noqa: PLC0415 - only where a file is there to read

        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read: {getattr(error, 'strerror', 0) or 'it is not UTF-8'}.",
            next_step="make it a file of NAME=value lines that you may read, or remove it.",
        ) from error
    values = dotenv_values(stream=StringIO(text))
    return {name: value for name, value in values.items() if value is not None}


def _postgres(given: Mapping[str, str]) -> PostgresSettings | None:
    url = given.get("STAGE1_POSTGRES_URL")
    parts = {key: given[name] for name, key in POSTGRES_PARTS.items() if name in given}
    if url is None and "host" not in parts:
        if parts:
            raise SettingsError(
                f"{_names(given, POSTGRES_PARTS)} is set but STAGE1_POSTGRES_HOST is not.",
                next_step="set STAGE1_POSTGRES_HOST or STAGE1_POSTGRES_URL, or unset the others.",
            )
        return None
    if url is not None:
        try:
            parts = {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items()} | {
                key: value for key, value in parts.items() if key in ("password", "sslmode")
            }
        except ProgrammingError:  # its text would repeat the URL, password included
            raise SettingsError(
                "STAGE1_POSTGRES_URL is not a libpq connection string.",
                next_step="write postgresql://user@host:5432/stage1_trading"
                " or postgresql:///stage1_trading?host=/socket/directory.",
            ) from None
    parameters = POSTGRES_DEFAULTS | parts
    _port("PostgreSQL", parameters["port"])
    return PostgresSettings(parameters)


def _questdb(given: Mapping[str, str]) -> QuestDBSettings | None:
    url = given.get("STAGE1_QUESTDB_REST")
    if url is None and "STAGE1_QUESTDB_HOST" in given:
        url = f"http://{given['STAGE1_QUESTDB_HOST']}:9000"
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket without its other one, or around no address
        parts = urlsplit("")
    base = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    if not base or parts.query or parts.fragment:
        raise SettingsError(
            "STAGE1_QUESTDB_REST is not a base URL such as http://host:9000.",
            next_step="put the login into STAGE1_QUESTDB_USER and STAGE1_QUESTDB_PASSWORD.",
        )
    try:
        _port("QuestDB", str(parts.port or 9000))
    except ValueError:
        raise SettingsError(
            "The port in STAGE1_QUESTDB_REST is not a number from 1 to 65535.",
            next_step="write a base URL such as http://host:9000.",
        ) from None
    return QuestDBSettings(
        url=url.rstrip("/"),
        user=given.get("STAGE1_QUESTDB_USER"),
        password=given.get("STAGE1_QUESTDB_PASSWORD"),
        connect_timeout_ms=_milliseconds(given, "STAGE1_QUESTDB_CONNECT_TIMEOUT_MS", 5_000),
        rest_timeout_ms=_milliseconds(given, "STAGE1_QUESTDB_REST_TIMEOUT_MS", 60_000),
    )


def _local(directory: Path) -> tuple[PostgresSettings | None, QuestDBSettings | None]:
    """Return the local servers that run; raises SettingsError where none does."""
    from stage1_schema.servers import state  # noqa: PLC0415 - not needed in a deploy

    found = state.read(directory)
    if not (found and (found.postgres or found.questdb)):
        raise SettingsError(
            f"PostgreSQL and QuestDB are not set and no local server runs in {directory}.",
            next_step=f"make up, or set {_VARIABLES['PostgreSQL']}, and {_VARIABLES['QuestDB']}.",
        )
    postgres = questdb = None
    if (record := found.postgres) is not None:
        parameters = {
            "host": record.host,
            "port": str(record.port),
            "dbname": record.database,
            "user": record.user,
            "password": record.password,
        }
        postgres = PostgresSettings(parameters, local=True)
    if found.questdb is not None:
        login = (found.questdb.user or None, found.questdb.password or None)
        questdb = QuestDBSettings(found.questdb.url, *login, local=True)
    return postgres, questdb


def _not_set(store: str, *, local: bool) -> Any:  # noqa: ANN401 - it stands for a store
    other = "QuestDB" if store == "PostgreSQL" else "PostgreSQL"
    if local:
        found = f"The local {other} runs, and the local {store} does not."
        return Missing(SettingsError(found, next_step="make up."))
    leave_out = "leave QuestDB out: alembic -x questdb=skip (or stage1 upgrade -x questdb=skip)"
    unset = "unset STAGE1_QUESTDB_REST and STAGE1_QUESTDB_HOST to use the servers of make up"
    return Missing(
        SettingsError(
            f"{other} is set and {store} is not set; the local servers of make up are never used"
            " beside one that is set.",
            next_step=f"set {_VARIABLES[store]}, or {leave_out if store == 'QuestDB' else unset}.",
        )
    )


def _names(given: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    return ", ".join(name for name in wanted if name in given)


def _port(store: str, value: str) -> None:
    ports = value.split(",")  # libpq takes one for each of several hosts
    if not all(whole(port, MAX_PORT) for port in ports):
        raise SettingsError(
            f"The port of {store} is {value!r}, not a number from 1 to {MAX_PORT}.",
            next_step="correct it in the environment or in .env.",
        )


def _milliseconds(given: Mapping[str, str], name: str, default: int) -> int:
    value = given.get(name, str(default))
    if not (number := whole(value)):
        raise SettingsError(
            f"{name} is {value!r}, not a whole number of milliseconds.",
            next_step=f"set it to {default} or unset it.",
        )
    return number


def whole(value: str, most: int = MAX_INTEGER) -> int | None:
    """Return the whole number that `value` is, in ASCII and up to `most`; None for another text."""
    short = value.isascii() and value.isdecimal() and len(value) <= len(str(most))
    return int(value) if short and int(value) <= most else None
