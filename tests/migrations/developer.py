"""Somebody who edits declarations and has revisions generated."""

from dataclasses import replace

from alembic import command

from stage1_schema.ops import migrate
from tests.migrations.catalogue import catalogue


class Developer:
    """Edits declarations, generates revisions and runs them, in a checkout of its own."""

    def __init__(self, settings, checkout, files):
        self.settings = settings
        self.checkout = checkout
        self.files = files
        self.config = migrate.config(settings, ["questdb=skip"])

    def edit(self, name, *replacements):
        path = self.files / name
        text = path.read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    def revise(self):
        command.revision(self.config, "change", autogenerate=True)
        (path,) = (self.checkout / "migrations" / "versions").glob("*_change.py")
        return path.read_text()

    def up_down_up(self, to="-1"):
        """Return the catalogue at head; the way down and up again ends in it.

        A column that comes back stands last, and what comes back has later rights (defaults) too.
        """
        before = self.catalogue()
        command.upgrade(self.config, "head")
        command.check(self.config)
        after = self.catalogue()
        command.downgrade(self.config, to)
        back = self.catalogue()
        assert before.pop("grants").items() <= back.pop("grants").items()
        assert back == before, changed(back, before)
        command.upgrade(self.config, "head")
        again = self.catalogue()
        assert again == after, changed(again, after)
        return after

    def catalogue(self):
        """Return what stands; columns by name, for one that comes back stands last."""
        found = catalogue(self.settings)
        columns = ((f"{each.stem}.{each.signature}", each) for each in found["columns"].values())
        found["columns"] = {name: replace(each, name=name) for name, each in columns}
        return found


def changed(one, other):
    """Return what differs between two catalogues."""
    return [
        (one[kind].get(name), other[kind].get(name))
        for kind in one
        for name in one[kind].keys() | other[kind].keys()
        if one[kind].get(name) != other[kind].get(name)
    ]


def lines(text):
    """Return the operations of upgrade(), one line each, without their arguments' layout."""
    body = text.split("def upgrade")[1].split("def downgrade")[0]
    return [line.strip() for line in body.splitlines() if line.strip().startswith("op.")]
