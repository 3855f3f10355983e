"""compressai's pretrained models as peers, where compressai is installed and their weights are at hand.

Weights are those that `compressai.zoo` has downloaded: they lie in torch's hub folder, TORCH_HOME says where.
Nothing is downloaded here. A file holds everything that decoding takes: size, shape and all strings.
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

from aecodec.benchmarks.peers import Peer

ARCHITECTURES = {
    "bmshj2018-factorized": "factorized prior",
    "bmshj2018-hyperprior": "scale hyperprior",
    "mbt2018-mean": "mean-scale hyperprior",
    "cheng2020-anchor": "cheng2020 anchor",
}
STRIDE = 64  # pixels that sides are padded to multiples of
HEADER = struct.Struct("<HHHHB")  # height, width, shape of the smallest latent, number of strings


@dataclass(frozen=True, slots=True)
class ZooPeer(Peer):
    """One architecture, optimised for MSE; its qualities are the models of the zoo."""

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
            coded = model_of(self.architecture, int(quality)).compress(x)
        strings = [strings[0] for strings in coded["strings"]]
        parts = [HEADER.pack(height, width, *coded["shape"], len(strings))]
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
            found = model_of(self.architecture, data[0]).decompress(strings, (rows, columns))["x_hat"]
        decoded = found[0, :, :height, :width].clamp(0, 1).permute(1, 2, 0).numpy()
        return Image.fromarray(np.rint(255 * decoded).astype(np.uint8))


def checkpoints() -> Path:
    """Where torch's hub keeps what it has downloaded, told without importing torch."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("TORCH_HOME", cache_home / "torch")) / "hub" / "checkpoints"


def qualities_of(architecture: str) -> tuple[float, ...]:
    """The qualities whose weights are at hand."""
    found = checkpoints().glob(f"{architecture}-[1-8]-*.pth.tar")
    return tuple(sorted(float(path.name.removeprefix(f"{architecture}-")[0]) for path in found))


@cache
def model_of(architecture: str, quality: int) -> Any:
    """A model of the zoo, its tables built."""
    import torch
    from compressai.zoo.image import model_architectures
    from compressai.zoo.pretrained import load_pretrained

    [path] = checkpoints().glob(f"{architecture}-{quality}-*.pth.tar")
    state = load_pretrained(torch.load(path, map_location="cpu", weights_only=True))
    model = model_architectures[architecture].from_state_dict(state).eval()
    model.update()
    return model


def of_zoo() -> tuple[list[Peer], dict[str, str]]:
    """The models of the zoo with weights at hand, and why the others are absent."""
    peers: list[Peer] = []
    absent = {}
    for architecture, label in ARCHITECTURES.items():
        name, qualities = f"compressai {label}", qualities_of(architecture)
        if len(qualities) < 2:
            absent[name] = f"its weights are not in {checkpoints()}"
        elif find_spec("compressai") is None:
            absent[name] = "compressai is not installed: pip install 'aecodec[train]'"
        else:
            text = f"compressai {version('compressai')}, {architecture}"
            peer = ZooPeer(
                name, "zoo", text, qualities, licence="BSD-3-Clause-Clear", architecture=architecture
            )
            peers.append(replace(peer, span=(qualities[0], qualities[-1])))
    return peers, absent
