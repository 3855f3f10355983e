"""The README's examples run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.common import photograph

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds what the examples name."""
    Image.fromarray(photograph(320, 240)).save(tmp_path / "photo.png")
    return tmp_path


def test_console_examples(folder: Path) -> None:
    commands = [line[2:] for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "]
    assert len(commands) >= 4
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        result = subprocess.run(
            command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert result.returncode == 0, f"{command}\n{result.stderr}"


def test_python_examples(folder: Path) -> None:
    examples = blocks("python")
    assert examples
    for example in examples:
        subprocess.run([sys.executable, "-c", example], cwd=folder, check=True, timeout=120)


def test_set_up_commands_are_those_of_ci() -> None:
    assert sum("pytest" in line and "python3 -m venv" in line for line in README.splitlines()) == 1
    assert "grep -o 'python3 -m venv" in (ROOT / ".ci" / "run").read_text()
