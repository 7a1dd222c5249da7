"""At least 2,000 broken spools against the server: nothing hostile runs, nothing valid is lost."""

import random
import re

import pytest

from stage1_schema.connect import connect
from stage1_schema.ops import spool as library
from tests.spool import generator
from tests.spool.test_replay import HOSTILE

SPOOLS = 2_000
GROUPS = 8
GARBAGE = [
    b"'", b'"', b"$$", b"$a$", b"/*", b"\\", b"\xff\xfe", b"\0", b"(", b");", b"';", b"E'", b"nan",
    b"-nan(ind)", b"\r", b"\xc3", b"--", b"::jsonb", b"1e999", b"''", b"ON CONFLICT", b"\\copy x",
    b"INSERT INTO", b"SELECT upsert_stage1_dataset(", b"\xef\xbb\xbf",
]  # fmt: skip
OPENS = re.compile(rb"/\*(?!.*\*/)|(\$a?\$)(?!.*\1)", re.DOTALL)
"""A comment or a body in dollars that is left open: nothing after it is a statement."""
EVIL = [
    "DROP TABLE canary;",
    "UPDATE canary SET x = 'hacked';",
    "DELETE FROM canary;",
    "CREATE TABLE hacked (x int);",
    "DO $$ BEGIN EXECUTE 'CREATE TABLE hacked (x int)'; END $$;",
    "SELECT lo_create(0);",
    "SELECT 1 INTO hacked;",
    "INSERT INTO canary VALUES ('hacked');",
    "INSERT INTO datasets SELECT gen_random_uuid(), 'hacked';",
    "ALTER ROLE stage1_app SUPERUSER;",
    "BEGIN; DROP TABLE canary; COMMIT;",
    "EXPLAIN ANALYZE DELETE FROM canary;",
    "\\! touch hacked",
    "COPY canary FROM stdin;\nhacked\n\\.",
    "INSERT INTO datasets (dataset_id, dataset_slug) VALUES (gen_random_uuid(), 'hacked');",
    *HOSTILE,
]
KEYS = {
    "datasets": "SELECT dataset_id::text FROM datasets WHERE NOT is_placeholder",
    "walkforward_runs": "SELECT run_id::text FROM walkforward_runs WHERE NOT is_placeholder",
    "walkforward_folds": "SELECT run_id::text, fold_number FROM walkforward_folds",
    "simulation_runs": "SELECT simulation_id::text FROM simulation_runs",
    "simulation_trade_buckets": "SELECT simulation_id::text, side FROM simulation_trade_buckets",
    "simulation_trades": "SELECT trade_id::text FROM simulation_trades",
}


def small(seed):
    """A spool whose ids no other seed has: run, folds, simulation, one dataset."""
    made = generator.Spool(seed)
    made.owners = []  # (table, key) of each statement

    def remember(table, key, statement):
        made.statements.append(statement)
        made.owners.append((table, key))

    made.add = remember
    generation = "ABC"[seed % 3]
    run = made.run(generation, folds=2)
    made.dataset(generation, run[1] if seed % 2 else None, slug=f"slug{seed}")
    made.simulation(run if seed % 5 else None, trades=2)
    return made


def mutated(seed):
    """Return the bytes of a broken spool and the (table, key) of its statements left whole."""
    made = small(seed)
    dice = random.Random(seed * 7 + 1)  # noqa: S311 - repeatable
    pieces = [(s.encode(), owner) for s, owner in zip(made.statements, made.owners, strict=True)]
    for _ in range(dice.randint(1, 3)):
        way = dice.choice(["shuffle", "double", "evil", "garbage", "flip", "glue", "drop", "cut"])
        at = dice.randrange(len(pieces))
        if way == "shuffle":
            dice.shuffle(pieces)
        elif way == "double":
            pieces.insert(dice.randrange(len(pieces)), pieces[at])
        elif way == "evil":
            pieces.insert(at, (dice.choice(EVIL).encode(), None))
        elif way == "garbage":
            pieces.insert(at, (dice.choice(GARBAGE) + dice.randbytes(dice.randrange(4)), None))
        elif way == "drop" and len(pieces) > 2:
            del pieces[at]
        elif way == "cut":  # what is left of most is a valid plain INSERT
            pieces[at] = (pieces[at][0].partition(b" ON CONFLICT")[0], None)
        else:
            text, _ = pieces[at]
            cut = dice.randrange(len(text))
            put = dice.choice(GARBAGE) if way == "flip" else dice.choice(EVIL).encode()
            pieces[at] = (text[:cut] + put + text[cut + dice.randrange(3) :], None)
    data, whole = b"", []
    end = dice.choice([b"\n", b"\r\n"])
    hidden = False
    for text, owner in pieces:
        data += text + end
        hidden = hidden or OPENS.search(text) is not None
        whole.append((len(data), None if hidden else owner))
    if dice.random() < 0.3:
        data = data[: dice.randrange(len(data))]
    return data, {owner for stop, owner in whole if owner and stop <= len(data)}


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_broken_spools(migrated, tmp_path, group):
    """As the owner, so that a hostile statement could do its harm if it ran."""
    path = tmp_path / "spool.sql"
    expected = {}
    with connect(migrated.postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE canary AS SELECT 'alive'::text AS x")
        for seed in range(group, SPOOLS, GROUPS):
            data, whole = mutated(seed + 1)
            path.write_bytes(data)
            report = library.replay(migrated, path)
            assert report.exit_code in (0, 3)
            if seed // GROUPS % 5 == 4:  # what is open is tried again by every replay
                connection.execute("UPDATE spool_quarantine SET state = 'discarded'")
            for table, key in whole:
                expected.setdefault(table, {})[key] = seed
        found = {
            table: {row[0] if len(row) == 1 else row for row in connection.execute(query)}
            for table, query in KEYS.items()
        }
        held = {
            (row[0], row[1])
            for row in connection.execute("SELECT target, row_key FROM spool_quarantine")
        }
        lost = [
            (table, key, seed)
            for table, wanted in expected.items()
            for key, seed in wanted.items()
            if key not in found[table] and not is_held(held, table, key)
        ]
        assert lost == []
        assert connection.execute("SELECT x FROM canary").fetchall() == [("alive",)]
        assert connection.execute("SELECT to_regclass('hacked')").fetchone() == (None,)
        assert connection.execute("SELECT count(*) FROM stage1_jobs").fetchone() == (0,)
        assert connection.execute(
            "SELECT count(*) FROM datasets WHERE dataset_slug ~ 'hacked' OR symbol = 'x'"
        ).fetchone() == (0,)


def is_held(held, table, key):
    name = "/".join(map(str, key)) if isinstance(key, tuple) else key
    targets = ("datasets", "indicator_datasets", "upsert_stage1_dataset")
    return any((t, name) in held for t in (targets if table == "datasets" else (table,)))
