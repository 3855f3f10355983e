"""Trained weights to a model directory: ONNX graphs, integer tables and a manifest.

The tables are fitted last, to the symbols that the exported graphs themselves produce.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from aecodec.arrays import Integers
from aecodec.encoder.quantisation import quantised
from aecodec.entropy.coder import Latents
from aecodec.entropy.context import (
    CONTEXT_PASSES,
    LOUDEST,
    RATIOS,
    adapt_scale_indices,
    coded_scale_indices,
    context_passes,
)
from aecodec.entropy.hyperprior import CONTEXTS, HYPER_FRACTION_BITS, HYPER_PASSES, hyper_steps
from aecodec.entropy.tables import FORMAT, FRACTION_BITS, SCALE_LEVELS, FrequencyTables, write_tables
from aecodec.errors import ModelError
from aecodec.model.onnx_graph import without_shared
from aecodec.model.registry import DECODER_FILES, ENCODER_FILES, MANIFEST, TABLES, Model, decoder_digest
from aecodec.sampling import evenly_spaced
from aecodec.training.data import Pixels
from aecodec.training.distortion import TUNINGS, Tuning
from aecodec.training.graphs import to_onnx
from aecodec.training.hyperprior import SCALE_RANGE, SCALE_STEP
from aecodec.training.layers import anchor_weights, lagrangian
from aecodec.training.networks import Z_LIMITS, Codec, load_codec
from aecodec.training.pruning import prune_analysis
from aecodec.training.refit import refit_scales
from aecodec.training.smoothing import smooth_analysis

# Sum of the counts of a table, about. Larger counts are closer to the probabilities; the coder takes 24 bits.
PRECISION = 2**22
# Scale index below which symbols are taken as zero and not coded: a higher one saves time, and loses the few
# symbols that are not zero.
SKIP_BELOW = 2
# Standard deviations to each side that a table covers. Symbols outside take an escape code; wider tables take
# more space in the model.
SUPPORT = 5.0
# Observations that the Gaussian counts for when tables are fitted: more keeps tables smooth where few symbols
# were seen, fewer lets them follow the counts.
GAUSSIAN_WEIGHT = 100.0
# Observations that the mean over all files counts for in each context of a CDF set, for the same reason.
CDF_SET_WEIGHT = 30.0
# Sets of tables for z, of which each file names one: more fit files better, and need more pictures to be
# fitted.
CDF_SETS = 8
# Rounds of fitting tables and then the shifts of scale indices, each of which depends on the other.
FIT_ROUNDS = 2
FIT_QUALITIES = tuple(range(0, 101, 10))  # steps of 10: tables are shared by all qualities


class NetworkGraph(nn.Module):
    """One network as a function of plain tensors, the quality last.

    The network `gradient` gives the gradient of a tuning's error. Its inputs `bit_derivatives` and `passes`
    are named `slopes` and `turn` in graphs, as in those that are shipped.
    """

    def __init__(self, codec: Codec, name: str, tuning: Tuning) -> None:
        super().__init__()
        self.codec, self.network, self.tuning = codec, name, tuning

    def forward(self, *inputs: Tensor) -> Any:
        *arrays, quality = inputs
        weights = anchor_weights(quality)
        if self.network == "analysis":
            y = self.codec.analysis(arrays[0], weights)
            return y, self.codec.hyper_analysis(y)
        if self.network == "gradient":
            y, image, inside, features, bit_derivatives, passes = arrays
            decoded, vjp = self.codec.synthesis.with_vjp(y, weights)
            decoded = image + (decoded.clamp(0, 1) - image) * inside
            gradient = self.tuning.gradient(decoded, image) * inside * (lagrangian(quality) * 255**2)
            return vjp(gradient / 2), self.codec.bits_gradient(y, features, bit_derivatives, passes, weights)
        return getattr(self.codec, self.network)(*arrays, weights)


def graph(codec: Codec, name: str, tuning: Tuning) -> bytes:
    """One network as ONNX: float32 arithmetic, large weights stored as float16.

    Most products of the analysis are of 8 bits, see `aecodec.training.smoothing`. No decoder runs the
    analysis.
    """
    m, z = codec.config.latents, codec.config.latents // 16
    latent, features = (m, 4, 6), {"features": (codec.config.means, 4, 6)}
    refinement = {**features, "means": latent, "known": latent}
    picture = {"image": (3, 64, 96), "inside": (1, 64, 96)}
    sizes = {
        "analysis": {"image": (3, 64, 96)},
        "first_means": {"z": (z, 2, 3)},
        "second_means": refinement,
        "third_means": refinement,
        "synthesis": {"y": latent},
        "gradient": {"y": latent, **picture, **features, "slopes": latent, "turn": latent},
    }[name]
    pairs = {
        "analysis": ["y", "z"],
        "first_means": ["features", "means"],
        "gradient": ["of_error", "of_bits"],
    }
    outputs = pairs.get(name, ["output"])
    narrow = "codec.analysis.blocks." if name == "analysis" else ""
    inputs = {**sizes, "quality": None}
    return to_onnx(NetworkGraph(codec, name, tuning), inputs, outputs, fold=name != "gradient", narrow=narrow)


def gaussian(deviation: float, support: int) -> NDArray[np.float64]:
    """Probabilities of -reach to reach, then of the escape, under a rounded Gaussian."""
    edges = (np.arange(-support, support + 2) - 0.5) / (deviation * math.sqrt(2))
    below = np.array([0.5 * math.erfc(-edge) for edge in edges])
    inside = np.diff(below)
    return np.append(inside, max(1 - inside.sum(), 2.0**-20))


def to_counts(probabilities: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Integer counts, at least 1, that sum to PRECISION or little more (along the last axis)."""
    shares = probabilities / probabilities.sum(-1, keepdims=True)
    return np.maximum(np.rint(shares * PRECISION), 1).astype(np.uint32)


def initial_tables(codec: Codec) -> FrequencyTables:
    """The integer scale map, Gaussian tables for y and flat tables for z."""
    deviations = [SCALE_RANGE[0] * math.exp(index * SCALE_STEP) for index in range(SCALE_LEVELS)]
    support = np.array([math.ceil(SUPPORT * d) + 1 for d in deviations], np.int32)
    counts = [to_counts(gaussian(d, int(r))) for d, r in zip(deviations, support, strict=True)]
    values = 2 * (Z_LIMITS[1] - Z_LIMITS[0]) + 1
    prediction = codec.hyper_prediction
    return FrequencyTables(
        scale_weight=fixed_point(codec.scale_map.weight.flatten(1), FRACTION_BITS, np.int16),
        scale_offset=fixed_point(codec.scale_map.offset.rows, FRACTION_BITS),
        z_low=Z_LIMITS[0],
        z_in_place=fixed_point(prediction.in_place.tril(-1), HYPER_FRACTION_BITS, np.int16),
        z_around=fixed_point(prediction.around, HYPER_FRACTION_BITS, np.int16),
        z_offset=fixed_point(prediction.offset.rows, HYPER_FRACTION_BITS),
        z_frequencies=np.full((1, HYPER_PASSES * CONTEXTS, values), PRECISION // values, np.uint32),
        y_frequencies=np.concatenate(counts),
        y_support=support,
        skip_below=SKIP_BELOW,
        magnitude=np.array([mean_magnitude(d) for d in deviations], np.int32),
        scale_index_shift=np.zeros((SCALE_LEVELS, len(RATIOS) + 1), np.int8),
        reconstruction_offset=codec.quantiser.reconstruction_offset.detach().float().numpy(),
    )


def fixed_point(
    values: Tensor, bits: int, integer_type: type[np.signedinteger[Any]] = np.int32
) -> NDArray[Any]:
    """Values in units of 2**-bits; raises ModelError where they do not fit `integer_type`."""
    units = np.rint(values.detach().double().numpy() * 2**bits)
    if np.abs(units).max() > np.iinfo(integer_type).max:
        raise ModelError(
            f"{np.abs(units).max():g} does not fit {integer_type.__name__}: these weights cannot be exported"
        )
    return units.astype(integer_type)


def mean_magnitude(deviation: float) -> int:
    """Mean magnitude of a rounded Gaussian, in 2**-4, at least one such unit."""
    support = math.ceil(SUPPORT * deviation) + 1
    inside = gaussian(deviation, support)[:-1]
    return max(1, round(16 * float((inside * np.abs(np.arange(-support, support + 1))).sum())))


def observed_latents(model: Model, images: Sequence[Pixels]) -> Iterator[Latents]:
    """The latents of every image at every one of FIT_QUALITIES."""
    for image in images:
        for quality in FIT_QUALITIES:
            yield quantised(model, image, quality).latents


def fit_tables(tables: FrequencyTables, observed: list[Latents]) -> FrequencyTables:
    """The tables fitted to latents: shifts of scale indices by context, frequencies, clustered CDF sets."""
    for _ in range(FIT_ROUNDS):
        tables = replace(tables, y_frequencies=fit_counts(tables, observed))
        tables = replace(tables, scale_index_shift=fit_shift(tables, observed))
    histograms = np.stack([z_histogram(tables, latents.z, latents.quality) for latents in observed])
    return replace(
        tables,
        y_frequencies=fit_counts(tables, observed),
        z_frequencies=to_counts(cluster_cdf_sets(histograms)),
    )


def fit_counts(tables: FrequencyTables, observed: list[Latents]) -> NDArray[np.uint32]:
    """The observed counts of each scale index, blended with Gaussians."""
    seen = np.zeros(tables.y_starts[-1])
    for latents, number in product(observed, range(CONTEXT_PASSES)):
        for places, adapted in coded_scale_indices(tables, latents.scale_index, latents.symbols, number):
            symbols = latents.symbols.reshape(-1)[places].astype(np.float32)
            seen += np.bincount(tables.entries(symbols, adapted), minlength=len(seen))
    counts = np.split(seen, tables.y_starts[1:-1])
    deviations = [SCALE_RANGE[0] * math.exp(scale_index * SCALE_STEP) for scale_index in range(SCALE_LEVELS)]
    gaussians = [gaussian(d, int(support)) for d, support in zip(deviations, tables.y_support, strict=True)]
    return np.concatenate([to_counts(blend(p, c)) for p, c in zip(gaussians, counts, strict=True)])


def fit_shift(tables: FrequencyTables, observed: list[Latents]) -> NDArray[np.int8]:
    """The shift of each scale index in each column of context under which symbols take the fewest bits.

    Every file has the same weight. Otherwise files of high quality, which hold most symbols, would decide
    alone.
    """
    columns = tables.scale_index_shift.shape[1]
    # with this table in place of the shifts, `adapt_scale_indices` gives the column itself
    identity = np.arange(columns) - np.arange(SCALE_LEVELS)[:, None]
    probe = replace(tables, scale_index_shift=identity.astype(np.int8))
    histogram = np.zeros((SCALE_LEVELS * columns, 2 * LOUDEST + 1))
    for latents in observed:
        weight = 1e4 / (1 + np.count_nonzero(latents.symbols))  # 1e4: counts of about one and more
        order, coded = context_passes(latents.scale_index.shape), latents.scale_index >= tables.skip_below
        for number in range(1, CONTEXT_PASSES):
            positions = (order == number) & coded
            adapted = adapt_scale_indices(probe, latents.scale_index, latents.symbols, number)
            columns_seen = adapted[positions].astype(np.int64)
            values = np.clip(latents.symbols[positions], -LOUDEST, LOUDEST).astype(np.int64)
            rows = latents.scale_index[positions].astype(np.int64) * columns + columns_seen
            flat = rows * histogram.shape[1] + values + LOUDEST
            histogram += weight * np.bincount(flat, minlength=histogram.size).reshape(histogram.shape)
    values = np.arange(-LOUDEST, LOUDEST + 1, dtype=np.float32)
    bits = [tables.bits_of(values, np.full(len(values), n, np.uint8)) for n in range(SCALE_LEVELS)]
    cost = (histogram @ np.stack(bits, axis=1)).reshape(SCALE_LEVELS, columns, SCALE_LEVELS)
    stay = 1e-3 * np.abs(
        np.arange(SCALE_LEVELS) - np.arange(SCALE_LEVELS)[:, None]
    )  # no shift where nothing was seen
    best = (cost + stay[:, None]).argmin(2)
    return (best - np.arange(SCALE_LEVELS)[:, None]).astype(np.int8)


def blend(prior: NDArray[np.float64], counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Observed counts, made symmetric, plus GAUSSIAN_WEIGHT observations that follow the Gaussian `prior`."""
    inside = counted[:-1]
    symmetric = np.append((inside + inside[::-1]) / 2, counted[-1])
    return np.asarray(symmetric + GAUSSIAN_WEIGHT * prior / prior.sum())


def z_histogram(tables: FrequencyTables, z: Integers, quality: float) -> NDArray[np.int64]:
    """How often each symbol of the hyper-latent (Z, h, w) occurs in each context (contexts, values)."""
    contexts, values = tables.z_frequencies.shape[1:]
    seen = np.zeros(contexts * values, np.int64)
    for step in hyper_steps(tables, z, quality):
        codes = z[step.channel].reshape(-1)[step.places] - step.origin + values // 2
        seen += np.bincount(step.context * values + codes, minlength=len(seen))
    return seen.reshape(contexts, values)


def cluster_cdf_sets(histograms: NDArray[np.int64], rounds: int = 20) -> NDArray[np.float64]:
    """CDF sets (P, contexts, values) under which histograms (N, contexts, values) take few bits.

    The algorithm is Lloyd's. The distance of a file from a set is the number of bits that it takes under it.
    """
    flat = histograms.reshape(len(histograms), -1).astype(np.float32)
    overall = smooth(flat.sum(0).reshape(histograms.shape[1:]), 0.01)
    contexts = flat.reshape(histograms.shape).sum(2)
    order = np.argsort((contexts * np.arange(contexts.shape[1])).sum(1) / contexts.sum(1))
    cluster = np.empty(len(flat), np.int64)
    cluster[order] = np.arange(len(flat)) * CDF_SETS // len(flat)
    for _ in range(rounds):
        sums = np.stack([flat[cluster == p].sum(0).reshape(overall.shape) for p in range(CDF_SETS)])
        cdf_sets = smooth(sums + CDF_SET_WEIGHT * overall, 1e-3)
        cluster = (flat @ -np.log2(cdf_sets).reshape(CDF_SETS, -1).T).argmin(1)
    return cdf_sets


def smooth(counts: NDArray[Any], floor: float) -> NDArray[np.float64]:
    """Distributions along the last axis: counts, 2 % of them moved to each neighbour, plus a floor.

    So no share exceeds 0.96 and every hyper-latent takes some bits, on which `Coder.decode` relies.
    """
    padded = np.pad(counts, [(0, 0)] * (counts.ndim - 1) + [(1, 1)])
    mixed = 0.02 * padded[..., :-2] + 0.96 * counts + 0.02 * padded[..., 2:] + floor
    return np.asarray(mixed / mixed.sum(-1, keepdims=True))


def manifest_of(files: dict[str, bytes], record: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a model: format, fingerprint, the sums of its files, and the record of its origin."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return {"format": FORMAT, "fingerprint": decoder_digest(sums)[:8], "sha256": sums, **record}


def export(
    weights: Path,
    out: Path,
    images: Sequence[Pixels],
    tune: str,
    record: dict[str, Any],
    refit_steps: int,
    fitted_to: int,
) -> Model:
    """Write the model directory `out` from weights (safetensors).

    Hidden channels of the analysis that hardly change y are pruned. Then the scale map is refitted on
    `images` in `refit_steps` steps, and the tables are fitted to `fitted_to` of the images, evenly spaced.
    `tune` is the one of TUNINGS that the weights were trained for; efforts follow its gradient. The manifest
    gets it, and `record`: licence, data and training.
    """
    record = {"tune": tune, **record}
    codec = refit_scales(prune_analysis(load_codec(weights), images), images, refit_steps)
    codec = smooth_analysis(codec, images).eval()
    names = *DECODER_FILES[1:], *ENCODER_FILES
    files = {name: graph(codec, name.removesuffix(".onnx"), TUNINGS[tune]) for name in names}
    decoder = {name: files[name] for name in DECODER_FILES[1:]}
    files["gradient.onnx"] = without_shared(files["gradient.onnx"], decoder)
    files[TABLES] = write_tables(initial_tables(codec))
    model = Model(out.name, manifest_of(files, record), files)
    fitted = fit_tables(model.tables, list(observed_latents(model, evenly_spaced(images, fitted_to))))
    files = {**files, TABLES: write_tables(fitted)}
    model = Model(out.name, manifest_of(files, record), files)
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    (out / MANIFEST).write_text(json.dumps(model.manifest, indent=2) + "\n")
    return model
