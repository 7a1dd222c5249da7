"""What can go wrong, in words for the person at the terminal.

Every class is a `Stage1Error`: the command line prints its text as one line and exits with
`exit_code`. The docstring of a class is its text where none is given.
"""


class Stage1Error(Exception):
    """Stage1 cannot go on."""

    exit_code = 1

    def __init__(self, message: str | None = None, *, next_step: str | None = None) -> None:
        """Keep the one-line `message` and the `next_step` that the user should take."""
        text = " ".join((message or type(self).__doc__ or "").split())
        self.next_step = next_step
        super().__init__(f"{text} Next: {next_step}" if next_step else text)


class NoPythonError(Stage1Error):
    """A revision, which is loaded by its path, is no Python."""

    def __init__(self, error: SyntaxError) -> None:
        """Say where."""
        super().__init__(
            f"{error.filename}, line {error.lineno}: {error.msg}.",
            next_step="correct it, or restore it from git.",
        )


class SettingsError(Stage1Error):
    """The settings cannot be used."""


class PostgresError(Stage1Error):
    """PostgreSQL refused."""


class QuestDBError(Stage1Error):
    """QuestDB refused."""


class ServerStartError(Stage1Error):
    """A local server did not start."""

    log_tail = ""  # the last lines of its log


class ConfirmationError(Stage1Error):
    """The name of the target was not confirmed."""


class VerificationError(Stage1Error):
    """The result is not what it should be."""
