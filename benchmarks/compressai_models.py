"""CompressAI's pretrained models as reference codecs, if compressai and their weights are installed.

The weights are those that `compressai.zoo` has downloaded into torch's hub folder, see TORCH_HOME. Nothing is
downloaded here. A file holds everything that decoding needs: size, shape and all strings.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aecodec.benchmarks.reference_codecs import ReferenceCodec

ARCHITECTURES = {
    "bmshj2018-factorized": "factorized prior",
    "bmshj2018-hyperprior": "scale hyperprior",
    "mbt2018-mean": "mean-scale hyperprior",
    "cheng2020-anchor": "cheng2020 anchor",
}
STRIDE = 64  # pixels that sides are padded to multiples of
HEADER = struct.Struct("<HHHHB")  # height, width, shape of the smallest latent, number of strings


@dataclass(frozen=True, slots=True)
class CompressaiModel(ReferenceCodec):
    """One architecture, optimised for MSE. Each quality is a pretrained model."""

    architecture: str = ""

    @property
    def settings(self) -> str:
        return f"compressai.zoo.{self.architecture.replace('-', '_')}(QUALITY, 'mse', pretrained=True)"

    def nearest(self, quality: float) -> float:
        return min(self.qualities, key=lambda known: abs(known - quality))

    def encode(self, image: Image.Image, quality: float) -> bytes:
        import torch

        pixels = np.asarray(image.convert("RGB"))
        height, width = pixels.shape[:2]
        below, right = -height % STRIDE, -width % STRIDE
        padded = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
        x = torch.from_numpy(padded.transpose(2, 0, 1).astype(np.float32) / 255)[None]
        with torch.no_grad():
            compressed = model_of(self.architecture, int(quality)).compress(x)
        strings = [strings[0] for strings in compressed["strings"]]
        parts = [HEADER.pack(height, width, *compressed["shape"], len(strings))]
        parts += [struct.pack("<I", len(string)) + string for string in strings]
        return bytes([int(quality)]) + b"".join(parts)

    def decode(self, data: bytes) -> Image.Image:
        import torch

        height, width, rows, columns, count = HEADER.unpack_from(data, 1)
        strings, start = [], 1 + HEADER.size
        for _ in range(count):
            (length,) = struct.unpack_from("<I", data, start)
            strings.append([data[start + 4 : start + 4 + length]])
            start += 4 + length
        with torch.no_grad():
            output = model_of(self.architecture, data[0]).decompress(strings, (rows, columns))["x_hat"]
        decoded = output[0, :, :height, :width].clamp(0, 1).permute(1, 2, 0).numpy()
        return Image.fromarray(np.rint(255 * decoded).astype(np.uint8))


def checkpoints() -> Path:
    """The folder of torch's hub for downloads, found without importing torch."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("TORCH_HOME", cache_home / "torch")) / "hub" / "checkpoints"


def qualities_of(architecture: str) -> tuple[float, ...]:
    """The qualities whose weights are at hand."""
    paths = checkpoints().glob(f"{architecture}-[1-8]-*.pth.tar")
    return tuple(sorted(float(path.name.removeprefix(f"{architecture}-")[0]) for path in paths))


@cache
def model_of(architecture: str, quality: int) -> Any:
    """A pretrained model, its tables built."""
    import torch
    from compressai.zoo.image import model_architectures
    from compressai.zoo.pretrained import load_pretrained

    [path] = checkpoints().glob(f"{architecture}-{quality}-*.pth.tar")
    state = load_pretrained(torch.load(path, map_location="cpu", weights_only=True))
    model = model_architectures[architecture].from_state_dict(state).eval()
    model.update()
    return model


def compressai_codecs() -> tuple[list[ReferenceCodec], dict[str, str]]:
    """The architectures whose weights are installed, and the reasons why the others are absent."""
    codecs: list[ReferenceCodec] = []
    absent = {}
    for architecture, label in ARCHITECTURES.items():
        name, qualities = f"compressai {label}", qualities_of(architecture)
        if len(qualities) < 2:
            absent[name] = f"its weights are not in {checkpoints()}"
        elif find_spec("compressai") is None:
            absent[name] = "compressai is not installed: pip install 'aecodec[train]'"
        else:
            text = f"compressai {version('compressai')}, {architecture}"
            codec = CompressaiModel(
                name, "zoo", text, qualities, licence="BSD-3-Clause-Clear", architecture=architecture
            )
            codecs.append(replace(codec, span=(qualities[0], qualities[-1])))
    return codecs, absent
