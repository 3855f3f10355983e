"""Nothing leaves the machine, and no file appears but the outputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.common import SAME_PACKAGE, photograph

HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR")
API = (
    "import sys, aecodec\n"
    "from PIL import Image\n"
    "image = aecodec.decompress(aecodec.compress(Image.open('a.png')))\n"
    "aecodec.upscale(aecodec.enhance(aecodec.denoise(image)), 2)\n"
)
EVERYTHING = (
    ("-m", "aecodec.cli", "compress", "a.png", "--enhance", "--denoise", "auto"),
    ("-m", "aecodec.cli", "compress", "a.png", "b.png", "-d", "many", "-j", "2"),
    ("-m", "aecodec.cli", "decompress", "a.aec", "c.png", "--upscale", "2"),
    ("-m", "aecodec.cli", "info", "a.aec"),
    *(("-m", "aecodec.cli", stage, "a.png", f"{stage}.png") for stage in ("denoise", "enhance", "upscale")),
    ("-c", API),
)


@pytest.mark.parametrize(
    ("chosen", "commands"),
    [(None, EVERYTHING), ("0", EVERYTHING[:1]), ("", EVERYTHING[:1])],  # with "0" and "" ONNX Runtime reports
)
def test_a_fresh_home_stays_empty(
    tmp_path: Path, chosen: str | None, commands: tuple[tuple[str, ...], ...]
) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(photograph(90, 60)).save(tmp_path / name)
    homes = {name: tmp_path / "homes" / name for name in HOMES}
    for folder in homes.values():
        folder.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {name: str(folder) for name, folder in homes.items()} | {"PYTHONPATH": SAME_PACKAGE}
    environment |= {} if chosen is None else {"ORT_DISABLE_TELEMETRY": chosen}
    for command in commands:
        result = subprocess.run(
            [sys.executable, *command], env=environment, cwd=tmp_path, capture_output=True, timeout=120
        )
        assert result.returncode == 0, result.stderr
    assert sorted((tmp_path / "homes").rglob("*")) == sorted(homes.values())
