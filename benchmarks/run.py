"""A benchmark from pictures to results.

pictures ──► measurements (a journal) ──► curves ──► comparisons, speeds, crops
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from aecodec.benchmarks import comparison
from aecodec.benchmarks.bd_rate import Comparison, Curve, NotComparableError, compare
from aecodec.benchmarks.crops import crop_comparison_of
from aecodec.benchmarks.measure import (
    Measurement,
    Photograph,
    Task,
    curves_of,
    find_photographs,
    left_out,
    measure,
    printable,
)
from aecodec.benchmarks.metrics import all_metrics, available_metrics
from aecodec.benchmarks.reference_codecs import JPEG, OURS, ReferenceCodec, all_codecs
from aecodec.benchmarks.speed import Speed, speed_of
from aecodec.errors import AecodecError
from aecodec.parallel import thread_count
from aecodec.sampling import evenly_spaced

HERE = Path(__file__).parent
KODAK = HERE / "kodak"
PACKAGES = (
    "aecodec",
    "numpy",
    "onnxruntime",
    "pillow",
    "scikit-image",
    "scipy",
    "bjontegaard",
)
QUICK_PICTURES, QUICK_QUALITIES, QUICK_METRICS = 6, 5, ("psnr", "ssimulacra2")  # for a look within minutes
MOST_QUALITIES = 12  # at which every metric is taken; at further ones only PSNR, which is fast
# Pictures and runs for speeds: more are steadier, and take longer. Bits a pixel: good quality, where
# photographs are usually stored.
SPEED_PICTURES, SPEED_RUNS, SPEED_BPP = 4, 5, 0.75
COMPARED_PICTURES = 3  # pictures with crops: the worst, the middle and the best
NAME_A_FOLDER = "name a folder of PNG, JPEG, WebP, BMP or TIFF files"

Progress = Callable[[str, int, int], None]  # what is being done, how much is done, of how much


@dataclass(frozen=True, slots=True)
class Row:
    """One codec against an anchor under one metric; without a result, why there is none."""

    metric: str
    anchor: str
    codec: str
    result: Comparison | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that a report shows."""

    command: str
    quick: bool
    photographs: list[Photograph]
    codecs: list[ReferenceCodec]
    metrics: tuple[str, ...]
    absent: dict[str, str]
    measurements: list[Measurement]
    rows: list[Row]
    speeds: list[Speed]
    crop_comparisons: list[comparison.Comparison]
    environment: dict[str, str]

    def curves(self, metric: str) -> dict[str, dict[str, Curve]]:
        """The curves of all pictures, by codec; codecs without curves are missing."""
        curves_by_codec = {
            codec.name: curves_of(self.measurements, codec.name, metric) for codec in self.codecs
        }
        return {name: curves for name, curves in curves_by_codec.items() if curves}

    def row(self, metric: str, anchor: str, codec: str) -> Row | None:
        return find_row(self.rows, metric, anchor, codec)

    def failures(self, codec: str) -> list[Measurement]:
        return [m for m in self.measurements if m.codec == codec and m.failure]


def find_row(rows: list[Row], metric: str, anchor: str, codec: str) -> Row | None:
    key = metric, anchor, codec
    return next((row for row in rows if (row.metric, row.anchor, row.codec) == key), None)


def schedule(
    codec: ReferenceCodec, quick: bool, metrics: tuple[str, ...]
) -> list[tuple[tuple[float, ...], tuple[str, ...]]]:
    """Qualities with the metrics to measure at them. If there are many, every other one gets PSNR alone."""
    if quick:
        return [(tuple(evenly_spaced(codec.qualities, QUICK_QUALITIES)), metrics)]
    if len(codec.qualities) <= MOST_QUALITIES:
        return [(codec.qualities, metrics)]
    return [(codec.qualities[::2], metrics), (codec.qualities[1::2], ("psnr",))]


def run(
    folder: Path,
    out: Path,
    quick: bool,
    jobs: int,
    command: list[str],
    progress: Progress,
    effort: int | None = None,
) -> Results:
    """Measure every codec on the pictures of a folder. What `out` holds already is not measured again.

    aecodec is measured at its default effort, and also at `effort` if that is not None.

    Raises AecodecError if there are no pictures, or if `out` cannot hold a report.
    """
    photographs, unfit = require_photographs(folder)
    prepare(out, folder)
    codecs, absent = all_codecs(effort)
    metrics, absent_metrics = available_metrics()
    if quick:
        photographs = evenly_spaced(photographs, QUICK_PICTURES)
        absent_metrics |= {name: "left out by --quick" for name in metrics if name not in QUICK_METRICS}
        metrics = QUICK_METRICS
    tasks = [
        Task(codec, photograph, qualities, metric_names)
        for photograph in photographs
        for codec in codecs
        for qualities, metric_names in schedule(codec, quick, metrics)
    ]
    measurements = measure(
        tasks, out / "journal.jsonl", jobs, lambda done, of: progress("measuring", done, of)
    )
    rows = compare_all(measurements, codecs, metrics, progress)
    failed = {m.codec for m in measurements if m.failure}
    sound = [codec for codec in codecs if not codec.slow and codec.name not in failed]
    return Results(
        command=printable(shlex.join(command)),
        quick=quick,
        photographs=photographs,
        codecs=codecs,
        metrics=metrics,
        absent={**unfit, **absent, **absent_metrics, **incomplete(measurements, metrics)},
        measurements=measurements,
        rows=rows,
        speeds=speeds_of(sound, measurements, photographs, 1 if quick else SPEED_RUNS, progress),
        crop_comparisons=crop_comparisons(sound, telling_photographs(photographs, rows), progress),
        environment=environment(),
    )


def require_photographs(folder: Path) -> tuple[list[Photograph], dict[str, str]]:
    """The result of `find_photographs`; raises AecodecError if it has no pictures."""
    if not folder.is_dir():
        wrong = "is no folder" if folder.exists() else "does not exist"
        raise AecodecError(f"{folder} {wrong}: {NAME_A_FOLDER}")
    photographs, unfit = find_photographs(folder)
    if not photographs:
        why = "; ".join([NAME_A_FOLDER, *(f"{name}: {reason}" for name, reason in unfit.items())])
        raise AecodecError(f"{folder} holds no pictures that can be measured: {why}")
    return photographs, unfit


def prepare(out: Path, folder: Path) -> None:
    """Create the folder of the report; raises AecodecError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if out.samefile(folder):
            raise AecodecError(f"{out} holds the pictures: name another folder with -o")
    except OSError as error:
        raise AecodecError(f"{out} cannot hold a report: {error.strerror}") from error


def incomplete(measurements: list[Measurement], metrics: tuple[str, ...]) -> dict[str, str]:
    """The pictures that are left out of single metrics, and the reasons."""
    return {
        f"{image} under {metric.label}": reason
        for metric in all_metrics()
        if metric.name in metrics
        for image, reason in left_out(measurements, metric.name).items()
    }


def compare_all(
    measurements: list[Measurement],
    codecs: list[ReferenceCodec],
    metrics: tuple[str, ...],
    progress: Progress,
) -> list[Row]:
    """Comparisons under each metric: every codec with JPEG, and all variants of aecodec with all others."""
    names = [codec.name for codec in codecs]
    variants = [codec.name for codec in codecs if not codec.format]
    pairs = [(JPEG, name) for name in names if name != JPEG]
    pairs += [(name, variant) for variant in variants for name in names if name not in (JPEG, *variants)]
    pairs += [(OURS, variant) for variant in variants if variant != OURS]
    rows = []
    for number, metric in enumerate(metrics, start=1):
        curves = {codec.name: curves_of(measurements, codec.name, metric) for codec in codecs}
        for anchor, codec in pairs:
            try:
                rows.append(Row(metric, anchor, codec, compare(curves[anchor], curves[codec])))
            except NotComparableError as error:
                rows.append(Row(metric, anchor, codec, None, str(error)))
        progress("comparing", number, len(metrics))
    return rows


def speeds_of(
    codecs: list[ReferenceCodec],
    measurements: list[Measurement],
    photographs: list[Photograph],
    runs: int,
    progress: Progress,
) -> list[Speed]:
    """The speed of each codec at the quality at which its files have about SPEED_BPP in the mean."""
    speeds = []
    for number, codec in enumerate(codecs, start=1):
        rates: dict[float, list[float]] = {}
        for m in measurements:
            if m.codec == codec.name and m.bpp is not None:
                rates.setdefault(m.quality, []).append(m.bpp)
        bpps, qualities = zip(
            *sorted((float(np.mean(codec_rates)), quality) for quality, codec_rates in rates.items()),
            strict=True,
        )
        quality = codec.nearest(float(np.interp(SPEED_BPP, bpps, qualities)))
        speeds.append(speed_of(codec, quality, photographs[:SPEED_PICTURES], runs))
        progress("timing", number, len(codecs))
    return speeds


def crop_comparisons(
    codecs: list[ReferenceCodec], photographs: list[Photograph], progress: Progress
) -> list[comparison.Comparison]:
    """Crops of some pictures by all codecs."""
    comparisons = []
    for number, photograph in enumerate(photographs, start=1):
        comparisons.append(crop_comparison_of(photograph, codecs))
        progress("cutting crops", number, len(photographs))
    return comparisons


def telling_photographs(photographs: list[Photograph], rows: list[Row]) -> list[Photograph]:
    """The photographs on which aecodec saves least and most against JPEG, and the one in the middle."""
    row = find_row(rows, "psnr", JPEG, OURS)
    if row is None or row.result is None or not row.result.images:
        return photographs[:COMPARED_PICTURES]
    ranked = sorted(row.result.images, key=row.result.images.__getitem__)
    chosen = dict.fromkeys([ranked[-1], ranked[len(ranked) // 2], ranked[0]])
    return [photograph for name in chosen for photograph in photographs if photograph.name == name]


def environment() -> dict[str, str]:
    """The machine, the packages, the commit and the date of the figures."""
    measurements = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": str(thread_count()),
    }
    measurements["processor"] = processor()
    for package in PACKAGES:
        try:
            measurements[package] = version(package)
        except PackageNotFoundError:
            measurements[package] = "not installed"
    return {**measurements, "commit": commit(), "date": datetime.now(UTC).date().isoformat()}


def processor() -> str:
    """The name of the processor, if the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def commit() -> str:
    """The commit of the clone that this runs from, if it is one."""
    try:
        if Path(git("rev-parse", "--show-toplevel")) != HERE.parent:
            return "none: not run from a clone"
        return git("describe", "--always", "--dirty")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    """The output of git in this folder, in the file system's encoding."""
    result = subprocess.run(["git", "-C", HERE, *arguments], capture_output=True, check=True)
    return os.fsdecode(result.stdout).strip()
