"""QuestDB itself agrees with the rules for names, character by character."""

import pytest

from questdb_ddl import DeclarationError, QueryError, check_column_name, check_table_name
from questdb_ddl.render import drop_table

PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
UNSPEAKABLE = {'"'}  # it ends the quoted name, so the server never sees it in one


def accepted(check, name):
    try:
        check(name)
    except DeclarationError:
        return False
    return True


def takes_table(client, name):
    try:
        client.execute(f'CREATE TABLE "{name}" (a INT)')
    except QueryError:
        return False
    rows = client.query("select table_name from tables()")
    client.execute(drop_table(name))
    return {"table_name": name} in rows


def takes_column(client, table, name):
    try:
        client.execute(f'ALTER TABLE "{table}" ADD COLUMN "{name}" INT')
    except QueryError:
        return False
    client.wait_for(table)
    return {"column": name} in client.query(f"select \"column\" from table_columns('{table}')")


def test_table_names(client):
    names = [f"n{character}n" for character in PRINTABLE if character not in UNSPEAKABLE]
    names += [".n", "n.", " n", "n ", "n..n", "1", "select", "n" * 127, "n" * 128, "telemetry"]
    taken = {name for name in names if takes_table(client, name)}
    assert taken == {name for name in names if accepted(check_table_name, name)}
    assert 70 < len(taken) < len(names)


def test_column_names(client, name):
    client.execute(
        f'CREATE TABLE "{name}" (a INT, ts TIMESTAMP) TIMESTAMP(ts) PARTITION BY DAY WAL'
    )
    names = [f"b{character}b" for character in PRINTABLE if character not in UNSPEAKABLE]
    # Names that differ in letter case only are one column.
    names = list({n.lower(): n for n in names}.values())
    names += [" c", "d ", "1", "select", "e" * 127, "f" * 128]
    taken = {column for column in names if takes_column(client, name, column)}
    assert taken == {column for column in names if accepted(check_column_name, column)}
    assert 50 < len(taken) < len(names)


@pytest.mark.parametrize("tables", [("Case", "cASE")])
def test_letter_case_does_not_make_another_table(client, tables):
    first, second = tables
    client.execute(f'CREATE TABLE "{first}" (a INT)')
    with pytest.raises(QueryError, match="already exists"):
        client.execute(f'CREATE TABLE "{second}" (a INT)')
    client.execute(drop_table(second))
    assert {"table_name": first} not in client.query("select table_name from tables()")
