"""Quality of decoded pictures, of 8-bit RGB samples. Larger is better everywhere.

A metric that cannot run is absent with a reason, never a number.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import correlate1d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from aecodec.benchmarks import ssimulacra2 as ssimulacra2_module
from aecodec.benchmarks.ssimulacra2 import SMALLEST_SIDE, ssimulacra2_score
from aecodec.training import ssimulacra2_terms

BUTTERAUGLI = "butteraugli_main"  # a program of libjxl
GRAPHS_VARIABLE = "AECODEC_METRICS"  # environment variable that names a folder of ONNX graphs, see `by_graph`

Pixels = NDArray[np.uint8]  # (H, W, 3)
Plane = NDArray[np.float64]

MODULES = {"scikit-image": "skimage"}
SOURCES = (__file__, ssimulacra2_module.__file__, ssimulacra2_terms.__file__)  # of what metrics are
LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_FOR_MS_SSIM = 176  # pixels a side: halved four times, an 11 pixel window fits


class NotMeasurableError(Exception):
    """A picture that a metric does not define."""


def psnr_rgb(reference: Pixels, decoded: Pixels) -> float:
    """PSNR in dB of the mean squared error over all samples; infinite where there is none."""
    return psnr_of(reference.astype(np.float64), decoded.astype(np.float64))


def psnr_y(reference: Pixels, decoded: Pixels) -> float:
    """PSNR in dB of BT.601 luma, not rounded."""
    return psnr_of(reference @ np.array(LUMA), decoded @ np.array(LUMA))


def psnr_of(reference: Plane, decoded: Plane) -> float:
    if np.array_equal(reference, decoded):
        return math.inf
    return float(peak_signal_noise_ratio(reference, decoded, data_range=255))


def ssim(reference: Pixels, decoded: Pixels) -> float:
    """SSIM of Wang et al. 2004 (Gaussian window of 1.5 pixels), mean over the three channels."""
    if min(reference.shape[:2]) < 11:
        raise NotMeasurableError("SSIM needs 11 pixels each way")
    return float(
        structural_similarity(
            reference,
            decoded,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2,
        )
    )


def ms_ssim_db(reference: Pixels, decoded: Pixels) -> float:
    """-10 log10(1 - MS-SSIM) of Wang et al. 2003, MS-SSIM being the mean over the three channels.

    An odd last row or column is dropped from scale to scale.
    """
    if min(reference.shape[:2]) < SMALLEST_FOR_MS_SSIM:
        raise NotMeasurableError(f"MS-SSIM needs {SMALLEST_FOR_MS_SSIM} pixels each way")
    a, b = (picture.transpose(2, 0, 1).astype(np.float64) for picture in (reference, decoded))
    product = np.ones(3)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            a, b = halve(a), halve(b)
        luminance, contrast = ssim_terms(a, b)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        product *= np.maximum((luminance * contrast if last else contrast).mean((1, 2)), 0) ** weight
    similarity = float(product.mean())
    return -10 * math.log10(1 - similarity) if similarity < 1 else math.inf


def halve(x: Plane) -> Plane:
    """Means of 2x2 samples of (C, H, W); an odd last row or column is dropped."""
    height, width = (side // 2 * 2 for side in x.shape[1:])
    blocks = x[:, :height, :width].reshape(len(x), height // 2, 2, width // 2, 2)
    return np.asarray(blocks.mean((2, 4)))


def ssim_terms(a: Plane, b: Plane) -> tuple[Plane, Plane]:
    """The luminance term, and the product of contrast and structure, wherever the window fits."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b, aa, bb, ab = (blur(x) for x in (a, b, a * a, b * b, a * b))
    variance = aa - mean_a**2 + bb - mean_b**2
    contrast = (2 * (ab - mean_a * mean_b) + c2) / (variance + c2)
    return (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1), contrast


def blur(x: Plane) -> Plane:
    """Gaussian of 1.5 and 11 pixels over the last two axes, where it fits."""
    kernel = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    blurred: Plane = x
    for axis in (1, 2):
        blurred = correlate1d(blurred, kernel / kernel.sum(), axis=axis)
    return blurred[:, 5:-5, 5:-5]


def ssimulacra2(reference: Pixels, decoded: Pixels) -> float:
    """SSIMULACRA 2.1 as libjxl defines it: 90 is hardly visible, 70 high, 50 medium, 30 low quality."""
    if min(reference.shape[:2]) < SMALLEST_SIDE:
        raise NotMeasurableError(f"SSIMULACRA 2 needs {SMALLEST_SIDE} pixels each way")
    return ssimulacra2_score(reference, decoded)


def butteraugli(reference: Pixels, decoded: Pixels) -> float:
    """Minus the 3-norm of Butteraugli's map of distances, by libjxl's program; 0 for equal pictures.

    Source: Alakuijala et al. 2017 (arXiv 1703.09983) for the measure; the norm is the one that cjxl reports.
    """
    with TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("reference.ppm", "decoded.ppm")]
        for path, picture in zip(paths, (reference, decoded), strict=True):
            Image.fromarray(picture).save(path)
        command = [BUTTERAUGLI, *map(str, paths)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if (norm := re.search(r"3-norm: ([0-9.eE+-]+)", printed)) is None:
        raise NotMeasurableError(f"{BUTTERAUGLI} printed no 3-norm")
    return -float(norm[1])


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, its name in files, and how reports label it."""

    name: str
    label: str
    measure: Callable[[Pixels, Pixels], float]


METRICS = (
    Metric("psnr", "PSNR RGB (dB)", psnr_rgb),
    Metric("psnr_y", "PSNR Y (dB)", psnr_y),
    Metric("ssim", "SSIM", ssim),
    Metric("ms_ssim", "MS-SSIM (dB)", ms_ssim_db),
    Metric("ssimulacra2", "SSIMULACRA 2", ssimulacra2),
)


@cache
def all_metrics() -> tuple[Metric, ...]:
    """METRICS, Butteraugli where its program is, and those of the user, such as LPIPS."""
    folder = os.environ.get(GRAPHS_VARIABLE)
    graphs = sorted(Path(folder).glob("*.onnx")) if folder else []
    programs = (Metric("butteraugli", "Butteraugli, negated", butteraugli),) if which(BUTTERAUGLI) else ()
    return (*METRICS, *programs, *(Metric(g.stem, g.stem, partial(by_graph, g)) for g in graphs))


def by_graph(path: Path, reference: Pixels, decoded: Pixels) -> float:
    """Minus the distance between two pictures (1, 3, H, W) in [-1, 1] by a user's graph."""
    session = session_of(path)
    pictures = [
        (picture.transpose(2, 0, 1)[None] / np.float32(127.5) - 1).astype(np.float32)
        for picture in (reference, decoded)
    ]
    names = [entry.name for entry in session.get_inputs()]
    return -float(np.mean(session.run(None, dict(zip(names, pictures, strict=True)))[0]))


@cache
def session_of(path: Path) -> Any:
    """A user's graph, ready to run."""
    from aecodec.model.onnx_runtime import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def measure_all(reference: Pixels, decoded: Pixels, names: tuple[str, ...]) -> dict[str, float]:
    """The values of the named metrics, without those that are undefined for the picture or infinite."""
    values = {}
    for metric in all_metrics():
        if metric.name in names:
            try:
                value = metric.measure(reference, decoded)
            except NotMeasurableError:
                continue
            if math.isfinite(value):
                values[metric.name] = value
    return values


def available_metrics() -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of the metrics that can run here, and the reasons why others cannot."""
    names = tuple(metric.name for metric in all_metrics())
    reasons = {
        "LPIPS": f"its weights are not shipped: name a folder that holds lpips.onnx in {GRAPHS_VARIABLE}",
        "Butteraugli": f"{BUTTERAUGLI} is not installed: it comes with libjxl's tools",
    }
    return names, {name: reason for name, reason in reasons.items() if name.lower() not in names}


def metrics_version() -> str:
    """A text that differs if values of metrics may: a digest of code and graphs, versions of packages."""
    packages = ("numpy", "scipy", "scikit-image")
    code_digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in SOURCES))
    for graph in (
        sorted(Path(os.environ[GRAPHS_VARIABLE]).glob("*.onnx")) if GRAPHS_VARIABLE in os.environ else ()
    ):
        code_digest.update(graph.read_bytes())
    if program := which(BUTTERAUGLI):
        code_digest.update(Path(program).read_bytes())
    installed = [package for package in packages if find_spec(MODULES.get(package, package))]
    return " ".join([code_digest.hexdigest()[:16], *(version(package) for package in installed)])
