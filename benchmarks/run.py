"""A benchmark from pictures to results.

pictures ──► measurements (a journal) ──► curves ──► comparisons, speeds, scenes
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

from aecodec.benchmarks.bd_rate import Comparison, Curve, NotComparableError, compare
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
from aecodec.benchmarks.peers import JPEG, OURS, Peer, all_peers
from aecodec.benchmarks.speed import Speed, speed_of
from aecodec.benchmarks.viewer import Scene, scene_of
from aecodec.errors import AecodecError
from aecodec.model.parallel import thread_count
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
QUICK_PICTURES, QUICK_QUALITIES, QUICK_METRICS = 6, 5, ("psnr", "ssimulacra2")
MOST_QUALITIES = 12  # at which every metric is taken
SPEED_PICTURES, SPEED_RUNS, SPEED_BPP = 4, 5, 0.75
SCENES = 3
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
    """All that a report says."""

    command: str
    quick: bool
    photographs: list[Photograph]
    peers: list[Peer]
    metrics: tuple[str, ...]
    absent: dict[str, str]
    measurements: list[Measurement]
    rows: list[Row]
    speeds: list[Speed]
    scenes: list[Scene]
    environment: dict[str, str]

    def curves(self, metric: str) -> dict[str, dict[str, Curve]]:
        """Of each codec that has any, the curves of all pictures."""
        found = {peer.name: curves_of(self.measurements, peer.name, metric) for peer in self.peers}
        return {name: curves for name, curves in found.items() if curves}

    def row(self, metric: str, anchor: str, codec: str) -> Row | None:
        return find_row(self.rows, metric, anchor, codec)

    def failures(self, codec: str) -> list[Measurement]:
        return [m for m in self.measurements if m.codec == codec and m.failure]


def find_row(rows: list[Row], metric: str, anchor: str, codec: str) -> Row | None:
    wanted = metric, anchor, codec
    return next((row for row in rows if (row.metric, row.anchor, row.codec) == wanted), None)


def schedule(
    peer: Peer, quick: bool, metrics: tuple[str, ...]
) -> list[tuple[tuple[float, ...], tuple[str, ...]]]:
    """Which metrics are taken at which qualities; where there are many, every other gives PSNR alone."""
    if quick:
        return [(tuple(evenly_spaced(peer.qualities, QUICK_QUALITIES)), metrics)]
    if len(peer.qualities) <= MOST_QUALITIES:
        return [(peer.qualities, metrics)]
    return [(peer.qualities[::2], metrics), (peer.qualities[1::2], ("psnr",))]


def run(
    folder: Path,
    out: Path,
    quick: bool,
    jobs: int,
    command: list[str],
    progress: Progress,
    effort: int | None = None,
) -> Results:
    """Measures every codec on the pictures of a folder; what `out` holds from before is not repeated.

    Ours is measured at its default effort, and at `effort` as well if that is given.

    Raises AecodecError where there are no pictures or `out` is no place for a report.
    """
    photographs, unfit = require_photographs(folder)
    prepare(out, folder)
    peers, absent = all_peers(effort)
    metrics, absent_metrics = available_metrics()
    if quick:
        photographs = evenly_spaced(photographs, QUICK_PICTURES)
        absent_metrics |= {name: "left out by --quick" for name in metrics if name not in QUICK_METRICS}
        metrics = QUICK_METRICS
    tasks = [
        Task(peer, photograph, qualities, wanted)
        for photograph in photographs
        for peer in peers
        for qualities, wanted in schedule(peer, quick, metrics)
    ]
    found = measure(tasks, out / "journal.jsonl", jobs, lambda done, of: progress("measuring", done, of))
    rows = compare_all(found, peers, metrics, progress)
    failed = {m.codec for m in found if m.failure}
    sound = [peer for peer in peers if not peer.slow and peer.name not in failed]
    return Results(
        command=printable(shlex.join(command)),
        quick=quick,
        photographs=photographs,
        peers=peers,
        metrics=metrics,
        absent={**unfit, **absent, **absent_metrics, **incomplete(found, metrics)},
        measurements=found,
        rows=rows,
        speeds=speeds_of(sound, found, photographs, 1 if quick else SPEED_RUNS, progress),
        scenes=scenes_of(sound, telling_photographs(photographs, rows), progress),
        environment=environment(),
    )


def require_photographs(folder: Path) -> tuple[list[Photograph], dict[str, str]]:
    """As `find_photographs`; raises AecodecError where there are none."""
    if not folder.is_dir():
        wrong = "is no folder" if folder.exists() else "does not exist"
        raise AecodecError(f"{folder} {wrong}: {NAME_A_FOLDER}")
    photographs, unfit = find_photographs(folder)
    if not photographs:
        why = "; ".join([NAME_A_FOLDER, *(f"{name}: {reason}" for name, reason in unfit.items())])
        raise AecodecError(f"{folder} holds no pictures that can be measured: {why}")
    return photographs, unfit


def prepare(out: Path, folder: Path) -> None:
    """Makes the report's folder; raises AecodecError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if out.samefile(folder):
            raise AecodecError(f"{out} holds the pictures: name another folder with -o")
    except OSError as error:
        raise AecodecError(f"{out} cannot hold a report: {error.strerror}") from error


def incomplete(found: list[Measurement], metrics: tuple[str, ...]) -> dict[str, str]:
    """The pictures that are left out of single metrics, and why."""
    return {
        f"{image} under {metric.label}": reason
        for metric in all_metrics()
        if metric.name in metrics
        for image, reason in left_out(found, metric.name).items()
    }


def compare_all(
    found: list[Measurement], peers: list[Peer], metrics: tuple[str, ...], progress: Progress
) -> list[Row]:
    """Under each metric every codec against JPEG, and ours, in all its ways, against every other."""
    names = [peer.name for peer in peers]
    mine = [peer.name for peer in peers if not peer.format]
    pairs = [(JPEG, name) for name in names if name != JPEG]
    pairs += [(name, own) for own in mine for name in names if name not in (JPEG, *mine)]
    pairs += [(OURS, own) for own in mine if own != OURS]
    rows = []
    for number, metric in enumerate(metrics, start=1):
        curves = {peer.name: curves_of(found, peer.name, metric) for peer in peers}
        for anchor, codec in pairs:
            try:
                rows.append(Row(metric, anchor, codec, compare(curves[anchor], curves[codec])))
            except NotComparableError as error:
                rows.append(Row(metric, anchor, codec, None, str(error)))
        progress("comparing", number, len(metrics))
    return rows


def speeds_of(
    peers: list[Peer], found: list[Measurement], photographs: list[Photograph], runs: int, progress: Progress
) -> list[Speed]:
    """The speed of each codec at the quality whose files have about SPEED_BPP in the mean."""
    speeds = []
    for number, peer in enumerate(peers, start=1):
        rates: dict[float, list[float]] = {}
        for m in found:
            if m.codec == peer.name and m.bpp is not None:
                rates.setdefault(m.quality, []).append(m.bpp)
        bpps, qualities = zip(
            *sorted((float(np.mean(each)), quality) for quality, each in rates.items()), strict=True
        )
        quality = peer.nearest(float(np.interp(SPEED_BPP, bpps, qualities)))
        speeds.append(speed_of(peer, quality, photographs[:SPEED_PICTURES], runs))
        progress("timing", number, len(peers))
    return speeds


def scenes_of(peers: list[Peer], photographs: list[Photograph], progress: Progress) -> list[Scene]:
    """Crops of some pictures by all codecs."""
    scenes = []
    for number, photograph in enumerate(photographs, start=1):
        scenes.append(scene_of(photograph, peers))
        progress("cutting crops", number, len(photographs))
    return scenes


def telling_photographs(photographs: list[Photograph], rows: list[Row]) -> list[Photograph]:
    """Where our codec saves least against JPEG, where it saves most, and one in the middle."""
    row = find_row(rows, "psnr", JPEG, OURS)
    if row is None or row.result is None or not row.result.images:
        return photographs[:SCENES]
    ranked = sorted(row.result.images, key=row.result.images.__getitem__)
    chosen = dict.fromkeys([ranked[-1], ranked[len(ranked) // 2], ranked[0]])
    return [photograph for name in chosen for photograph in photographs if photograph.name == name]


def environment() -> dict[str, str]:
    """Where and with what the figures were made."""
    found = {"python": platform.python_version(), "system": platform.platform(), "cores": str(thread_count())}
    found["processor"] = processor()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "commit": commit(), "date": datetime.now(UTC).date().isoformat()}


def processor() -> str:
    """The processor's name, where the system tells it."""
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
    """What git says of this folder, in the file system's encoding."""
    said = subprocess.run(["git", "-C", HERE, *arguments], capture_output=True, check=True)
    return os.fsdecode(said.stdout).strip()
