"""Trained weights of a stage to the ONNX graphs that the package ships."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from torch import Tensor, nn

from aecodec.restoration.networks import MANIFEST
from aecodec.restoration.upscaling import SCALES
from aecodec.training.graphs import to_onnx
from aecodec.training.loop import load_weights
from aecodec.training.stages import SRCNN, SubPixel, denoiser, enhancer


class OneScale(nn.Module):
    """A SubPixel network for one of its scales."""

    def __init__(self, network: SubPixel, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, luma: Tensor, enlarged: Tensor) -> Tensor:
        return self.network(luma, enlarged, self.scale)


def graphs_of(name: str, weights: Path) -> dict[str, bytes]:
    """The graphs, by name, of the stage `name` with weights (safetensors)."""
    if name.startswith("srcnn"):
        network = load_weights(SRCNN(), weights).eval()
        return {name: to_onnx(network, {"luma": (1, 48, 64)}, ["output"], halve=False)}
    if name == "upscale":
        network = load_weights(SubPixel(), weights).eval()
        return {
            f"upscale{s}": to_onnx(
                OneScale(network, s), {"luma": (1, 24, 32), "enlarged": (1, 24 * s, 32 * s)}, ["output"]
            )
            for s in SCALES
        }
    network = load_weights(denoiser() if name == "denoise" else enhancer(), weights).eval()
    inputs = {"image": (3, 48, 64), **({"sigma": (1, 48, 64)} if name == "denoise" else {})}
    return {name: to_onnx(network, inputs, ["output"])}


def export_stage(name: str, weights: Path, directory: Path, record: dict[str, str]) -> list[str]:
    """Write a stage's graphs into a directory and its manifest; returns their names.

    `record` goes into the manifest: licence, data and training.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / MANIFEST
    manifest = json.loads(path.read_bytes()) if path.exists() else {}
    graphs = graphs_of(name, weights)
    for graph_name, graph in graphs.items():
        (directory / f"{graph_name}.onnx").write_bytes(graph)
        manifest[graph_name] = {"sha256": hashlib.sha256(graph).hexdigest(), **record}
    path.write_text(json.dumps(dict(sorted(manifest.items())), indent=2) + "\n")
    return list(graphs)
