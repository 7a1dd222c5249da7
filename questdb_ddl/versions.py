"""Which servers this was tested with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from questdb_ddl.client import Client

NEWEST_TESTED = (9, 3, 4)
"""A newer server may have other files, kinds of indexes or answers."""


def untested(client: Client) -> str | None:
    """Return that the server is newer than the newest tested one, None where it is not.

    A build that names no version may be newer too.
    """
    newest = ".".join(map(str, NEWEST_TESTED))
    version = client.version_numbers()
    if not version:
        return f"this QuestDB names no version, and the newest tested one is {newest}"
    if version > NEWEST_TESTED:
        return f"QuestDB {client.server_version()} is newer than {newest}, the newest tested one"
    return None
