"""A QuestDB table with a partition in Parquet."""


def with_parquet(questdb, name):
    """Give a table of these columns two months, the first of them in Parquet."""
    for month in ("2025-01", "2025-03"):
        questdb.execute(f"INSERT INTO {name} (timestamp, run_id) VALUES ('{month}-01', 'r')")
    questdb.wait_for(name)
    questdb.execute(f"ALTER TABLE {name} CONVERT PARTITION TO PARQUET LIST '2025-01'")
    questdb.wait_for(name)
