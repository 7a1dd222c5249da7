"""The command line, for tests of what PostgreSQL lets a role do."""

from tests.cli.conftest import shell  # noqa: F401 - a fixture here too
