"""SQL that makes one row of the rows which several old tables hold under one key.

The row with the most values wins column by column; the others fill what it lacks, and what they
say differently is kept in the row's JSON. An empty text and a 0 count as the poorest value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stage1_schema.alembic_plugin.legacy_plan import HOMES

if TYPE_CHECKING:
    from collections.abc import Sequence

# Manifests are objects and can be merged key by key.
_MERGED = {("datasets", "metadata")}


def view_of(source: str) -> str:
    """Return the name of the view that gives an old table's rows in the new table's columns."""
    return f"import_source_{source or 'nothing'}"


def merge(target: str, key: str, columns: Sequence[str], sources: Sequence[str]) -> str:
    """Return SQL that makes the temporary table `import_<target>` with one row for each key."""
    rows = "\n     UNION ALL\n    ".join(
        f"SELECT {number} AS import_source, v.* FROM pg_temp.{view_of(source)} v"
        for number, source in enumerate(sources)
    )
    counted = ", ".join(f'u."{name}"' for name in columns)
    picked = ",\n       ".join(_pick(target, name) for name in columns if name != key)
    return f"""CREATE TEMP TABLE import_{target} ON COMMIT DROP AS
SELECT m."{key}",
       {picked}
  FROM (
    SELECT u.*, row_number() OVER (
               PARTITION BY u."{key}" ORDER BY num_nonnulls({counted}) DESC, import_source
           ) AS import_rank
      FROM (
    {rows}
      ) u
  ) m
 GROUP BY m."{key}\""""


def keep_what_differs(target: str, key: str, sources: Sequence[str]) -> str:
    """Return SQL that keeps, under `legacy.<old table>`, what the merged row does not say."""
    differing = "\n         UNION ALL\n        ".join(
        f"""SELECT v."{key}", '{source}' AS source, jsonb_object_agg(e.key, e.value) AS body
          FROM pg_temp.{view_of(source)} v
          JOIN pg_temp.import_{target} t ON t."{key}" = v."{key}"
         CROSS JOIN jsonb_each(to_jsonb(v)) e
         WHERE e.value <> 'null' AND NOT e.value <@ coalesce(to_jsonb(t) -> e.key, 'null')
         GROUP BY v."{key}\""""
        for source in sources
    )
    home = HOMES[target]
    return f"""UPDATE pg_temp.import_{target} t
   SET "{home}" = pg_temp.stage1_keep(t."{home}", '{{}}', lost.body)
  FROM (
    SELECT d."{key}", jsonb_object_agg(d.source, d.body) AS body
      FROM (
        {differing}
      ) d
     GROUP BY d."{key}"
  ) lost
 WHERE lost."{key}" = t."{key}\""""


def _pick(target: str, name: str) -> str:
    values = f'(array_agg(m."{name}" ORDER BY {{order}}) FILTER (WHERE m."{name}" IS NOT NULL))'
    if (target, name) in _MERGED:
        ranked = values.format(order="import_rank")
        body = " || ".join(f"coalesce({ranked}[{n}], '{{}}')" for n in (3, 2, 1))
        return f'{body} AS "{name}"'
    best = values.format(order=f"m.\"{name}\"::text IN ('', '0'), import_rank")
    return f'{best}[1] AS "{name}"'
