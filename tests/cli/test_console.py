"""What a command prints."""

from stage1_schema.cli import console


def test_a_narrow_terminal_cuts_nothing_off(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    console.table(
        ("table", "applied", "placeholders"),
        [("simulation_trade_buckets", 1_234_567, 0), ("walkforward_folds", 20_000, 15)],
    )
    heading, _, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["table", "applied", "placeholders"]
    assert [row.split() for row in rows] == [
        ["simulation_trade_buckets", "1,234,567", "0"],
        ["walkforward_folds", "20,000", "15"],
    ]
