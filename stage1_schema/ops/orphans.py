"""Which parents are missing, as a spool file or a PostgreSQL log tells: pure, without a server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

DATASET_TABLES = ("datasets", "indicator_datasets")
REGISTER = "upsert_stage1_dataset"

_KEY = re.compile(r'Key \((\w+)\)=\(([0-9a-fA-F-]{36})\) is not present in table "(\w+)"')
_STATEMENT = re.compile(r"STATEMENT:\s+(.*(?:\n\t.*)*)")
_RUN_SUFFIX = re.compile(r"_(wf|run)\d+$")


@dataclass(frozen=True)
class MissingRun:
    """A run that something refers to: its dataset, and the name it was referred to by."""

    run_id: UUID
    dataset_id: UUID
    measurement: str | None


@dataclass
class References:
    """Ids that a file refers to, and those whose rows it brings itself.

    In the field a run and its dataset can have the same id, so the two are kept apart. `datasets`
    maps to a measurement that may tell the dataset's slug. `unreadable` counts statements that
    could not be understood; `unresolved` are keys that no placeholder can stand in for.
    """

    datasets: dict[UUID, str | None] = field(default_factory=dict)
    runs: dict[UUID, MissingRun] = field(default_factory=dict)
    brought_datasets: set[UUID] = field(default_factory=set)
    brought_runs: set[UUID] = field(default_factory=set)
    unreadable: int = 0
    unresolved: tuple[str, ...] = ()

    def refer_to_dataset(self, dataset_id: UUID, measurement: str | None) -> None:
        """Note a reference; the first name that comes with one is kept."""
        self.datasets[dataset_id] = self.datasets.get(dataset_id) or measurement

    def refer_to_run(self, run_id: UUID, dataset_id: UUID | None, name: str | None) -> None:
        """Note a reference. Without a dataset the run's own id stands in, as it does in the field.

        (Contract, part 6: where no dataset was recorded, dataset_id equals run_id.)
        """
        known = self.runs.get(run_id)
        if known is None or (known.measurement is None and name):
            dataset = dataset_id or (known.dataset_id if known else run_id)
            self.runs[run_id] = MissingRun(run_id, dataset, name)


def slug_of(measurement: str | None) -> str | None:
    """Return the slug inside `<slug>_wf<epoch>` or `<slug>_run<N>` (contract, part 5), or None."""
    stem = _RUN_SUFFIX.sub("", measurement or "")
    return stem if stem != measurement and stem else None


def of_spool(spool_file: str | BinaryIO, name: str = "The text") -> References:
    """Return what the INSERT statements of a spool file, or its text, refer to and bring.

    Raises NoSpoolError, which says `name`, where it is none.
    """
    from stage1_schema.ops.spool import feed  # noqa: PLC0415 - what reads a log needs none of it

    found = References()
    if isinstance(spool_file, str):
        spool_file = BytesIO(spool_file.encode(errors="replace"))
    for statement in feed.statements(spool_file, name):
        if statement is None:
            found.unreadable += 1
        else:
            _read(statement, found, brings=True)
    return found


def of_log(text: str) -> References:
    """Return what the failed statements of a PostgreSQL log referred to.

    What a failed statement would have brought counts as missing too: it never came.
    """
    found = References()
    unresolved: dict[str, None] = {}
    keys = [*_KEY.finditer(text)]
    for detail, after in zip(keys, [*(each.start() for each in keys[1:]), len(text)], strict=True):
        column, value, table = detail.groups()
        following = text[detail.end() : min(after, detail.end() + 200_000)]
        statement = _STATEMENT.match(following[following.find("\n") + 1 :].partition("ERROR:")[0])
        if statement is None:
            statement = _STATEMENT.search(following.partition("ERROR:")[0])
        if statement is not None:
            _read(statement[1].replace("\n\t", "\n"), found, brings=False)
        if table == "datasets":
            found.refer_to_dataset(UUID(value), None)
        elif table == "walkforward_runs":
            found.refer_to_run(UUID(value), None, None)
        else:
            unresolved[f"{column} {value} of {table}"] = None
    found.unresolved = tuple(unresolved)
    return found


def _read(statement: str, found: References, *, brings: bool) -> None:
    try:
        rows = list(_rows(statement))
    except ValueError:
        found.unreadable += 1
        return
    for table, row in rows:
        _note(table, row, found, brings=brings)


def _note(table: str, row: dict[str, str], found: References, *, brings: bool) -> None:
    dataset_id, run_id = _uuid(row.get("dataset_id")), _uuid(row.get("run_id"))
    if table in DATASET_TABLES and dataset_id and brings:
        found.brought_datasets.add(dataset_id)
    elif table == "walkforward_runs" and dataset_id and run_id:
        found.refer_to_dataset(dataset_id, row.get("prediction_measurement"))
        if brings:
            found.brought_runs.add(run_id)
    elif table == "simulation_runs" and run_id:
        measurement = row.get("input_run_measurement")
        found.refer_to_run(run_id, dataset_id, measurement)
        if dataset_id:
            found.refer_to_dataset(dataset_id, measurement)
    elif table == "walkforward_folds" and run_id:
        found.refer_to_run(run_id, None, None)


def _rows(statement: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (table, values of constants) for each row of an INSERT, or of the register call.

    Raises ValueError where PostgreSQL's parser does not take the statement.
    """
    from stage1_schema.ops import sql_parser  # noqa: PLC0415 - a large library, used here only

    try:
        parsed = sql_parser.trees(statement)
    except sql_parser.ParseError as error:
        raise ValueError(str(error)) from error
    for node in parsed:
        if insert := node.get("InsertStmt"):
            columns = [column["ResTarget"]["name"] for column in insert.get("cols", ())]
            select = insert.get("selectStmt", {}).get("SelectStmt", {})
            for values in select.get("valuesLists", ()):
                constants = map(_constant, values["List"]["items"])
                pairs = zip(columns, constants, strict=False)
                yield insert["relation"]["relname"], {k: v for k, v in pairs if v is not None}
        elif select := node.get("SelectStmt"):
            for target in select.get("targetList", ()):
                call = target["ResTarget"].get("val", {}).get("FuncCall")
                if call and call["funcname"][-1]["String"]["sval"] == REGISTER:
                    first = _constant(call["args"][0])
                    yield DATASET_TABLES[0], {"dataset_id": first} if first else {}


def _constant(node: dict[str, Any]) -> str | None:
    """Return a string constant, cast or not; None for anything else."""
    inner = node.get("TypeCast", {}).get("arg", node)
    text: str | None = inner.get("A_Const", {}).get("sval", {}).get("sval")
    return text


def _uuid(value: str | None) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        return None
