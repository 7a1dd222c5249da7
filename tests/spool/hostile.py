"""Files that were made to cost time or memory: `make(kind, size)` returns about `size` bytes."""

from tests.spool import generator

ID = "00000000-0000-4000-8000-000000000000"
FOLD = f"INSERT INTO walkforward_folds (run_id, fold_number, best_score) VALUES ('{ID}', 1, "
CONFLICT = ") ON CONFLICT (run_id, fold_number) DO UPDATE SET best_score = EXCLUDED.best_score;\n"
DATASET = f"INSERT INTO datasets (dataset_id, dataset_slug) VALUES ('{ID}', "

LINES = {
    "plain inserts": DATASET + "'a');\n",
    "strings left open": DATASET + "'a\n",
    "strings left open and ended": DATASET + "'a);\n",
    "names left open": DATASET + '"a\n',
    "odd and even quotes": f"{DATASET}'a\n{DATASET}'b');\n",
    "two kinds of quotes": f"{DATASET}'a\n{DATASET}\"b\n",
    "escaped quotes": f"{DATASET}E'a\n{DATASET}\\'\n",
    "without an end": DATASET + "'a')\n",
    "cut off": DATASET.partition("VALUES")[0] + "\n",
    "many in a line": DATASET + "'a'); x ",
    "one nan": f"{FOLD}nan{CONFLICT}",
    "nan in documents": f"{DATASET}'{{\"a\":nan}}'::jsonb);\n",
    "a word": "x;\n",
    "a quote": "'\n",
    "semicolons": ";;;;\n",
    "blanks": " \n",
    "comments": "-- a\n",
    "comments with statements": "/*\n" + DATASET + "'a');\n*/\n",
    "psql": "\\! x\n",
    "statements that are refused": "DROP TABLE x;\n",
    "statements that are no SQL": "a b c;\n",
    "dollars": "$a$ $b$ x\n",
    "carriage returns": "a\r",
}
ONES = {
    "values": ("SELECT 1", ",1", ";\n"),
    "casts": ("SELECT 1", "::jsonb", ";\n"),
    "sums": ("SELECT 1", "+1", ";\n"),
    "brackets": ("SELECT ", "(", ";\n"),
    "nans": (FOLD, "nan, ", CONFLICT),
    "nans as times": (FOLD, "TO_TIMESTAMP(nan), ", CONFLICT),
    "nans without an end": (FOLD, "nan ", ""),
    "escapes in a document": (f"{DATASET}'{{\"", '\\"', "}'::jsonb);\n"),
    "an open string in a document": (f"{DATASET}'{{\"a", '\\"', "'::jsonb);\n"),
    "rows": (FOLD + "1)", f", ('{ID}', 2, 1)", ";\n"),
    "text": (DATASET + "'", "a", "');\n"),
    "text without an end": (DATASET + "'", "a", ""),
    "escapes": (DATASET + "E'", "\\'", "');\n"),
    "lines in a string": (DATASET + "'\n", DATASET + "\n", "');\n"),
    "lines in a string that is no value": (DATASET + "'\n", DATASET + "\n", "' oops);\n"),
    "lines in a string without an end": (DATASET + "'\n", DATASET + "\n", ""),
    "comments in a statement": ("SELECT 1", "/*\n" + DATASET + "*/ , 1", ";\n"),
    "nested comments": ("", "/*", ""),
    "dollars in dollars": ("", "$a$ $b$ ", ""),
    "names": ("SELECT a", ".b", ";\n"),
    "unions": ("SELECT 1", " UNION SELECT 1", ";\n"),
    "one line": ("-- ", "a", ""),
    "zeros": ("", "\0", ""),
    "bytes": ("", "\xff", ""),
    "starts": ("", DATASET, ""),
}
KINDS = (*LINES, *ONES, "one row again and again", "rows that no column takes", "own transactions")


def make(kind, size):
    """Return a file of a kind; what a file shares with a spool it has too: a row that is valid."""
    if kind in LINES:
        line = LINES[kind].encode("latin-1")
        return line * (size // len(line))
    if kind in ONES:
        head, again, tail = (each.encode("latin-1") for each in ONES[kind])
        return head + again * (size // len(again)) + tail
    spool = generator.Spool()
    run = spool.id()
    while len(spool.statements) < 200:
        spool.fold("A", run, 0 if kind == "one row again and again" else len(spool.statements))
    lines = [each + "\n" for each in spool.statements]
    if kind == "rows that no column takes":
        lines = [each.replace(", 490, 50,", ", 1e99, 50,") for each in lines]
    if kind == "own transactions":
        lines = [f"BEGIN;\n{each}ROLLBACK;\n" for each in lines]
    block = "".join(lines)
    return (block * (size // len(block) + 1))[:size].encode()
