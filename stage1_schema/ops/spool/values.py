"""Constants of a statement, as the fields of COPY's text format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from enum import Enum, auto

from stage1_schema.ops.spool import mend
from stage1_schema.ops.spool.contract import Kind

NULL = b"\\N"
_POSTGRES_EPOCH_S = 946_684_800.0
_CYCLE_S = 12_622_780_800  # 400 years, after which the calendar repeats
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_WHOLE = re.compile(r"-?[0-9]+")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Refused(Exception):  # noqa: N818 - a verdict on a statement, not a failure of the program
    """The statement is none that a spool may contain."""

    kind = "refused"


class Held(Exception):  # noqa: N818
    """The statement is of the right form, but cannot be applied as it is."""

    kind = "value"


class Form(Enum):
    """How a constant is written."""

    NULL = auto()
    NUMBER = auto()
    STRING = auto()
    BOOLEAN = auto()
    JSON = auto()  # '…'::jsonb
    TIME = auto()  # TO_TIMESTAMP(number)
    NOW = auto()
    NONFINITE = auto()  # a bare nan or infinity


@dataclass(frozen=True)
class Constant:
    """One value of a statement; `text` is unquoted."""

    form: Form
    text: str = ""


@dataclass
class Tally:
    """Counts the values that were mended while fields were made."""

    mended: int = 0


_FORMS = {
    Kind.UUID: {Form.STRING},
    Kind.TEXT: {Form.STRING, Form.NUMBER, Form.BOOLEAN},
    Kind.INTEGER: {Form.NUMBER, Form.STRING},
    Kind.BIGINT: {Form.NUMBER, Form.STRING},
    Kind.FLOAT: {Form.NUMBER, Form.STRING},
    Kind.TIME: {Form.TIME, Form.NOW, Form.STRING},
    Kind.JSON: {Form.JSON, Form.STRING},
}


def field(kind: Kind, constant: Constant, now: str, tally: Tally) -> bytes:
    r"""Return a constant as a field for a column of `kind`; `\N` is NULL.

    `now` is what NOW() stands for. Raises Refused where PostgreSQL would not take the constant.
    """
    if constant.form is Form.NULL or (constant.form is Form.NONFINITE and kind is not Kind.TIME):
        return NULL
    if constant.form not in _FORMS[kind]:
        if constant.form is Form.NONFINITE:
            raise Held("a NaN or an infinity stands for a time")
        raise Refused(f"a {constant.form.name.lower()} stands where a {kind.value} belongs")
    text = constant.text
    if constant.form is Form.TIME:
        text = moment(text)
    elif constant.form is Form.NOW:
        text = now
    elif kind is Kind.JSON:
        text, mended = mend.json_text(text)
        tally.mended += mended
    elif kind in (Kind.FLOAT, Kind.INTEGER, Kind.BIGINT):
        if mend.is_nonfinite(text):
            tally.mended += 1
            return NULL
        if constant.form is Form.NUMBER:
            text = _number(kind, text)
    return text.translate(_ESCAPES).encode()


def moment(seconds: str) -> str:
    """Return what TO_TIMESTAMP(seconds) is, as text that PostgreSQL reads.

    The arithmetic is PostgreSQL's own, in doubles, so that both give the same microsecond.
    """
    try:
        micros = round((float(seconds) - _POSTGRES_EPOCH_S) * 1e6)
    except (ValueError, OverflowError):
        raise Held(f"TO_TIMESTAMP({seconds}) is no time") from None
    whole, fraction = divmod(micros, 1_000_000)
    cycles, rest = divmod(whole, _CYCLE_S)
    at = _EPOCH + timedelta(seconds=rest)
    year = at.year + 400 * cycles
    era = "" if year > 0 else " BC"
    year = year if year > 0 else 1 - year
    return f"{year:04d}-{at:%m-%d %H:%M:%S}.{fraction:06d}+00{era}"


def _number(kind: Kind, text: str) -> str:
    if kind is Kind.FLOAT or _WHOLE.fullmatch(text):
        return text
    try:  # what PostgreSQL's cast from numeric does
        return str(Decimal(text).quantize(Decimal(1), ROUND_HALF_UP))
    except InvalidOperation:
        raise Held(f"{text} is out of range for {kind.value}") from None
