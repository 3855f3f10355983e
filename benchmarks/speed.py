"""Speed of codecs: in one process, one after another on the same pictures, and as whole commands."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from aecodec.benchmarks.commands import cost
from aecodec.benchmarks.measure import Photograph, read_pixels
from aecodec.benchmarks.reference_codecs import ReferenceCodec
from aecodec.parallel import end_with_parent


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, smallest and largest."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Megapixels per second of the library, and the cost of a whole command; `peak` in bytes.

    `cold` is the time in seconds of a fresh process that reads a PNG and writes the codec's file.
    """

    codec: str
    quality: float
    bpp: float
    encode: Spread
    decode: Spread
    cold: Spread
    peak: int


def spread_of(values: list[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def rates_of(call: Callable[[Any], object], inputs: list[Any], megapixels: float, runs: int) -> Spread:
    """Megapixels per second of a call on all of the inputs in turn, after one run that does not count."""
    rates = []
    for run in range(1 + runs):
        started = time.perf_counter()
        for one in inputs:
            call(one)
        if run:
            rates.append(megapixels / (time.perf_counter() - started))
    return spread_of(rates)


def cold_command(codec: ReferenceCodec, quality: float, source: Path, target: Path) -> list[str]:
    """The command that writes one file in a fresh process. That of aecodec does not measure PSNR."""
    if not codec.format:
        options = [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in codec.options_at(quality).items()
        ]
        command = [
            sys.executable,
            "-m",
            "aecodec.cli",
            "compress",
            str(source),
            str(target),
            "--force",
            "--quiet",
        ]
        return command + options
    plugin = (
        f"import {codec.plugin} as p; getattr(p, 'register_heif_opener', int)(); " if codec.plugin else ""
    )
    arguments = f"{str(target)!r}, {codec.format!r}, **{codec.options_at(quality)!r}"
    script = f"{plugin}from PIL import Image; Image.open({str(source)!r}).save({arguments})"
    return [sys.executable, "-c", script]


def speed_of(codec: ReferenceCodec, quality: float, photographs: list[Photograph], runs: int) -> Speed:
    """The speed of a codec at one quality on some pictures: `runs` runs after one that does not count."""
    images = [Image.fromarray(read_pixels(photograph.path)) for photograph in photographs]
    megapixels = sum(image.width * image.height for image in images) / 1e6
    files = [codec.encode(image, quality) for image in images]
    encode = rates_of(lambda image: codec.encode(image, quality), images, megapixels, runs)
    decode = rates_of(codec.decode, files, megapixels, runs)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.png"
        images[0].save(source)
        command = cold_command(codec, quality, source, Path(folder) / "file.aec")
        # from a process of its own: a child's peak begins at the size of the process that starts it
        with ProcessPoolExecutor(1, get_context("spawn"), end_with_parent) as pool:
            cold = pool.submit(cost, command, runs).result()
    bpp = 8 * sum(map(len, files)) / (1e6 * megapixels)
    return Speed(codec.name, quality, bpp, encode, decode, spread_of(cold.seconds), cold.peak)
