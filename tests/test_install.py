"""What `make` needs is installed once, by a user with write access to the folder."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from app.settings import ROOT

SCRIPT = Path("scripts/install.py")
PINS = (Path("requirements-dev.lock"), Path("app/web/graphiql/packages.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what is looked at, in a folder where no lock can be had."""
    for file in (SCRIPT, *PINS):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / ".install.lock").mkdir()
    return tmp_path


def script_in(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", folder / SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def install(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, folder / SCRIPT], capture_output=True, text=True, check=False)


def test_whoever_may_not_write_into_the_folder_is_told(folder: Path) -> None:
    done = install(folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{folder / '.install.lock'} cannot be written (Is a directory)")


def test_whoever_may_not_write_into_the_folder_can_use_what_is_installed(folder: Path) -> None:
    script = script_in(folder)
    script.PYTHON.parent.mkdir(parents=True)
    script.PYTHON.touch()
    script.STAMP.write_text(script.wanted())
    done = install(folder)
    assert (done.returncode, done.stderr) == (0, "")


def test_other_pins_are_installed_anew(folder: Path) -> None:
    script = script_in(folder)
    script.PYTHON.parent.mkdir(parents=True)
    script.PYTHON.touch()
    script.STAMP.write_text(script.wanted())
    assert script.is_installed()
    (folder / PINS[0]).write_text("another==1.0")
    assert not script.is_installed()
