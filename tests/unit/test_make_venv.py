"""`make install` notices an environment that is not whole, and leaves a whole one alone."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "make_venv.py"


def lose_the_package(python):
    """An interpreter that no longer finds what was installed."""
    python.unlink()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The script, on a checkout of its own whose environment is this one, linked."""
    spec = importlib.util.spec_from_file_location("make_venv", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "tools").mkdir()
    for name in ("pyproject.toml", "constraints.txt", "tools/make_venv.py"):
        (tmp_path / name).write_text(name)
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", venv)
    monkeypatch.setattr(module, "STAMP", venv / ".stage1-stamp")
    module.STAMP.write_text(module.wanted())
    return module


def test_whole_environment_is_left_alone(tool, monkeypatch):
    monkeypatch.setattr(tool, "make", lambda: pytest.fail("made again"))
    assert tool.main() == 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda tool: tool.STAMP.unlink(), id="interrupted install"),
        pytest.param(lambda tool: tool.STAMP.write_text("old"), id="made from something else"),
        pytest.param(
            lambda tool: (tool.ROOT / "constraints.txt").write_text("newer"), id="changed pins"
        ),
        pytest.param(
            lambda tool: (tool.VENV / "bin" / "python").unlink(), id="interpreter is gone"
        ),
        pytest.param(
            lambda tool: lose_the_package(tool.VENV / "bin" / "python"), id="lost package"
        ),
    ],
)
def test_damage_makes_it_anew(tool, monkeypatch, damage):
    made = []
    monkeypatch.setattr(tool, "make", lambda: made.append(True))
    damage(tool)
    assert tool.main() == 0
    assert made == [True]


def test_failed_install_leaves_nothing_half_made(tool, monkeypatch, capsys):
    def fail():
        raise subprocess.CalledProcessError(1, ["pip", "install"])

    tool.STAMP.unlink()
    monkeypatch.setattr(tool, "make", fail)
    assert tool.main() == 1
    assert not tool.VENV.exists()
    assert "make install" in capsys.readouterr().err


def test_old_python_is_named(tool, monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    assert tool.main() == 1
    assert "Python 3.11 or newer is needed, this is 3.10" in capsys.readouterr().err
