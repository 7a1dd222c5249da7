"""A spool whose placeholders were merged into their dataset is replayed again: nothing changes."""

import re

import pytest

from tests.postgres import clients, rows
from tests.spool import generator


@pytest.fixture
def spool():
    """Runs without a dataset, as the field has them, and a simulation without a run."""
    made = generator.Spool(7)
    for _ in range(2):
        made.simulation(made.run("A", None, 3), 2)
    made.simulation(None, 2)
    return made


def slugs(field):
    found = field.all("SELECT dataset_slug FROM datasets ORDER BY 1")
    return [re.sub(r"_[0-9a-f]{8}$", "_*", slug) for (slug,) in found]


@pytest.mark.parametrize("generation", ["A", "C"])
def test_a_merged_placeholder_is_not_made_again(field, spool, generation):
    report = field.replay(spool.bytes())
    assert report.exit_code == 0
    assert slugs(field) == ["btc25_4h", "btc25_4h_*", "eth25_1h"]
    if generation == "A":
        field.connection.execute(clients.a_dataset(rows.A_DATASET | {"questdb_tag": "btc25_4h"}))
    else:
        field.connection.execute(clients.c_dataset(rows.C_DATASET))
    assert slugs(field) == ["btc25_4h", "eth25_1h"]
    moved = "SELECT count(*) FROM {} WHERE dataset_id = %s"
    for table in ("walkforward_runs", "simulation_runs"):
        assert field.one(moved.format(table), rows.DATASET) == 2
    before = field.state()
    again = field.replay(spool.bytes(), again=True)
    assert again.exit_code == 0
    assert field.state() == before
    assert sum(counts.placeholders for counts in again.tables.values()) == 0
