"""What a replay looks for at its end: folds that are missing, trades that are left over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stage1_schema.ops.spool.contract import (
    DATASETS,
    INDICATOR_DATASETS,
    STAGED_TABLES,
    UPSERT_DATASET,
)
from stage1_schema.ops.spool.parents import DATASET_TARGETS
from stage1_schema.ops.spool.report import Incomplete, Surplus

if TYPE_CHECKING:
    import psycopg

    from stage1_schema.ops.spool.report import Report

_INCOMPLETE = """
SELECT r.run_id::text, (r.summary_metrics ->> 'folds')::numeric::bigint, count(f.run_id)
  FROM walkforward_runs r LEFT JOIN walkforward_folds f ON f.run_id = r.run_id
 WHERE r.run_id IN (SELECT run_id FROM spool_walkforward_runs UNION
                    SELECT run_id FROM spool_walkforward_folds)
   AND jsonb_typeof(r.summary_metrics -> 'folds') = 'number'
   AND (r.summary_metrics ->> 'folds')::numeric BETWEEN 0 AND 1e15
 GROUP BY r.run_id
HAVING count(f.run_id) < (r.summary_metrics ->> 'folds')::numeric
 ORDER BY 1
"""
# The trades of the latest save are those that follow the last row of their simulation; where that
# stands once in the file, they are all of the file's. A save that did not arrive whole, by what
# its buckets say, or without a single trade, has no surplus yet. Nothing of a simulation is pruned
# while one of its trades is in quarantine; where no bucket says how many there are, any piece
# behind its row may be one.
_WHOLE = """
WITH waiting AS (
    SELECT CASE WHEN key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN key::uuid END
               AS trade_id
      FROM spool_quarantine, unnest(string_to_array(row_key, ',')) AS key
     WHERE state = 'open' AND target = 'simulation_trades'
), untold AS (
    SELECT max(position) AS last FROM spool_quarantine
     WHERE state = 'open' AND source = %(source)s AND row_key IS NULL
       AND (target = 'simulation_trades' OR target IS NULL AND kind <> 'refused')
), saved AS (
    SELECT simulation_id, max(position) AS last, count(DISTINCT position) > 1 AS again
      FROM spool_simulation_runs WHERE state IN ('o', 'd') GROUP BY 1
), held AS (
    SELECT t.simulation_id, trade_id FROM waiting JOIN simulation_trades t USING (trade_id)
     UNION
    SELECT t.simulation_id, trade_id FROM waiting JOIN spool_simulation_trades t USING (trade_id)
), current AS (
    SELECT s.simulation_id, t.trade_id
      FROM saved s JOIN spool_simulation_trades t USING (simulation_id)
     WHERE t.state IN ('o', 'd', 'q') AND (NOT s.again OR t.position > s.last)
     UNION
    SELECT simulation_id, trade_id FROM held
), buckets AS (
    SELECT simulation_id, side, trade_count FROM spool_simulation_trade_buckets
     WHERE state IN ('o', 'm')
     UNION ALL
    SELECT simulation_id, side, trade_count FROM simulation_trade_buckets b
     WHERE NOT EXISTS (SELECT FROM spool_simulation_trade_buckets s
                        WHERE s.simulation_id = b.simulation_id AND s.side = b.side
                          AND s.state IN ('o', 'm'))
), expected AS (
    SELECT b.simulation_id,
           coalesce(max(b.trade_count) FILTER (WHERE b.side = 'all'),
                    max(b.trade_count) FILTER (WHERE b.side = 'dual'),
                    sum(b.trade_count)) AS trades
      FROM buckets b JOIN saved USING (simulation_id) GROUP BY 1
), whole AS (
    SELECT s.simulation_id,
           simulation_id IN (SELECT simulation_id FROM held)
           OR max(e.trades) IS NULL AND coalesce(u.last > s.last, false) AS waits
      FROM saved s
     CROSS JOIN untold u
      LEFT JOIN expected e USING (simulation_id)
      LEFT JOIN current c USING (simulation_id)
     GROUP BY 1, s.last, u.last
    HAVING count(c.trade_id) >= greatest(max(e.trades), 1)
)
"""
_SURPLUS = f"""
{_WHOLE}
SELECT t.simulation_id, waits, array_agg(t.trade_id)
  FROM whole JOIN simulation_trades t USING (simulation_id)
 WHERE NOT EXISTS (SELECT FROM current c WHERE c.trade_id = t.trade_id)
 GROUP BY 1, 2 ORDER BY 1
"""
_LEAVE_OUT = f"""
{_WHOLE}
UPDATE spool_simulation_trades t SET state = 'p'
  FROM whole w
 WHERE t.simulation_id = w.simulation_id AND NOT w.waits
   AND NOT EXISTS (SELECT FROM current c WHERE c.trade_id = t.trade_id)
"""


def incomplete_runs(connection: psycopg.Connection[Any], report: Report) -> None:
    """Report the runs of this replay that have fewer folds than their summary says."""
    rows = connection.execute(_INCOMPLETE).fetchall()
    report.incomplete_runs += [Incomplete(*row) for row in rows]


def leave_out_surplus(connection: psycopg.Connection[Any], source: str) -> None:
    """Keep the trades that are to be pruned from being inserted first."""
    connection.execute(_LEAVE_OUT, {"source": source})


def surplus_trades(connection: psycopg.Connection[Any], report: Report, *, prune: bool) -> None:
    """Report the trades that earlier saves left behind, and with `prune` remove them."""
    with connection.transaction():
        left = connection.execute(_SURPLUS, {"source": report.source}).fetchall()
        for simulation_id, waits, trades in left:
            pruned = prune and not waits
            if pruned:
                connection.execute(
                    "DELETE FROM simulation_trades WHERE trade_id = ANY(%s)", (trades,)
                )
            report.surplus_trades.append(Surplus(str(simulation_id), len(trades), pruned, waits))


def supersede(connection: psycopg.Connection[Any], source: str, held: list[str]) -> None:
    """Close what waits in quarantine for rows that later statements have written since.

    Of a statement of several rows the others go on waiting. `held` are digests of what was held
    in this replay: what was closed before is opened again where no later statement followed.
    """
    for table in STAGED_TABLES:
        key = " || '/' || ".join(f"s.{column}" for column in table.key)
        written = (
            f"SELECT lower('' || {key}) AS row_key, position FROM {table.staging} s"
            " WHERE state IN ('o', 'd', 'p')"
        )
        _supersede(connection, written, [table.name], source, held)
    for targets, by in (
        ([INDICATOR_DATASETS.name], DATASET_TARGETS),
        # A row of indicator_datasets says less: it does not stand for one of these.
        ([DATASETS.name, UPSERT_DATASET], [DATASETS.name, UPSERT_DATASET]),
    ):
        written = (
            f"SELECT dataset_id AS row_key, position FROM spool_datasets"
            f" WHERE target IN ({', '.join(map(repr, by))})"
        )
        _supersede(connection, written, targets, source, held)


def _supersede(
    connection: psycopg.Connection[Any],
    written: str,
    targets: list[str],
    source: str,
    held: list[str],
) -> None:
    connection.execute(
        f"""
        UPDATE spool_quarantine q
           SET row_key = coalesce(n.waiting, q.row_key), state = n.state
          FROM (SELECT o.quarantine_id,
                       string_agg(k.row_key, ',' ORDER BY place) FILTER (WHERE s.row_key IS NULL)
                           AS waiting,
                       CASE WHEN bool_and(s.row_key IS NOT NULL) THEN 'superseded' ELSE 'open' END
                           AS state
                  FROM spool_quarantine o
                 CROSS JOIN unnest(string_to_array(o.row_key, ','))
                            WITH ORDINALITY AS k (row_key, place)
                  LEFT JOIN (SELECT row_key, max(position) AS last FROM ({written}) w
                              WHERE position >= 0 GROUP BY 1) s
                    ON s.row_key = k.row_key AND (o.source <> %(source)s OR o.position < s.last)
                 WHERE o.target = ANY(%(targets)s)
                   AND (o.state = 'open' OR o.state = 'superseded'
                        AND o.source = %(source)s AND o.digest = ANY(%(held)s))
                 GROUP BY 1) n
         WHERE q.quarantine_id = n.quarantine_id
           AND (q.state, q.row_key) IS DISTINCT FROM (n.state, coalesce(n.waiting, q.row_key))
        """,
        {"source": source, "targets": targets, "held": held},
    )
