"""QuestDB's REST interface over one kept-alive connection."""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote_plus, unquote, urlsplit
from uuid import uuid4

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, ProtocolError, ReadTimeoutError

from questdb_ddl.errors import (
    AuthenticationFailed,
    DeclarationError,
    QueryError,
    TableSuspended,
    Unreachable,
)
from questdb_ddl.names import literal
from questdb_ddl.render import resume_wal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

_ANSWERS = ("error", "dataset", "ddl", "dml")
_NO_URL = "The QuestDB URL is not one; it looks like http://host:9000."
_REFUSED_LOGIN = (401, 403)
_OVERTAKEN = "cached query plan cannot be used because table schema has changed"
_OVERTAKEN_WAITS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
HEADER_BUFFER = 64448
"""What http.request.header.buffer.size is in bytes unless server.conf says otherwise."""

SAFE_BYTES = HEADER_BUFFER // 2 - 1024
"""How long a statement may be as it is sent, with room for the rest of the request.

From QuestDB 9 on the request line takes half of the buffer, on 8.2.0 all of it.
"""


class Client:
    """A connection to one QuestDB server; a context manager. Not to be shared by threads.

    `url` is the base URL such as `http://127.0.0.1:9000`; a user and a password may stand in it
    or be given on their own, and neither shows in an error or a repr. Times are in milliseconds.
    Nothing is sent before the first statement. Proxies of the environment are not used. `told`
    gets the text of every `execute` before it is sent.

    Every method raises Unreachable when nothing, or something that is not QuestDB, answers or
    the answer takes longer than `timeout_ms`; AuthenticationFailed for a refused login; and
    QueryError for a statement that the server refused.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        connect_timeout_ms: int = 5000,
        timeout_ms: int = 60000,
        told: Callable[[str], None] | None = None,
    ) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in {"http", "https"}:
            raise DeclarationError(_NO_URL)
        shown_host = f"[{host}]" if ":" in host else host
        self.url = (
            f"{parts.scheme}://{shown_host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
        )
        self._timeout_ms = timeout_ms
        self._told = told
        user = user or unquote(parts.username or "")
        password = password or unquote(parts.password or "")
        self._headers = urllib3.make_headers(user_agent="questdb_ddl")
        if user or password:
            # QuestDB reads a login as UTF-8, and urllib3 would write it as Latin-1. What of the
            # environment is no UTF-8 is sent as it came.
            login = b64encode(f"{user}:{password}".encode(errors="surrogateescape"))
            self._headers["authorization"] = f"Basic {login.decode()}"
        self._path = f"{parts.path.rstrip('/')}/exec"
        try:
            self._pool = urllib3.connectionpool.connection_from_url(
                self.url,
                maxsize=1,
                block=True,
                timeout=urllib3.Timeout(connect=connect_timeout_ms / 1000, read=timeout_ms / 1000),
            )
        except LocationParseError:
            raise DeclarationError(_NO_URL) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def close(self) -> None:
        """Close the connection; the next statement would open another one."""
        self._pool.close()

    def execute(self, sql: str) -> None:
        """Run one statement without rows; on a WAL table it returns before it is applied."""
        if self._told is not None:
            self._told(sql)
        self._answer(sql)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of one query as dicts by column name; timestamps are ISO text in UTC.

        >>> client.query("select x, x * 1.5 y from long_sequence(2)")
        [{'x': 1, 'y': 1.5}, {'x': 2, 'y': 3.0}]
        """
        answer = self._answer(sql, _uncached(sql))
        names = [column["name"] for column in answer.get("columns", ())]
        return [dict(zip(names, row, strict=True)) for row in answer.get("dataset", ())]

    def stream(self, sql: str, form: str) -> Iterator[bytes]:
        """Yield the rows of a query as a file in pieces; `form` is `csv` or `parquet`.

        A failure after the first rows can only cut the file: check what was written.
        """
        path = f"{self._path.removesuffix('/exec')}/exp"
        try:
            response = self._pool.request(
                "GET",
                f"{path}?query={_encoded(_uncached(sql))}&fmt={form}",
                headers=self._headers,
                redirect=False,
                retries=False,
                preload_content=False,
            )
            try:
                if response.status != HTTPStatus.OK:
                    raise QueryError(sql, response.data.decode(errors="replace"))
                yield from response.stream(2**20)
            finally:
                response.release_conn()
        except HTTPError as error:
            self._raise_if_too_long(sql, error)
            raise Unreachable(
                f"QuestDB at {self.url} broke the export off: {_cause(error)}."
            ) from None

    def wait_for(self, table: str) -> None:
        """Wait until everything sent to a WAL table is applied; returns at once for other tables.

        Raises TableSuspended when the table stopped applying, QueryError when there is none of
        that name.
        """
        try:
            self.query(f"select wait_wal_table({literal(table)})")
        except QueryError as error:
            if "suspended" in error.message:
                raise self._suspension(table) from None
            raise

    def server_version(self) -> str:
        """Return the server's version such as `9.3.4`; `unknown` where its build names none."""
        build = next(iter(self.query("select build()")[0].values()))
        found = re.search(r"QuestDB (\S+?),", str(build))
        return found[1] if found else "unknown"

    def version_numbers(self) -> tuple[int, ...]:
        """Return the server's version such as `(9, 3, 4)`; empty where its build names none."""
        return tuple(int(part) for part in re.findall(r"\d+", self.server_version())[:3])

    def _suspension(self, table: str) -> TableSuspended:
        for row in self.query("select * from wal_tables()"):
            if row["name"].lower() == table.lower():
                return TableSuspended(table, str(row.get("errorMessage") or ""), remedy(row))
        return TableSuspended(table)

    def _raise_if_too_long(self, sql: str, error: HTTPError) -> None:
        """Name the length of a statement that the server hung up on."""
        if isinstance(error, ProtocolError) and sent_bytes(sql) > SAFE_BYTES:
            raise QueryError(
                sql,
                f"it has {len(sql):,} characters, {sent_bytes(sql):,} bytes as sent, and the "
                "server closed the connection: it takes half of http.request.header.buffer.size",
            ) from None

    def _answer(self, sql: str, sent: str | None = None) -> dict[str, Any]:
        """Return the server's answer; a statement that a change of its table overtook goes again.

        A writer that adds columns one after the other outruns the server's own tries. Nothing was
        carried out then: the error comes before the first row.
        """
        for seconds in _OVERTAKEN_WAITS:
            try:
                return self._answer_once(sql, sent)
            except QueryError as error:
                if _OVERTAKEN not in error.message:
                    raise
            time.sleep(seconds)
        return self._answer_once(sql, sent)

    def _answer_once(self, sql: str, sent: str | None) -> dict[str, Any]:
        try:
            response = self._pool.request(
                "GET",
                f"{self._path}?query={_encoded(sent or sql)}",
                headers=self._headers,
                redirect=False,
                retries=False,
            )
        except ReadTimeoutError:
            raise Unreachable(
                f"QuestDB at {self.url} did not answer within {self._timeout_ms} ms; the statement "
                "may still be running there."
            ) from None
        except HTTPError as error:
            self._raise_if_too_long(sql, error)
            raise Unreachable(
                f"QuestDB at {self.url} cannot be reached: {_cause(error)}."
            ) from None
        if response.status in _REFUSED_LOGIN:
            raise AuthenticationFailed(f"QuestDB at {self.url} refused the user or the password.")
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not any(key in answer for key in _ANSWERS):
            raise Unreachable(
                f"What answers at {self.url} is not QuestDB (HTTP {response.status})."
            )
        # An error can come with HTTP 200, and after the first rows of an answer.
        if "error" in answer:
            position = answer.get("position")
            raise QueryError(
                sql, str(answer["error"]), position if isinstance(position, int) else None
            )
        return answer


def sent_bytes(sql: str) -> int:
    """Return how long a statement is in a request, which is what the server limits."""
    return len(_encoded(sql))


def _encoded(sql: str) -> str:
    return quote_plus(sql, safe="(),*'")


def _uncached(sql: str) -> str:
    """Return the query with a text that no other has.

    The server keeps compiled queries by their text, across connections, and some hold on to a
    table that was dropped or renamed since: `wal_transactions('t')` then fails with "table is
    dropped" although another table has the name. Tried on QuestDB 9.3.4.
    """
    return f"{sql}\n-- {uuid4().hex}"


def remedy(row: Mapping[str, Any]) -> str:
    """Return the statement that resumes the suspended table of a row of `wal_tables()`.

    A server killed during DROP INDEX leaves files that each later try stumbles over: that one
    transaction has to be given up. Tried on QuestDB 9.3.4.
    """
    if is_cut_off(row):
        return resume_wal(row["name"], row["writerTxn"] + 2)
    return resume_wal(row["name"])


def is_cut_off(row: Mapping[str, Any]) -> bool:
    """Tell whether a row of `wal_tables()` is suspended by what a kill left of a DROP INDEX.

    No other transaction has that error, and that one is an ALTER without rows.
    """
    return bool(row["suspended"]) and "cannot remove index" in str(row.get("errorMessage"))


def _cause(error: BaseException) -> str:
    while isinstance(error.__context__, OSError) and error.__context__.strerror:
        error = error.__context__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    # urllib3 writes "<connection object>: what happened".
    return " ".join(str(error).split(">: ")[-1].split()).rstrip(".")
