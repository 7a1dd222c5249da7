"""The QuestDB client for the settings in force, and the words for its errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from stage1_schema.errors import QuestDBError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from questdb_ddl import Client
    from stage1_schema.settings import QuestDBSettings


def client(
    settings: QuestDBSettings,
    *,
    timeout_ms: int | None = None,
    told: Callable[[str], None] | None = None,
) -> Client:
    """Return a client that keeps one connection; nothing is sent yet.

    `timeout_ms` is for an answer, instead of the settings' own. `told` gets every statement that
    changes something, before it is sent.
    """
    from questdb_ddl import Client  # noqa: PLC0415 - a run without QuestDB does not pay for it

    return Client(
        settings.url,
        user=settings.user,
        password=settings.password,
        connect_timeout_ms=settings.connect_timeout_ms,
        timeout_ms=timeout_ms or settings.rest_timeout_ms,
        told=told,
    )


@contextmanager
def plain_questdb_errors() -> Iterator[None]:
    """Turn an error of questdb_ddl inside the block into a QuestDBError of the same text."""
    from questdb_ddl import (  # noqa: PLC0415 - as above
        DetachedPartitions,
        QuestDBDDLError,
        Unreachable,
    )

    try:
        yield
    except DetachedPartitions as error:  # of a command without that option
        name = error.table
        raise QuestDBError(
            str(error),
            next_step="attach them, or drop the table by itself: stage1 questdb drop "
            f"{name} --give-up-detached {name} --confirm {name}.",
        ) from error
    except Unreachable as error:
        step = "start it, or correct STAGE1_QUESTDB_REST; then run the same command again."
        raise QuestDBError(str(error), next_step=step) from error
    except QuestDBDDLError as error:
        raise QuestDBError(str(error)) from error
