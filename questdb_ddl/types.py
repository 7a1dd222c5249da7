"""QuestDB's column types with their parameters.

`str(type)` is the form that DDL takes and `parse_type` is its inverse:

>>> str(Symbol(capacity=4096, index=True))
'SYMBOL CAPACITY 4096 INDEX'
>>> parse_type("geohash(4c)")
Geohash(bits=20)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from questdb_ddl.errors import DeclarationError

MAX_SYMBOL_CAPACITY = 2**30
MAX_CACHED_SYMBOL_CAPACITY = 2**25
MAX_INDEX_CAPACITY = 2**23
MAX_GEOHASH_BITS = 60
MAX_DECIMAL_PRECISION = 76
MAX_ARRAY_DIMENSIONS = 32
_BITS_PER_GEOHASH_CHARACTER = 5


@dataclass(frozen=True)
class ColumnType:
    """The base of all column types; `keyword` is the type's name in SQL."""

    keyword: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Name a type after its class where it names none itself."""
        if "keyword" not in vars(cls):
            cls.keyword = cls.__name__.upper()

    def __str__(self) -> str:
        return self.keyword


class Boolean(ColumnType):
    """True or false; QuestDB stores no null here, it becomes false."""


class Byte(ColumnType):
    """A signed integer of 8 bits; no null, it becomes 0."""


class Short(ColumnType):
    """A signed integer of 16 bits; no null, it becomes 0."""


class Char(ColumnType):
    """One character of 16 bits."""


class Int(ColumnType):
    """A signed integer of 32 bits; its smallest value is null."""


class Long(ColumnType):
    """A signed integer of 64 bits; its smallest value is null. It takes ILP fields with an `i`."""


class Long128(ColumnType):
    """128 bits without arithmetic; kept by QuestDB for old tables."""


class Long256(ColumnType):
    """256 bits, written as hexadecimal."""


class Float(ColumnType):
    """A floating-point number of 32 bits; NaN and infinity are null."""


class Double(ColumnType):
    """A floating-point number of 64 bits; NaN and infinity are null. It takes ILP integers too."""


class Date(ColumnType):
    """Milliseconds since 1970, UTC."""


class Timestamp(ColumnType):
    """Microseconds since 1970, UTC."""


class TimestampNs(ColumnType):
    """Nanoseconds since 1970, UTC; ends in 2262. QuestDB 9.1 and later."""

    keyword = "TIMESTAMP_NS"


class String(ColumnType):
    """Text in UTF-16; Varchar is its successor."""


class Varchar(ColumnType):
    """Text in UTF-8."""


class Binary(ColumnType):
    """Bytes."""


class Uuid(ColumnType):
    """A UUID."""


class IPv4(ColumnType):
    """An IPv4 address."""


@dataclass(frozen=True)
class Symbol(ColumnType):
    """A repeating string kept as a number into a dictionary; it is what an ILP tag becomes.

    `capacity` is the number of distinct values expected (None: the server's default), `cache`
    keeps the dictionary on the heap, `index` adds an index, `index_capacity` is the index block
    size in rows (None: the server's default). QuestDB rounds capacities up to a power of two.
    """

    capacity: int | None = None
    cache: bool = True
    index: bool = False
    index_capacity: int | None = None

    def __post_init__(self) -> None:
        limit = MAX_CACHED_SYMBOL_CAPACITY if self.cache else MAX_SYMBOL_CAPACITY
        if self.capacity is not None and not 2 <= self.capacity <= limit:  # noqa: PLR2004 - the server's minimum
            raise DeclarationError(
                f"A symbol's capacity lies between 2 and {limit}, not {self.capacity}."
            )
        if self.index_capacity is not None and not self.index:
            raise DeclarationError("A symbol with index_capacity needs index=True.")
        if self.index_capacity is not None and not 2 <= self.index_capacity <= MAX_INDEX_CAPACITY:  # noqa: PLR2004 - one row per block is no block
            raise DeclarationError(
                f"A symbol's index capacity lies between 2 and {MAX_INDEX_CAPACITY}, not "
                f"{self.index_capacity}."
            )

    @classmethod
    def reported(
        cls, *, capacity: int | None, cache: bool, index: bool, index_capacity: int | None
    ) -> Self:
        """Return a symbol as a server has it: what is there need not be what may be declared."""
        symbol = object.__new__(cls)
        values = (("capacity", capacity), ("cache", cache), ("index", index))
        for name, value in (*values, ("index_capacity", index_capacity)):
            object.__setattr__(symbol, name, value)
        return symbol

    def __str__(self) -> str:
        capacity = "" if self.capacity is None else f" CAPACITY {self.capacity}"
        cache = "" if self.cache else " NOCACHE"
        index = " INDEX" if self.index else ""
        block = "" if self.index_capacity is None else f" CAPACITY {self.index_capacity}"
        return f"SYMBOL{capacity}{cache}{index}{block}"


@dataclass(frozen=True)
class Geohash(ColumnType):
    """A geohash of `bits` bits (1 to 60); five bits make one character."""

    bits: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_GEOHASH_BITS:
            raise DeclarationError(f"A geohash has 1 to {MAX_GEOHASH_BITS} bits, not {self.bits}.")

    def __str__(self) -> str:
        characters, rest = divmod(self.bits, _BITS_PER_GEOHASH_CHARACTER)
        return f"GEOHASH({self.bits}b)" if rest else f"GEOHASH({characters}c)"


@dataclass(frozen=True)
class Decimal(ColumnType):
    """An exact decimal of `precision` digits, `scale` of them after the point. QuestDB 9.2+."""

    precision: int
    scale: int = 0

    def __post_init__(self) -> None:
        if (
            not 1 <= self.precision <= MAX_DECIMAL_PRECISION
            or not 0 <= self.scale <= self.precision
        ):
            raise DeclarationError(
                f"DECIMAL({self.precision},{self.scale}) is outside QuestDB's limits: a precision "
                f"of 1 to {MAX_DECIMAL_PRECISION}, a scale no greater."
            )

    def __str__(self) -> str:
        return f"DECIMAL({self.precision},{self.scale})"


@dataclass(frozen=True)
class Array(ColumnType):
    """An array of DOUBLE, the only element type of QuestDB; 1 to 32 dimensions. QuestDB 9.0+."""

    dimensions: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.dimensions <= MAX_ARRAY_DIMENSIONS:
            raise DeclarationError(
                f"An array has 1 to {MAX_ARRAY_DIMENSIONS} dimensions, not {self.dimensions}."
            )

    def __str__(self) -> str:
        return "DOUBLE" + "[]" * self.dimensions


@dataclass(frozen=True)
class Other(ColumnType):
    """A type that a newer server reported and this package does not know; never declared."""

    text: str

    def __str__(self) -> str:
        return self.text


SIMPLE_TYPES: tuple[type[ColumnType], ...] = (
    Boolean, Byte, Short, Char, Int, Long, Long128, Long256, Float, Double, Date,
    Timestamp, TimestampNs, String, Varchar, Binary, Uuid, IPv4,
)  # fmt: skip
"""Every type without parameters."""

_BY_KEYWORD = {simple.keyword: simple for simple in SIMPLE_TYPES}
_SYMBOL = re.compile(
    r"SYMBOL(?: CAPACITY (?P<capacity>\d+))?(?: (?P<cache>CACHE|NOCACHE))?"
    r"(?P<index> INDEX(?: CAPACITY (?P<block>\d+))?)?"
)
_GEOHASH = re.compile(r"GEOHASH\( ?(?P<size>\d+) ?(?P<unit>[CB]) ?\)")
_DECIMAL = re.compile(r"DECIMAL\( ?(?P<precision>\d+) ?(?:, ?(?P<scale>\d+) ?)?\)")
_ARRAY = re.compile(r"DOUBLE(?P<brackets>(?:\[\])+)")


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def parse_type(text: str) -> ColumnType:
    """Return the type that `text` is the DDL form of; letter case and spacing do not matter.

    Raises DeclarationError for an unknown type (aliases such as TEXT, too) or wrong parameters.

    >>> parse_type("SYMBOL CAPACITY 4096 NOCACHE")
    Symbol(capacity=4096, cache=False, index=False, index_capacity=None)
    """
    flat = " ".join(text.upper().split())
    if flat in _BY_KEYWORD:
        return _BY_KEYWORD[flat]()
    if found := _SYMBOL.fullmatch(flat):
        return Symbol(
            capacity=_number(found["capacity"]),
            cache=found["cache"] != "NOCACHE",
            index=found["index"] is not None,
            index_capacity=_number(found["block"]),
        )
    if found := _GEOHASH.fullmatch(flat):
        size = int(found["size"])
        return Geohash(size * _BITS_PER_GEOHASH_CHARACTER if found["unit"] == "C" else size)
    if found := _DECIMAL.fullmatch(flat):
        return Decimal(int(found["precision"]), int(found["scale"] or 0))
    if found := _ARRAY.fullmatch(flat):
        return Array(len(found["brackets"]) // 2)
    raise DeclarationError(f"The column type {text!r} is not one of QuestDB's.")


def effective_capacity(capacity: int) -> int:
    """Return what QuestDB makes of a symbol's or an index's capacity: the next power of two.

    >>> effective_capacity(300)
    512
    """
    return 1 << (capacity - 1).bit_length()


_INTEGER_DIGITS: dict[type[ColumnType], int] = {Byte: 3, Short: 5, Int: 10, Long: 19}
_TEXT: tuple[type[ColumnType], ...] = (Symbol, String, Varchar)
_WIDENS_TO: dict[type[ColumnType], tuple[type[ColumnType], ...]] = {
    Byte: (Short, Int, Long, Float, Double),
    Short: (Int, Long, Float, Double),
    Int: (Long, Double),
    Float: (Double,),
    Char: _TEXT,
    Symbol: _TEXT,
    String: _TEXT,
    Varchar: _TEXT,
    Uuid: _TEXT,
    IPv4: _TEXT,
}


def is_widening(old: ColumnType, new: ColumnType) -> bool:
    """Tell whether `ALTER COLUMN … TYPE` from `old` to `new` keeps every value exactly.

    QuestDB converts far more than this without a word: LONG to INT wraps round, DOUBLE to LONG
    cuts the fraction, text to a number leaves nulls, LONG to DOUBLE rounds beyond 2**53,
    TIMESTAMP to TIMESTAMP_NS overflows after 2262. Tried value by value on QuestDB 9.3.4.

    >>> is_widening(Int(), Long()), is_widening(Long(), Double())
    (True, False)
    """
    if isinstance(new, Decimal):
        if isinstance(old, Decimal):
            whole = old.precision - old.scale
            return old != new and new.scale >= old.scale and new.precision - new.scale >= whole
        return new.precision - new.scale >= _INTEGER_DIGITS.get(
            type(old), MAX_DECIMAL_PRECISION + 1
        )
    return type(old) is not type(new) and type(new) in _WIDENS_TO.get(type(old), ())
