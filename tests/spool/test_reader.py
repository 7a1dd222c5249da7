"""Statements out of bytes: the same whatever the window, and nothing swallowed."""

import hashlib
import io
import tracemalloc

import pytest

from stage1_schema.ops.spool import reader
from stage1_schema.ops.spool.feed import parses
from stage1_schema.ops.spool.reader import Reader, State
from stage1_schema.ops.spool.shapes import Shapes
from stage1_schema.ops.spool.values import Tally
from tests.spool import generator

NEXT = "INSERT INTO datasets (dataset_id) VALUES ('x');"
SPOKEN = "INSERT INTO datasets (dataset_id) VALUES ($$x$$);"


def read(data, **options):
    data = data if isinstance(data, bytes) else data.encode()
    given = {"start": 0, "end": len(data), "line": 1, "digest": hashlib.sha256()} | options
    shapes = Shapes("now", Tally())
    made = Reader(io.BytesIO(data), shapes=shapes, parses=parses, **given)
    pieces = list(made)
    made.finish()
    assert given["digest"].digest() == hashlib.sha256(data[: made.consumed]).digest()
    return [(piece.line, piece.state, piece.text.decode("latin-1")) for piece in pieces], made


CASES = [
    pytest.param("", [], id="nothing"),
    pytest.param(";;\n ; \n", [], id="empty statements"),
    pytest.param("a;\nb;\n", [(1, "a;"), (2, "b;")], id="two"),
    pytest.param("a;b;", [(1, "a;"), (1, "b;")], id="one line"),
    pytest.param("a\r\n;\r\nb;", [(1, "a\r\n;"), (3, "b;")], id="CRLF"),
    pytest.param("'a;''b;';c;", [(1, "'a;''b;';"), (1, "c;")], id="strings"),
    pytest.param('"a;";', [(1, '"a;";')], id="identifiers"),
    pytest.param(r"E'a\';';b;", [(1, r"E'a\';';"), (1, "b;")], id="escapes"),
    pytest.param(r"'a\';b;", [(1, r"'a\';"), (1, "b;")], id="a backslash is none"),
    pytest.param("$$;$$;$a$;$$;$a$;", [(1, "$$;$$;"), (1, "$a$;$$;$a$;")], id="dollars"),
    pytest.param("a$1$;b$1$;", [(1, "a$1$;"), (1, "b$1$;")], id="no dollars"),
    pytest.param("-- a;\n/* b; /* c; */ */ d;", [(2, "d;")], id="comments before"),
    pytest.param("a -- ;\n;", [(1, "a -- ;\n;")], id="comments inside"),
    pytest.param("-- the end", [], id="a comment at the end"),
    pytest.param("-- a\r-- b\ra;\rb;\r", [(1, "a;"), (1, "b;")], id="CR alone"),
]


@pytest.mark.parametrize(("data", "wanted"), CASES)
@pytest.mark.parametrize("window", [1, 3, 1 << 20])
def test_statements(monkeypatch, data, wanted, window):
    monkeypatch.setattr(reader, "WINDOW", window)
    found, made = read(data)
    assert [(line, text) for line, _, text in found] == wanted
    assert {state for _, state, _ in found} <= {State.WHOLE}
    assert made.consumed == (len(data) if data != "-- the end" else 0)


BROKEN = [
    pytest.param(f"it's;\n{NEXT}\n", ["it's;\n"], id="a quote"),
    pytest.param(f'a "b;\n{NEXT}\n', ['a "b;\n'], id="an identifier"),
    pytest.param(f"INSERT INTO datasets (da{NEXT}\n", ["INSERT INTO datasets (da"], id="glued"),
    pytest.param(f"1\t2\n\\.\n{NEXT}\n", ["1\t2\n\\.\n"], id="data of COPY"),
]


@pytest.mark.parametrize(("data", "wanted"), BROKEN)
def test_what_breaks_off_does_not_swallow_the_next(data, wanted):
    found, _ = read(data)
    assert [text for _, state, text in found if state is State.BROKEN] == wanted
    assert [text for _, state, text in found if state is State.WHOLE] == [NEXT]


def test_text_that_looks_like_a_statement_stays_text():
    statement = f"INSERT INTO datasets (dataset_id) VALUES ('\n{NEXT.replace(chr(39), '')}\n');"
    assert read(statement + "\n")[0] == [(1, State.WHOLE, statement)]


@pytest.mark.parametrize("comment", [f"/*\n{NEXT}\n*/", f"$$\n{NEXT}\n{NEXT}\n$$"])
@pytest.mark.parametrize(("size", "whole"), [(10, True), (500, True), (5_000, False)])
def test_comment_in_a_long_statement_is_none(monkeypatch, comment, size, whole):
    for name in ("WINDOW", "MARGIN", "OVERLAP"):
        monkeypatch.setattr(reader, name, 64)
    monkeypatch.setattr(reader, "LONGEST", 1_000)
    statement = f"INSERT INTO x {comment} VALUES ('{'y' * size}');"
    found, _ = read(f"{statement}\n{NEXT}\n")
    assert [text for _, state, text in found if state is State.WHOLE] == [
        *[statement] * whole,
        NEXT,
    ]


@pytest.mark.parametrize("size", [300, 511, 512, 513, 1_000, 5_000])
@pytest.mark.parametrize("end", ["", "x", "\n", f"\n{NEXT}", f"\n{NEXT}\n"])
def test_statement_in_a_string_that_is_too_long_is_text(monkeypatch, size, end):
    for name in ("WINDOW", "MARGIN", "OVERLAP"):
        monkeypatch.setattr(reader, name, 64)
    monkeypatch.setattr(reader, "LONGEST", 256)
    data = f"INSERT INTO x VALUES ('{'y' * size}; {SPOKEN} {'y' * size}; {SPOKEN}');{end}"
    found, _ = read(data)
    assert "".join(text for *_, text in found).replace("\n", "") == data.replace("\n", "")
    whole = [text for _, state, text in found if state is State.WHOLE]
    assert whole == [NEXT] * (NEXT in end)


TAILS = [
    *("a", "a 'b;", "a -- ;", "a /* ; ", "\\! x", "$$;$"),
    pytest.param(f"/* a;\n{NEXT}\n", id="a comment with a statement"),
    pytest.param(f"DO $$ a;\n{NEXT}\n", id="a body with a statement"),
    pytest.param(f"INSERT INTO x /* a;\n{NEXT}\n", id="a comment inside with a statement"),
    pytest.param("a 'log: INSERT INTO datasets failed; ", id="a string that names a table"),
    pytest.param("a 'log: INSERT INTO datasets (x) VALUES (''y''); ", id="a string with SQL"),
    pytest.param("INSERT INTO datasets (daINSERT INTO datasets (d", id="two, neither whole"),
]


@pytest.mark.parametrize("tail", TAILS)
def test_tail_is_told_and_not_consumed(tail):
    found, made = read(f"a;\n{tail}")
    assert [state for _, state, _ in found] == [State.WHOLE, State.TAIL]
    assert made.consumed == 3


def test_growing_file_is_read_up_to_the_size_it_had():
    assert [text for _, _, text in read("a;\nb;\nc;\n", end=6)[0]] == ["a;", "b;"]


def test_shrunken_file_ends_where_it_ends():
    assert [text for _, _, text in read("a;\n", end=100)[0]] == ["a;"]


class Counted:
    """The pattern of a statement's start, and how many bytes it was made to look at."""

    def __init__(self, pattern):
        self.pattern, self.looked_at = pattern, 0

    def search(self, data, begin):
        self.looked_at += len(data) - begin
        return self.pattern.search(data, begin)


def test_no_byte_is_searched_twice_for_the_next_statement(monkeypatch):
    counted = Counted(reader._LINE_START)
    monkeypatch.setattr(reader, "_LINE_START", counted)
    monkeypatch.setattr(reader, "WINDOW", 1 << 16)
    data = "SELECT 1;\n" * 20_000
    assert len(read(data)[0]) == 20_000
    assert counted.looked_at < len(data) + reader.OVERLAP * 20_000


class Endless(io.RawIOBase):
    """A large file: the same statements over and over."""

    def __init__(self, block, size):
        self.block, self.left = block, size

    def read(self, size=-1):
        count = min(size, self.left, len(self.block)) // len(self.block) * len(self.block)
        self.left -= count
        return self.block[:count]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file():
    spool = generator.usual(runs=1, folds=200, trades=200)
    block = spool.bytes()
    size = (64 << 20) // len(block) * len(block)
    made = Reader(
        Endless(block, size),
        start=0,
        end=size,
        line=1,
        shapes=Shapes("now", Tally()),
        parses=parses,
        digest=hashlib.sha256(),
    )
    tracemalloc.start()
    for count, piece in enumerate(made):
        if count == 1000:
            tracemalloc.reset_peak()
        if count % 10_000 == 9_999:
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        assert piece.position >= 0
    tracemalloc.stop()
    assert made.consumed == size
