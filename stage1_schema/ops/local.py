"""The local servers with everything in them: started, migrated, and with the sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stage1_schema import settings as stage1_settings
from stage1_schema.ops import migrate, sample
from stage1_schema.servers import local as servers
from stage1_schema.servers.account import become_owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from stage1_schema.servers.state import LocalState
    from stage1_schema.settings import PostgresSettings, Settings


@dataclass(frozen=True)
class Up:
    """The local stores, whether the sample was loaded just now, and what root opened for them."""

    settings: Settings
    sample_loaded: bool
    opened: tuple[str, ...]


def up(
    *,
    postgres_port: int | None = None,
    questdb_port: int | None = None,
    with_sample: bool = True,
    login: bool | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Up:
    """Start what does not run, migrate to head, load the sample where it is missing.

    Always the local servers, whatever else the environment names. Raises Stage1Error.
    """
    directory = stage1_settings.local_directory()
    become_owner(directory)
    roles = stage1_settings.roles()
    state = servers.up(
        directory,
        roles,
        postgres_port=postgres_port,
        questdb_port=questdb_port,
        login=login,
        progress=progress,
    )
    owner = stage1_settings.load({"STAGE1_LOCAL_DIR": str(directory)}, directory=directory)
    stores = replace(owner, roles=roles)
    migrate.upgrade(stores, progress=progress)
    loaded = with_sample and sample.load(_as_app(stores, state), stores.questdb, progress)
    return Up(stores, loaded, tuple(servers.opened(directory)))


def down(*, clean: bool = False) -> list[str]:
    """Stop the local servers; with `clean` remove them and their data. Raises ServerStartError.

    Return what root had opened for them and stays open, because servers elsewhere use it.
    """
    directory = stage1_settings.local_directory()
    become_owner(directory)
    if not clean:
        return servers.down(directory)
    servers.clean(directory)
    return []


def _as_app(stores: Settings, state: LocalState) -> PostgresSettings:
    """Return the settings of the application's role: the sample goes in as an exporter's would."""
    record = state.postgres
    login = {"user": record.app_user, "password": record.app_password} if record else {}
    return replace(stores.postgres, parameters={**stores.postgres.parameters, **login})
