"""`make install` notices an environment that is not whole, and leaves a whole one alone."""

import hashlib
import importlib.util
import re
import subprocess
import sys
import zipfile
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
    for name in ("pyproject.toml", "tools/make_venv.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "constraints.txt").write_text("# pins\nthing==1.0\n")
    (tmp_path / "hashes.txt").write_text("# hashes\nthing==1.0 --hash=sha256:00\n")
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
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
            lambda tool: (tool.ROOT / "hashes.txt").write_text("newer"), id="changed hashes"
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


def test_every_install_is_checked_or_takes_nothing_from_outside(tool, monkeypatch):
    """What builds the project is among the pins; it is not fetched for the build again."""
    ran = []
    monkeypatch.setattr(tool.subprocess, "run", lambda command, **_: ran.append(command))
    monkeypatch.setattr(tool.shutil, "rmtree", lambda *_, **__: None)
    tool.make()
    installs = [[str(part) for part in command] for command in ran if "install" in command]
    assert len(installs) == 2
    for install in installs:
        assert "--no-deps" in install
        assert "--require-hashes" in install or "--no-build-isolation" in install
    assert (tool.VENV / "requirements.txt").read_text() == "thing==1.0 --hash=sha256:00\n"


def test_a_pin_without_a_hash_is_one_line(tool, capsys):
    (tool.ROOT / "constraints.txt").write_text("thing==1.1\n")
    assert tool.main() == 1
    assert capsys.readouterr().err == "hashes.txt lacks thing==1.1: run tools/hashes.py\n"


def test_every_pin_has_its_hashes(tool):
    """Those of this checkout; setuptools, which builds the project, is one of them."""
    root = SCRIPT.parents[1]
    constraints, hashes = ((root / n).read_text() for n in ("constraints.txt", "hashes.txt"))
    lines = tool.requirements(constraints, hashes).splitlines()
    assert len(lines) > 50
    assert any(line.startswith("setuptools==") for line in lines)
    for line in lines:
        assert re.fullmatch(r"[\w.-]+==[\w.]+( --hash=sha256:[0-9a-f]{64})+", line), line


@pytest.mark.parametrize("altered", [False, True], ids=["as it was", "altered"])
def test_a_wheel_that_was_altered_is_refused(tool, tmp_path, altered):
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    record = "thing.py,,\nthing-1.0.dist-info/METADATA,,\nthing-1.0.dist-info/WHEEL,,\n"
    files = {
        "thing.py": "",
        "thing-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
        "thing-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        "thing-1.0.dist-info/RECORD": record,
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    pin = f"thing==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    if altered:
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("more.py", "")
    (tmp_path / "requirements.txt").write_text(tool.requirements("thing==1.0", pin))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-index", f"--find-links={tmp_path}",
         *tool.CHECKED, f"--target={tmp_path / 'target'}", "--requirement",
         str(tmp_path / "requirements.txt")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) is altered, done.stderr
    assert ("DO NOT MATCH THE HASHES" in done.stderr) is altered
