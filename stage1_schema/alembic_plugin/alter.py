"""Plain statements for what Alembic has no operation for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations import ops

from stage1_schema.alembic_plugin.verbatim import literal, quoted

if TYPE_CHECKING:
    from stage1_schema.alembic_plugin.catalogue import Item


class AlterOp(ops.ExecuteSQLOp):
    """ALTER something, as a statement that knows its inverse."""

    def __init__(
        self, target: str, change: str, back: str, *, after: str = "", column: str | None = None
    ) -> None:
        """Keep the `target`, such as `TABLE datasets`, the `change` and what brings it `back`.

        `after` is the target where the change renames it; `column` is one that changes its type.
        """
        super().__init__(f"ALTER {target} {change}".replace(":", "\\:"))  # no bind parameter
        self.target = target
        self.change = change
        self.back = back
        self.after = after or target
        self.column = column

    @property
    def table(self) -> str:
        """The name of what is altered, without quotes."""
        return self.target.partition(" ")[2].strip('"')

    def reverse(self) -> AlterOp:
        """Return the opposite."""
        return AlterOp(self.after, self.back, self.change, after=self.target, column=self.column)


class CommentOp(ops.ExecuteSQLOp):
    """Set the comment of a constraint, an index, a table or a column."""

    def __init__(self, item: Item, comment: str | None, before: str | None) -> None:
        """Keep the `item`, its `comment` and the one `before`; None is none."""
        table, name = quoted(item.stem), quoted(item.signature)
        target = {
            "tables": f"TABLE {table}",
            "columns": f"COLUMN {table}.{name}",
            "indexes": f"INDEX {name}",
            "constraints": f"CONSTRAINT {name} ON {table}",
        }[item.kind]
        said = "NULL" if comment is None else literal(comment)
        super().__init__(f"COMMENT ON {target} IS {said}".replace(":", "\\:"))
        self.item = item
        self.comment = comment
        self.before = before

    @property
    def key(self) -> tuple[str, str]:
        """The table and the name of the constraint or index; else nothing."""
        part = self.item.kind in {"constraints", "indexes"}
        return (self.item.stem, self.item.signature) if part else ("", "")

    def reverse(self) -> CommentOp:
        """Return the opposite."""
        return CommentOp(self.item, self.before, self.comment)


class AdvanceOp(ops.ExecuteSQLOp):
    """Set the sequence of a new identity behind the rows that stand; on the way back as well."""

    def __init__(self, table: str, column: str) -> None:
        """Keep the `table` and the `column`, quoted."""
        sequence = f"pg_get_serial_sequence('{table}', '{column.strip(chr(34))}')"
        super().__init__(
            f"SELECT setval({sequence}, coalesce(max({column}), 0) + 1, false) FROM {table}"
        )

    def reverse(self) -> AdvanceOp:
        """Return the same: it comes before the identity goes, and after it is back."""
        return self


def options(new: str, old: str) -> str:
    """Return what turns one line `options a=b, …` of the catalogue into another."""
    after, before = (
        dict(each.split("=", 1) for each in line.removeprefix("options ").split(", ") if each)
        for line in (new, old)
    )
    gone = ", ".join(sorted(before.keys() - after.keys()))
    given = ", ".join(f"{name} = {value}" for name, value in sorted(after.items()))
    return ", ".join([f"RESET ({gone})"] * bool(gone) + [f"SET ({given})"] * bool(given))
