"""Take QuestDB tables away: shown with their rows, confirmed by name, watched afterwards."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from questdb_ddl import (
    DeclarationError,
    Hazard,
    Kind,
    QuestDBDDLError,
    drop,
    live_tables,
    quote,
    retire,
    unseen,
)
from questdb_ddl.detached import LISTED
from questdb_ddl.dropping import dropping_name
from questdb_ddl.introspect import table_names
from questdb_ddl.rebuild_names import rebuilt_table
from stage1_schema.errors import ConfirmationError, QuestDBError, Stage1Error
from stage1_schema.locks import alone_with_series
from stage1_schema.ops import owned, series
from stage1_schema.questdb import client, plain_questdb_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from questdb_ddl import Client, LiveTable
    from stage1_schema.settings import Settings

WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Target:
    """One table that would be dropped, with its rows of the moment; a suspended one may hold more.

    `detached` names its detached partitions, whose rows are not among `rows`; `views` are the
    materialized views that would be invalid then; `refusal` says why it must not be dropped, and
    `foreign` why it is not what its record says, or cannot be named in a statement. `unread` says
    why it could not be read in full.
    """

    table: str
    rows: int
    suspended: bool = False
    detached: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    refusal: str | None = None
    foreign: str | None = None
    unread: str | None = None

    def __str__(self) -> str:
        more = ", and what its suspended log holds" if self.suspended else ""
        if self.unread:
            more += f", and what cannot be counted: {self.unread}"
        if self.detached:
            more += f", and detached partitions {', '.join(self.detached[:LISTED])}"
        if self.views:
            more += f"; {Hazard.INVALIDATES_VIEWS}: {', '.join(self.views)}"
        return f"{self.table} ({self.rows:,} rows{more})"


@dataclass(frozen=True)
class DropPlan:
    """What would go, the word that confirms it, and what is left and why.

    Detached partitions of the tables in `give_up_detached` are deleted with them; views are
    invalidated where `allow` names that hazard.
    """

    what: str
    confirmation: str
    targets: tuple[Target, ...]
    left: tuple[str, ...] = ()
    give_up_detached: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """All rows that would go."""
        return sum(target.rows for target in self.targets)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why it is not carried out, empty where it is."""
        found = [target.refusal for target in self.targets if target.refusal]
        views = dict.fromkeys(view for target in self.targets for view in target.views)
        if views and Hazard.INVALIDATES_VIEWS not in self.allow:
            found.append(
                f"it {Hazard.INVALIDATES_VIEWS} ({', '.join(views)}): drop these first, or allow "
                f"that by name (--allow '{Hazard.INVALIDATES_VIEWS}')"
            )
        return tuple(found)

    @property
    def summary(self) -> str:
        """One line for people."""
        listed = ", ".join(map(str, self.targets)) or "no table"
        left = f"; left: {', '.join(self.left)}" if self.left else ""
        return f"{self.what}: {listed}{left}"


@dataclass(frozen=True)
class Dropped:
    """What was done: tables dropped, tables kept under another name, and tables that came back."""

    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    came_back: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        return asdict(self)


def plan_table(
    settings: Settings,
    name: str,
    *,
    give_up_detached: tuple[str, ...] = (),
    allow: tuple[str, ...] = (),
) -> DropPlan:
    """Return what dropping one table takes. Raises Stage1Error when it does not stand."""
    found = _targets(settings, {name.lower()}, give_up_detached)
    if not found:
        raise Stage1Error(f"There is no table {name}.", next_step="stage1 status lists them.")
    claimed = series.catalogue(settings, standing=[name]).find(name)
    who = " and ".join(dict.fromkeys(map(str, claimed.claims))) if claimed else ""
    what = f"table {name}" + (f", claimed as {who}" if who else "")
    return DropPlan(what, name, found, give_up_detached=give_up_detached, allow=allow)


def plan_dataset(
    settings: Settings,
    slug: str,
    *,
    give_up_detached: tuple[str, ...] = (),
    allow: tuple[str, ...] = (),
) -> DropPlan:
    """Return what dropping the tables of a dataset, its runs and simulations takes."""
    declarations = series.catalogue(settings)
    mine = declarations.of_dataset(slug)
    if slug not in declarations.datasets:
        raise Stage1Error(f"There is no dataset {slug}.", next_step="stage1 dataset list.")
    names = {found.table.name.lower() for found in mine if found.datasets == (slug,)}
    left = [
        f"{found.table.name} (claimed by {', '.join(d for d in found.datasets if d != slug)} too)"
        for found in mine
        if found.datasets != (slug,)
    ]
    targets, foreign = _ours(_targets(settings, names, give_up_detached, declarations))
    what = f"tables of dataset {slug}"
    return DropPlan(what, slug, targets, (*left, *foreign), give_up_detached, allow)


def plan_registered(
    settings: Settings, *, give_up_detached: tuple[str, ...] = (), allow: tuple[str, ...] = ()
) -> DropPlan:
    """Return what dropping every declared table takes: shared, of datasets, runs, simulations."""
    declarations = series.catalogue(settings)
    names = {table.name.lower() for table in declarations.tables}
    targets, foreign = _ours(_targets(settings, names, give_up_detached, declarations))
    what = "all registered tables"
    return DropPlan(what, "registered", targets, foreign, give_up_detached, allow)


def plan_everything(
    settings: Settings, *, give_up_detached: tuple[str, ...] = (), allow: tuple[str, ...] = ()
) -> DropPlan:
    """Return what dropping every table of the server takes; its own tables stay."""
    targets, left = _ours(_targets(settings, None, give_up_detached))
    return DropPlan(
        f"everything in QuestDB {settings.questdb.where}",
        settings.questdb.where,
        targets,
        left,
        give_up_detached,
        allow,
    )


def _ours(targets: tuple[Target, ...]) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """Return the targets that are what their records say, and what is left of the others."""
    foreign = (f"{target.table} ({target.foreign})" for target in targets if target.foreign)
    return tuple(target for target in targets if not target.foreign), tuple(foreign)


def _targets(
    settings: Settings,
    names: Collection[str] | None,
    given_up: Collection[str],
    declarations: owned.Catalogue | None = None,
) -> tuple[Target, ...]:
    """Return what stands of `names`; what a killed drop left of a table counts as that table.

    Views come first, since a table can be their base. With `declarations`, a target whose columns
    are not those of its record is `foreign`.
    """
    left_of = {dropping_name(name): name for name in names or ()}
    with plain_questdb_errors(), client(settings.questdb) as questdb:
        wanted = names and {*names, *left_of}
        if wanted:
            _refuse_unfinished(questdb, wanted)
        live = live_tables(questdb, wanted, counts=True)
    views = sorted(name for name, table in live.items() if table.kind is not Kind.TABLE)
    # Of two that stand, the one that a killed drop left must not be in the way of the other.
    tables = sorted(live.keys() - views, key=lambda name: (not name.endswith("__dropping"), name))
    found: dict[str, Target] = {}
    for name in (*views, *tables):
        whose = left_of.get(name, name)
        shown = live[whose].name if whose in live else whose
        recorded = declarations.find(whose) if declarations else None
        before = found.get(shown, Target(shown, 0))
        given = {*given_up, name} if shown.lower() in map(str.lower, given_up) else given_up
        found[shown] = Target(
            shown,
            before.rows + (live[name].row_count or 0),
            before.suspended or live[name].suspended,
            (*before.detached, *map(str, live[name].detached or ())),
            tuple(dict.fromkeys((*before.views, *_views(live[name], live)))),
            before.refusal or unseen(live[name], given),
            before.foreign or _foreign(live[name], recorded),
            before.unread or live[name].unread,
        )
    return tuple(found.values())


def _foreign(live: LiveTable, recorded: owned.Owned | None) -> str | None:
    try:
        quote(live.name)
    except DeclarationError as error:
        return str(error).rstrip(".")
    return recorded.foreign(live) if recorded else None


def _views(table: LiveTable, dropped: Collection[str]) -> Iterator[str]:
    """Yield the materialized views that read `table` and are not dropped themselves."""
    return (view for view in table.views or () if view.lower() not in dropped)


def _refuse_unfinished(questdb: Client, names: Collection[str]) -> None:
    """Raise Stage1Error where rows of `names` stand in tables of an unfinished rebuild."""
    for name in table_names(questdb):
        made = rebuilt_table(name)
        if made and made[0].lower() in names and name.lower() not in names:
            table, trims = made
            finish = "retention apply" if trims else f"questdb rebuild {table}"
            raise Stage1Error(
                f"{name} belongs to an unfinished rebuild of {table} and holds rows of it.",
                next_step=f"finish that first: stage1 {finish}.",
            )


def confirm(intent: DropPlan, given: str | None, command: str) -> None:
    """Raise ConfirmationError, with what would go, unless the plan's word was given.

    Raises QuestDBError for a plan that is refused, whatever was given.
    """
    refuse(intent)
    if given != intent.confirmation:
        raise ConfirmationError(
            f"This takes away {intent.summary}. It was not confirmed.",
            next_step=f"{command} --confirm {intent.confirmation}.",
        )


def refuse(intent: DropPlan) -> None:
    """Raise QuestDBError for a plan that is refused."""
    if intent.refusals:
        raise QuestDBError(f"Nothing was dropped: {'; '.join(intent.refusals)}.")


def carry_out(
    settings: Settings,
    intent: DropPlan,
    *,
    keep: bool,
    progress: Callable[[str], None] = lambda _: None,
    watch_seconds: float = WATCH_SECONDS,
) -> Dropped:
    """Drop the tables, or with `keep` rename those with rows; then watch who brings one back.

    Raises QuestDBError, for a plan with refusals before anything is changed; run again it goes on
    where it stopped.
    """
    refuse(intent)
    dropped: list[str] = []
    kept: list[str] = []
    try:
        with alone_with_series(settings.postgres), client(settings.questdb) as questdb:
            for target in intent.targets:
                progress(target.table)
                if keep:
                    outcome = retire(
                        questdb,
                        target.table,
                        datetime.now(UTC),
                        give_up_detached=intent.give_up_detached,
                    )
                    (kept if outcome.kept_as else dropped).append(outcome.kept_as or target.table)
                else:
                    drop(questdb, target.table, give_up_detached=intent.give_up_detached)
                    dropped.append(target.table)
            back = _came_back(questdb, {t.table.lower() for t in intent.targets}, watch_seconds)
    except QuestDBDDLError as error:
        raise QuestDBError(str(error)) from error
    return Dropped(tuple(dropped), tuple(kept), back)


def refuse_return(done: Dropped) -> None:
    """Raise Stage1Error where a writer created a table again, which it does without its keys."""
    if done.came_back:
        raise Stage1Error(
            f"A writer created {', '.join(done.came_back)} again, by day and without "
            "deduplication.",
            next_step="stop the writer, or set line.auto.create.new.tables=false; then stage1 "
            f"questdb drop {done.came_back[0]}.",
        )


def _came_back(questdb: Client, names: Collection[str], seconds: float) -> tuple[str, ...]:
    """Return which of `names` a writer created again within `seconds`."""
    deadline = time.monotonic() + seconds
    found: set[str] = set()
    while names and time.monotonic() < deadline:
        time.sleep(0.2)
        found |= {name for name in live_tables(questdb, names) if name in names}
    return tuple(sorted(found))
