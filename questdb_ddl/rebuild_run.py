"""The steps of a rebuild: copy, swap by rename, carry over what came meanwhile, verify.

How far one came stands in the names alone (`Names`): each step finds out for itself whether it is
done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from questdb_ddl import render
from questdb_ddl.copying import Copy
from questdb_ddl.detached import refuse_detached
from questdb_ddl.diff import compare
from questdb_ddl.errors import QueryError, TableSuspended, VerificationFailed
from questdb_ddl.introspect import live_tables, table_names
from questdb_ddl.names import literal, quote
from questdb_ddl.rebuild_plan import target_for
from questdb_ddl.spec import Column

if TYPE_CHECKING:
    from collections.abc import Callable

    from questdb_ddl.client import Client
    from questdb_ddl.rebuild_names import Names
    from questdb_ddl.spec import LiveTable, Table

ROUNDS = 3
"""How often the copy of a table that is written all the time is gone through before the swap."""

_SETTLE_SECONDS = 0.5
"""How long a commit that was under way during a rename may take to be seen.

A request that is not as far by then is refused by QuestDB and has to be sent again ("table renamed
during request", HTTP 503).
"""

_LISTED_SECONDS = 10.0
"""How long a table whose name is taken may take to be listed."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did. `kept_as` is the old table's name now, None where nothing was done.

    `values` are those whose rows a `trim` left out.
    """

    table: str
    kept_as: str | None = None
    rows: int = 0
    moved: int = 0
    late: int = 0
    values: tuple[str, ...] = ()


class Run:
    """One rebuild, from wherever the names say that it stands."""

    def __init__(
        self,
        client: Client,
        declared: Table,
        names: Names,
        on_step: Callable[[str], None],
        *,
        only: str = "",
        kept_as: str | None = None,
    ) -> None:
        """Keep what `rebuild` was given; `only` chooses rows, `kept_as` is the old table's name."""
        self.only = only
        self.kept_as = kept_as
        self.client = client
        self.declared = declared
        self.names = names
        self.told = on_step
        self.moved = 0
        self.merged: int | None = None  # the old table's last transaction that was carried over

    def finish(self) -> Rebuilt:
        """Go on to the end; raises VerificationFailed and TableSuspended."""
        self._cancel_orphans()
        names = self.names
        if not self._stands(names.old):
            if not self._stands(names.table):
                raise VerificationFailed(
                    f"{names.new} stands but {names.table} does not: somebody else dropped or "
                    f"renamed it. Bring it back, or rename {names.new} by hand."
                )
            clean = self._copy_while_written()
            self._rename(names.table, names.old)
            self.merged = self._after_rename(names.old, clean)
        if self._stands(names.new):
            gaps = self._gaps()
            alone = not (gaps or self._stands(names.seen(0)) or self._stands(names.table))
            self._merge_old(alone=alone)
            for number in gaps:  # of a rebuild that was killed between the two renames
                self._carry(names.seen(number), alone=False)
            while self._stands(names.new):
                self._take_the_name()
        return self._conclude()

    def _stands(self, name: str) -> LiveTable | None:
        return live_tables(self.client, [name]).get(name.lower())

    def _rename(self, name: str, new: str) -> None:
        self.client.execute(render.rename_table(name, new))
        self.client.wait_for(new)
        self.told(f"renamed {name} to {new}")

    def _cancel_orphans(self) -> None:
        """Stop copies that a killed rebuild left running on the server, and wait for their end."""
        prefix = f'insert into "{self.names.new}"'.lower()
        for _ in range(600):
            running = [
                row
                for row in self.client.query("select query_id, query from query_activity()")
                if str(row["query"]).lower().startswith(prefix)
            ]
            if not running:
                return
            for row in running:
                try:
                    self.client.execute(f"CANCEL QUERY {row['query_id']}")
                except QueryError:  # it ended by itself
                    continue
            time.sleep(0.1)
        raise VerificationFailed(
            f"A copy into {self.names.new} of an earlier rebuild does not end; see "
            "query_activity() and cancel it there."
        )

    def _transactions(self, name: str) -> int | None:
        """Return how many transactions were written to `name`; None for a table without WAL."""
        rows = self.client.query("select name, sequencerTxn from wal_tables()")
        return next((r["sequencerTxn"] for r in rows if r["name"].lower() == name.lower()), None)

    def _copy(self, source: str, target_name: str) -> Copy:
        """Return the copy of `source` into a table, which gets the columns that it lacks."""
        self.client.wait_for(source)
        found, target = self._stands(source), self._stands(target_name)
        if found is None or target is None:
            raise VerificationFailed(
                f"{source if found is None else target_name} went away during the rebuild."
            )
        for each in (found, target):
            if each.suspended:
                raise TableSuspended(each.name, remedy=each.remedy)
        self._widen(target, found)
        target = self._stands(target_name) or target
        # What came while the name was free is kept nowhere else: all of it stays.
        kept = source in {self.names.table, self.names.old}
        return Copy(
            self.client,
            found,
            target.to_table(),
            fix_timestamps=self.names.fixed,
            only=self.only if kept else "",
        )

    def _widen(self, table: LiveTable, like: LiveTable) -> None:
        """Add the columns of `like` that `table` lacks, in their order."""
        stamp = (like.designated_timestamp or "").lower()
        for column in like.columns:
            if table.column(column.name) is None and column.name.lower() != stamp:
                added = Column(column.name, column.type)
                self.client.execute(render.add_column(table.name, added))
                self.client.wait_for(table.name)

    def _copy_while_written(self) -> int | None:
        """Copy until nothing is written during a round, or as often as ROUNDS.

        Returns the last transaction that the copy is known to hold, None where there is none.
        """
        table = self.names.table
        for _ in range(ROUNDS):
            before = self._transactions(table)
            self._carry(table, alone=True)
            if before is not None and before == self._transactions(table):
                return before
        return None

    def _after_rename(self, name: str, copied: int | None) -> int | None:
        """Return the transaction of the rename if it follows the last copied one, else None."""
        if copied is None:
            return None
        later = self.client.query(
            f"select sequencerTxn, walId from wal_transactions({literal(name)}) "
            f"where sequencerTxn > {copied}"
        )
        # The rename is a transaction too; what changes no rows is of WAL -1.
        only_rename = len(later) == 1 and later[0]["walId"] < 0
        return int(later[0]["sequencerTxn"]) if only_rename else None

    def _carry(self, source: str, *, alone: bool) -> int:
        """Copy the months that differ, and return how many those were.

        Every value is looked at, also in the first round: what an earlier call copied can have been
        replaced since, with the same count and sums. `alone` tells that the new table holds nothing
        but rows of `source`, so that a month of other counts need not be looked at.
        """
        copy = self._copy(source, self.names.new)
        if moved := copy.insert_moved(self.names.new):
            self.moved += moved
            self.told(f"moved {moved:,} rows of {source} to where they belong")
        months = copy.months()
        total = sum(month.rows for month in months)
        copied = done = 0
        for month in months:
            done += month.rows
            found, there = copy.summary(self.names.new, month)
            same = found == there or bool(self.names.mode) or not alone
            if not same or copy.differs(self.names.new, month):
                copy.insert(self.names.new, month)
                copied += 1
                self.told(f"copied {done:,} of {total:,} rows of {source}")
        return copied

    def _merge_old(self, *, alone: bool) -> None:
        """Merge the old table; one that is still written gets its name back."""
        names = self.names
        try:
            self._merge(names.old, alone=alone)
        except VerificationFailed as error:
            if self._stands(names.table):
                raise
            self._rename(names.old, names.table)
            raise VerificationFailed(
                f"{names.table} was renamed and still written to, by a writer that keeps its "
                "connection. It has its name back and holds every row; stop the writers and run "
                "the rebuild again."
            ) from error

    def _merge(self, source: str, *, alone: bool) -> None:
        """Make the new table hold all rows of `source`, as nobody writes there any more."""
        for _ in range(2 * ROUNDS):
            before = self._transactions(source)
            if before is None or self.merged != before:
                copied = self._carry(source, alone=alone)
                if copied or before != self._transactions(source):
                    continue
                self.merged = before
            time.sleep(_SETTLE_SECONDS)
            if before == self._transactions(source):
                return
        raise VerificationFailed(
            f"{self.names.new} does not come to hold what {source} does; both stand. Look for a "
            "writer that still writes into it, then run the rebuild again."
        )

    def _take_the_name(self) -> None:
        """Give the new table the name, after the rows of whatever a writer created there.

        What was merged of a gap is kept beside it: what is not in there came at the last moment.
        The two renames follow each other at once, because writers are quick.
        """
        names = self.names
        if stray := self._stands(names.table):
            number = len(self._gaps())
            gap, seen = names.gap(number), names.seen(number)
            self.client.execute(render.drop_table(seen))
            self.client.wait_for(names.table)
            stamp = quote(stray.designated_timestamp or "")
            self.client.execute(
                f"CREATE TABLE {quote(seen)} AS (SELECT * FROM {quote(names.table)}) "
                f"TIMESTAMP({stamp}) PARTITION BY MONTH BYPASS WAL"
            )
            self._carry(seen, alone=False)
            self.client.execute(render.rename_table(names.table, gap))
        try:
            self.client.execute(render.rename_table(names.new, names.table))
        except QueryError:
            # A writer that took the name first is no error: it is merged next.
            if not self._stands(names.new) or not self._appears(names.table):
                raise
            return
        self.client.wait_for(names.table)
        self.told(f"renamed {names.new} to {names.table}")

    def _appears(self, name: str) -> bool:
        """Wait for a table whose name is taken: it is listed a moment later."""
        deadline = time.monotonic() + _LISTED_SECONDS
        while not (found := self._stands(name)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found is not None

    def _gaps(self) -> list[int]:
        stem = self.names.gap(0).lower().removesuffix("0")
        ends = [n[len(stem) :] for n in table_names(self.client, lambda n: n.startswith(stem))]
        return sorted(int(end) for end in ends if end.isdecimal())

    def _late_rows(self, source: str) -> int:
        """Bring over what was still written to the old table, until nothing comes any more."""
        late = 0
        while True:
            before = self._transactions(source)
            if before is None or self.merged != before:
                late += self._copy(source, self.names.table).insert_missing(self.names.table)
                self.merged = before
            time.sleep(_SETTLE_SECONDS)
            if before == self._transactions(source):
                return late

    def _gap_rows(self, number: int) -> int:
        gap, seen = self.names.gap(number), self.names.seen(number)
        late = 0
        while True:
            before = self._transactions(gap)
            copy = self._copy(gap, self.names.table)
            if (merged := self._stands(seen)) is None:  # it goes first when all is done
                return late
            self._widen(merged, copy.source)
            late += copy.insert_unless_in(self.names.table, seen)
            late += copy.insert_missing(self.names.table)
            time.sleep(_SETTLE_SECONDS)
            if before == self._transactions(gap):
                return late

    def _conclude(self) -> Rebuilt:
        """Look for late rows, verify, and give the old table its name for good."""
        names = self.names
        late = self._late_rows(names.old)
        gaps = self._gaps()
        late += sum(self._gap_rows(number) for number in gaps)
        for source in (names.old, *map(names.gap, gaps)):
            copy = self._copy(source, names.table)
            if missing := copy.missing_keys(names.table) + copy.missing_moved(names.table):
                raise VerificationFailed(
                    f"{missing:,} rows of {source} are not in {names.table}; both stand. Run the "
                    "rebuild again."
                )
        live = live_tables(self.client, [names.table], counts=True)[names.table.lower()]
        comparison = compare(target_for(self.declared, live), live)
        if not comparison.equal:
            raise VerificationFailed(
                f"{names.table} was rebuilt but differs: {comparison}. The old one is {names.old}.",
                comparison.differences,
            )
        for number in gaps:
            refuse_detached(self.client, [names.gap(number)])
            # The gap goes last: a rerun finds both by it.
            self.client.execute(render.drop_table(names.seen(number)))
            self.client.execute(render.drop_table(names.gap(number)))
            self.told(f"dropped {names.gap(number)}: all of its rows are in {names.table}")
        kept = self.kept_as or names.kept(datetime.now(UTC))
        self._rename(names.old, kept)
        return Rebuilt(names.table, kept, live.row_count or 0, self.moved, late)
