"""Trained weights to a model directory: ONNX graphs, integer tables and a manifest.

The tables are fitted last, to the symbols that the exported graphs themselves produce.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.torch import load_file
from torch import Tensor, nn

from codec.bitstream import QUALITY_UNITS
from codec.entropy import FRACTION_BITS, SCALE_LEVELS, Tables
from codec.model import DECODER_FILES, ENCODER_FILES, MANIFEST, TABLES, Model, fingerprint_of
from codec.pipeline import Latents, encode_latents
from codec.training.data import Pixels
from codec.training.networks import (
    SCALE_RANGE,
    SCALE_STEP,
    Z_LIMITS,
    Codec,
    Widths,
    anchor_weights,
)

PRECISION = 2**22  # sum of the counts of a table, about
FIRST_LEVEL = 2  # levels below are not coded
REACH = 5.0  # standard deviations to each side that a table covers
GAUSSIAN_WEIGHT = 100.0  # observations that the Gaussian is worth when tables are fitted
PRIORS = 32  # of the hyper-latent, one of which each file names
FIT_QUALITIES = tuple(range(0, 101, 10))
OPSET = 18


class Part(nn.Module):
    """One network as a function of plain tensors, the quality last."""

    def __init__(self, codec: Codec, name: str) -> None:
        super().__init__()
        self.codec = codec
        self.part = name

    def forward(self, *inputs: Tensor) -> Any:
        *arrays, quality = inputs
        weights = anchor_weights(quality)
        if self.part == "analysis":
            y = self.codec.analysis(arrays[0], weights)
            return y, self.codec.hyper_analysis(y)
        return getattr(self.codec, self.part)(*arrays, weights)


def graph(codec: Codec, name: str) -> bytes:
    """One network as ONNX: float32 arithmetic, large weights stored as float16."""
    m, z = codec.widths.latents, codec.widths.latents // 16
    refinement = {"features": (codec.widths.means, 4, 6), "means": (m, 4, 6), "known": (m, 4, 6)}
    sizes = {
        "analysis": {"image": (3, 64, 96)},
        "first_means": {"z": (z, 2, 3)},
        "second_means": refinement,
        "third_means": refinement,
        "synthesis": {"y": (m, 4, 6)},
    }[name]
    outputs = {"analysis": ["y", "z"], "first_means": ["features", "means"]}.get(name, ["output"])
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Part(codec, name),
            (*(torch.rand(1, *size) for size in sizes.values()), torch.tensor([50.0])),
            file,
            input_names=[*sizes, "quality"],
            output_names=outputs,
            dynamic_axes={key: {2: "rows", 3: "columns"} for key in [*sizes, *outputs]},
            opset_version=OPSET,
            dynamo=False,
        )
    return halve_weights(onnx.load_from_string(file.getvalue())).SerializeToString()


def halve_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its large float32 weights stored as float16 and cast back when it is loaded."""
    for weight in list(model.graph.initializer):
        array = numpy_helper.to_array(weight)
        if array.dtype == np.float32 and array.size > 1024:
            half = numpy_helper.from_array(array.astype(np.float16), weight.name + "_half")
            model.graph.initializer.remove(weight)
            model.graph.initializer.append(half)
            cast = onnx.helper.make_node("Cast", [half.name], [weight.name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    return model


def gaussian(deviation: float, reach: int) -> NDArray[np.float64]:
    """Probabilities of -reach to reach, then of the escape, under a rounded Gaussian."""
    edges = (np.arange(-reach, reach + 2) - 0.5) / (deviation * math.sqrt(2))
    below = np.array([0.5 * math.erfc(-edge) for edge in edges])
    inside = np.diff(below)
    return np.append(inside, max(1 - inside.sum(), 2.0**-20))


def to_counts(probabilities: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Integer counts, at least 1, that sum to PRECISION or little more (along the last axis)."""
    shares = probabilities / probabilities.sum(-1, keepdims=True)
    return np.maximum(np.rint(shares * PRECISION), 1).astype(np.uint32)


def initial_tables(codec: Codec) -> Tables:
    """The integer scale map, Gaussian tables and flat priors."""
    deviations = [SCALE_RANGE[0] * math.exp(level * SCALE_STEP) for level in range(SCALE_LEVELS)]
    reach = np.array([math.ceil(REACH * d) + 1 for d in deviations], np.int32)
    counts = [to_counts(gaussian(d, int(r))) for d, r in zip(deviations, reach, strict=True)]
    weight = codec.scale_map.weight.detach().flatten(1).double().numpy() * 2**FRACTION_BITS
    offset = codec.scale_map.offset.rows.detach().double().numpy() * 2**FRACTION_BITS
    values = Z_LIMITS[1] - Z_LIMITS[0] + 1
    return Tables(
        scale_weight=np.rint(weight).astype(np.int16),
        scale_offset=np.rint(offset).astype(np.int32),
        z_low=Z_LIMITS[0],
        z_counts=np.full((1, codec.widths.latents // 16, values), PRECISION // values, np.uint32),
        y_counts=np.concatenate(counts),
        y_reach=reach,
        first_level=FIRST_LEVEL,
    )


def observed_latents(model: Model, images: list[Pixels]) -> Iterator[Latents]:
    """The latents of every image at every one of FIT_QUALITIES."""
    for image in images:
        for quality in FIT_QUALITIES:
            yield encode_latents(model, image, quality * QUALITY_UNITS)


def fit_tables(tables: Tables, observed: Iterable[Latents]) -> Tables:
    """Tables refitted to latents: the scales' to what was counted, the priors by clustering."""
    counted = [np.zeros(2 * reach + 2) for reach in tables.y_reach]
    histograms = []
    for latents in observed:
        for level in range(SCALE_LEVELS):
            values = latents.symbols[latents.index == level].astype(np.int64)
            reach = tables.y_reach[level]
            codes = np.where(np.abs(values) > reach, 2 * reach + 1, values + reach)
            counted[level] += np.bincount(codes, minlength=2 * reach + 2)
        rows = (latents.z - tables.z_low).reshape(len(latents.z), -1)
        width = tables.z_counts.shape[2]
        histograms.append(np.stack([np.bincount(row, minlength=width) for row in rows]))
    fitted = [to_counts(blend(tables.level_counts(n), counted[n])) for n in range(SCALE_LEVELS)]
    return replace(
        tables,
        y_counts=np.concatenate(fitted),
        z_counts=to_counts(cluster_priors(np.stack(histograms).astype(np.float64))),
    )


def blend(prior: NDArray[np.uint32], counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Observed counts, made symmetric, with the prior table as so many observations more."""
    inside = counted[:-1]
    symmetric = np.append((inside + inside[::-1]) / 2, counted[-1])
    return np.asarray(symmetric + GAUSSIAN_WEIGHT * prior / prior.sum())


def cluster_priors(histograms: NDArray[np.float64], rounds: int = 20) -> NDArray[np.float64]:
    """PRIORS distributions (P, Z, values) that code the histograms (N, Z, values) in the fewest bits.

    Lloyd's algorithm, the distance of a file from a prior being the bits it takes under it.
    """
    order = np.argsort((histograms * np.arange(histograms.shape[2])).sum((1, 2)) / histograms.sum((1, 2)))
    member = np.empty(len(histograms), np.int64)
    member[order] = np.arange(len(histograms)) * PRIORS // len(histograms)
    overall = smooth(histograms.sum(0))
    for _ in range(rounds):
        sums = np.stack([histograms[member == p].sum(0) for p in range(PRIORS)])
        priors = smooth(sums) + 1e-3 * overall
        bits = -np.log2(priors / priors.sum(2, keepdims=True))
        member = np.tensordot(histograms, bits, axes=([1, 2], [1, 2])).argmin(1)
    return np.asarray(priors)


def smooth(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distributions along the last axis: counts with neighbours and a floor mixed in."""
    padded = np.pad(counts, [(0, 0)] * (counts.ndim - 1) + [(1, 1)])
    mixed = 0.02 * padded[..., :-2] + 0.96 * counts + 0.02 * padded[..., 2:] + 0.02
    return np.asarray(mixed / mixed.sum(-1, keepdims=True))


def serialise_tables(tables: Tables) -> bytes:
    """The tables as an npz archive."""
    file = io.BytesIO()
    np.savez_compressed(file, **asdict(tables))
    return file.getvalue()


def manifest_of(files: dict[str, bytes], record: dict[str, Any]) -> dict[str, Any]:
    """What identifies a model and where it comes from."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return {"fingerprint": fingerprint_of(files).hex(), "sha256": sums, **record}


def export(weights: Path, out: Path, images: list[Pixels], record: dict[str, Any]) -> Model:
    """Write the model directory `out` from weights (safetensors); tables are fitted to `images`.

    `record` goes into the manifest: licence, data and training.
    """
    state = load_file(weights)
    codec = Codec(Widths()).eval()
    codec.load_state_dict(state)
    names = [*DECODER_FILES[1:], *ENCODER_FILES]
    files = {name: graph(codec, name.removesuffix(".onnx")) for name in names}
    files[TABLES] = serialise_tables(initial_tables(codec))
    model = Model(out.name, manifest_of(files, record), files)
    fitted = fit_tables(model.tables, observed_latents(model, images))
    files = {**files, TABLES: serialise_tables(fitted)}
    model = Model(out.name, manifest_of(files, record), files)
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    (out / MANIFEST).write_text(json.dumps(model.manifest, indent=2) + "\n")
    return model
