"""The package is one name, which nothing beside a user's script can stand in for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = {"benchmarks", "cli", "codec"}  # its folders, see pyproject.toml
SCRIPT = """
import aecodec.benchmarks, aecodec.cli, aecodec.pillow
from PIL import Image
print(aecodec.info(aecodec.compress(Image.new("L", (9, 7)))).width)
"""


@pytest.mark.parametrize("foreign", ["codec.py", "cli/__init__.py", "benchmarks/__init__.py"])
def test_a_foreign_module_of_a_folders_name_does_no_harm(tmp_path: Path, foreign: str) -> None:
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("raise ImportError('the wrong one')")
    (tmp_path / "script.py").write_text(SCRIPT)
    result = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout == "9\n", result.stderr


def test_nothing_but_one_name_is_installed() -> None:
    names = ("aecodec", "codec", "cli", "benchmarks")
    script = f"from importlib.util import find_spec; print([bool(find_spec(n)) for n in {names}])"
    result = subprocess.run([sys.executable, "-c", script], cwd="/", capture_output=True, text=True)
    assert result.stdout == "[True, False, False, False]\n", result.stderr


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
def test_the_source_distribution_has_every_folder() -> None:
    """Tests need some that are no part of the package."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    folders = {name.split("/")[0] for name in files.stdout.splitlines() if "/" in name}
    grafted = {line.split()[1] for line in (ROOT / "MANIFEST.in").read_text().splitlines() if "graft" in line}
    assert folders - PACKAGE - {".github"} <= grafted
