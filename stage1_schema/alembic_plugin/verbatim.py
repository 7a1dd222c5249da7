"""SQL text that reaches the server as it was written.

`op.execute("…")` takes `:name` for a bind parameter and, offline, doubles `%`: a JSON literal in a
function's body comes out broken without an error. A DDL element whose compiler returns the text
is safe in both modes.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import DDLElement, TextClause, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.visitors import iterate, replacement_traverse

_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w+(?![:\w]))")
"""What SQLAlchemy would read as one in a text."""


class Verbatim(DDLElement):
    """One or more statements, run as they stand."""

    def __init__(self, text: str) -> None:
        """Keep `text`; the outermost semicolon is left to the server or the script."""
        self.text = text.strip().removesuffix(";")


@compiles(Verbatim)
def _compile(element: Verbatim, compiler: Any, **_: Any) -> str:  # noqa: ANN401
    # The DBAPI reads `%` only where the preparer says that it does.
    doubles = compiler.preparer._double_percents  # noqa: SLF001 - the only place that knows
    return element.text.replace("%", "%%") if doubles else element.text


def without_parameters(expression: Any) -> Any:  # noqa: ANN401 - a clause
    """Return it with each `:name` in its texts as text, and no parameter whose value is NULL."""
    texts = (each.text for each in iterate(expression) if isinstance(each, TextClause))
    if not any(map(_PARAMETER.search, texts)):
        return expression

    def escaped(element: Any, **_: object) -> Any:  # noqa: ANN401
        of_text = isinstance(element, TextClause)
        return text(_PARAMETER.sub(r"\\:", element.text)) if of_text else None

    return replacement_traverse(expression, {}, escaped)


def quoted(name: str) -> str:
    """Return a table's, a column's or an index's name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return a text, quoted."""
    return "'" + value.replace("'", "''") + "'"
