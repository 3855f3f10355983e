"""Files written once decode for ever: the same symbols, the same pixels within one level.

tests/golden/ is never regenerated in place. A new model or format adds files; a file leaves only when
CHANGELOG, under *Bitstream*, says that its model or format is no longer read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.model.registry import list_models, load_model
from tests.common import ROOT, SAME_PACKAGE, run_python
from tests.portability import GOLDEN, WAYS, by_package, dispatched, run

FILES = sorted(GOLDEN.glob("*.aec"))


def test_there_are_golden_files() -> None:
    infos = [aecodec.info(path.read_bytes()) for path in FILES]
    assert {info.coding for info in infos} == {"learned", "lossless"}
    assert {info.model for info in infos} >= {load_model(path).fingerprint.hex() for path in list_models()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pixels(path: Path) -> None:
    decoded = aecodec.decompress(path.read_bytes())
    with Image.open(path.with_suffix(".png")) as image:
        expected = image.copy()
    assert (decoded.mode, decoded.size) == (expected.mode, expected.size)
    difference = np.asarray(decoded).astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_symbols(path: Path) -> None:
    assert by_package(path.read_bytes())[0] == json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize("name", WAYS)
def test_other_ways_to_compute(name: str) -> None:
    report = run([sys.executable], WAYS[name])
    assert report.files == len(FILES)
    assert report.wrong_symbols == 0
    assert report.largest <= 1


def test_without_constriction_our_own_coder_decodes() -> None:
    """Or else the way that is called so would test nothing."""
    script = (
        "import sys; sys.argv = ['', '--decode', 'package'];"
        "from tests import portability; portability.main();"
        "from aecodec.entropy.ans import installed_ans; print(type(installed_ans()).__name__)"
    )
    environment = {**os.environ, **WAYS["without constriction"], "PYTHONPATH": SAME_PACKAGE}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    report, coder = result.stdout.splitlines()
    assert json.loads(report)["versions"].endswith("constriction none")
    assert coder == "PythonAns"


def test_numpy_can_be_told_what_not_to_use() -> None:
    """Or else the way that is called so would test nothing."""
    script = "from tests.portability import dispatched; print(dispatched())"
    assert run_python(script).strip() == dispatched()
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": dispatched(), "PYTHONPATH": SAME_PACKAGE}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""
