"""Golden files: compared by default, rewritten by `--update-golden`."""

from pathlib import Path

import pytest

DIRECTORY = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture
def golden(request):
    """Compare a text with `tests/golden/<name>`."""

    def compare(name, text):
        path = DIRECTORY / name
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.exists(), f"no golden file {name}: run pytest --update-golden"
        assert text == path.read_text()

    return compare
