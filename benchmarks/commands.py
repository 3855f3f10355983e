"""Costs of whole commands: cold seconds, peak memory, and the size of the installation.

    python -m aecodec.benchmarks.commands PICTURE [--runs 9] [--megapixels 24 100] [--stages]

Each run is a fresh process, its files in the system's cache; times are medians with the fastest and
slowest run, memory is the peak resident size that the system reports. Large pictures are mosaics of
PICTURE, 3 wide to 2 high, and run once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path

PREFIX = Path(sys.prefix)
DARKEST = 0.75  # brightness of a picture of a mosaic, so that all are much like the original
GOLDEN_RATIO = 0.618034  # whose multiples, of which the whole part is left out, are all different


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall-clock seconds of each run of one command, and the largest peak resident size in bytes."""

    seconds: list[float]
    peak: int


def run_once(command: list[str]) -> tuple[float, int]:
    """Seconds and peak resident bytes of one process; raises CalledProcessError if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, usage.ru_maxrss * 1024


def cost(command: list[str], runs: int) -> Cost:
    """The cost over `runs` runs, after one that does not count. A single run counts itself."""
    if runs > 1:
        run_once(command)  # files into the system's cache
    results = [run_once(command) for _ in range(runs)]
    return Cost([seconds for seconds, _ in results], max(peak for _, peak in results))


def write_mosaic(path: Path, size: tuple[int, int], target: Path) -> None:
    """The picture repeated to `size` (width, height), mirrored in turn, each time at another brightness.

    No two are alike, as in a photograph: what repeats is small in a lossless file, which is then tried.
    """
    import numpy as np
    from PIL import Image

    picture = np.asarray(Image.open(path).convert("RGB"), np.float32)
    width, height = size
    mosaic = np.empty((height, width, 3), np.uint8)
    places = product(range(0, height, picture.shape[0]), range(0, width, picture.shape[1]))
    for number, (top, left) in enumerate(places):
        place = mosaic[top : top + picture.shape[0], left : left + picture.shape[1]]
        mirrored = picture[:: 1 if number % 2 else -1, :: 1 if number % 4 < 2 else -1]
        brightness = DARKEST + (1 - DARKEST) * (number * GOLDEN_RATIO % 1)
        place[:] = np.rint(mirrored[: len(place), : place.shape[1]] * brightness)
    Image.fromarray(mosaic).save(target, compress_level=1)


def installed_size() -> int:
    """Bytes of the environment that runs this."""
    files = (file for file in (PREFIX / "lib").rglob("*") if file.is_file())
    return sum(file.lstat().st_size for file in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--megapixels", type=int, nargs="*", default=[24])
    parser.add_argument("--stages", action="store_true", help="time denoise, enhance and upscale as well")
    arguments = parser.parse_args()
    aecodec = str(Path(sys.executable).with_name("aecodec"))
    print(f"{os.cpu_count()} cores; environment {installed_size() / 1e6:.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        pictures = [("small", arguments.picture, arguments.runs)]
        for megapixels in arguments.megapixels:
            large, height = Path(folder) / f"{megapixels}.png", round((megapixels * 1e6 / 1.5) ** 0.5)
            size = round(megapixels * 1e6 / height), height
            # a process of its own: a child's peak begins at the size of the process that starts it
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                pool.submit(write_mosaic, arguments.picture, size, large).result()
            pictures.append((f"{megapixels} MP", large, 1))
        commands = {"aecodec --help": ([aecodec, "--help"], arguments.runs)}
        for name, picture, runs in pictures:
            file, back = Path(folder) / f"{name}.aec", Path(folder) / f"{name}.png"
            commands[f"compress, {name}"] = ([aecodec, "compress", str(picture), "-fo", str(file)], runs)
            commands[f"decompress, {name}"] = ([aecodec, "decompress", str(file), "-fo", str(back)], runs)
            for stage in ("denoise", "enhance", "upscale") if arguments.stages else ():
                sigma = ["--sigma", "25"] if stage == "denoise" else []
                command = [aecodec, stage, *sigma, str(picture), "-fo", str(back)]
                commands[f"{stage}, {name}"] = (command, runs)
        for name, (command, runs) in commands.items():
            result = cost(command, runs)
            low, high = min(result.seconds), max(result.seconds)
            middle = statistics.median(result.seconds)
            spread = f"{low:.2f} to {high:.2f}"
            print(f"{name:20s}{middle:6.2f} s ({spread}){result.peak / 1e6:8.0f} MB peak", flush=True)


if __name__ == "__main__":
    main()
