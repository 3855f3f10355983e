"""Measures every codec at every quality on every picture: it writes files, reads them back and compares.

Results go to a journal as they come, one JSON object a line. What the journal holds is not measured again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from aecodec.benchmarks.bd_rate import Curve
from aecodec.benchmarks.metrics import Pixels, measure_all, metrics_version
from aecodec.benchmarks.reference_codecs import ReferenceCodec
from aecodec.errors import ImageError
from aecodec.parallel import end_with_parent
from aecodec.picture.reading import read_picture
from aecodec.picture.writing import FORMATS

# Share of a codec's qualities without a value of a metric from which a picture is left out of that metric:
# fewer allowed gaps lose pictures, more lose qualities.
MOST_GAPS = 1 / 4
ONE_THREAD = dict.fromkeys(("AECODEC_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture to measure on; the hash is of its shape and pixels, the name as any file can hold it."""

    name: str
    path: Path
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One file: its codec, picture and quality, all of its bytes, and the metrics of what comes back.

    `failure` says why there is no file or no picture; then there are no figures. Only finite metrics
    are kept: a lossless file has no PSNR.
    """

    codec: str
    quality: float
    image: str
    bytes: int | None
    bpp: float | None
    metrics: dict[str, float]
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One codec on one picture, at some qualities."""

    codec: ReferenceCodec
    photograph: Photograph
    qualities: tuple[float, ...]
    metrics: tuple[str, ...]


@lru_cache(maxsize=2)
def read_pixels(path: Path) -> Pixels:
    """A picture as upright RGB (H, W, 3); metadata is dropped, so that no codec pays for it.

    Raises ImageError for what cannot be compared: transparency, 16 bits, several frames.
    """
    picture = read_picture(path)
    if picture.alpha is not None:
        raise ImageError("has transparency, which not every codec can hold")
    return picture.pixels


def printable(text: str) -> str:
    """A text in which bytes that UTF-8 cannot hold are escaped, since names of files may be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def find_photographs(folder: Path) -> tuple[list[Photograph], dict[str, str]]:
    """The pictures of a folder in order of their names, and the reasons why other files are left out."""
    photographs, absent = [], {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in FORMATS):
        try:
            pixels = read_pixels(path)
        except ImageError as error:
            absent[printable(path.name)] = str(error)
            continue
        digest = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        height, width = pixels.shape[:2]
        photographs.append(Photograph(printable(path.name), path, digest, width, height))
    return photographs, absent


def measure_one(
    codec: ReferenceCodec, photograph: Photograph, quality: float, metrics: tuple[str, ...]
) -> Measurement:
    """Write one file, read it back, and measure. A failure of the codec is recorded."""
    pixels = read_pixels(photograph.path)
    key = codec.name, quality, photograph.name
    try:
        data = codec.encode(Image.fromarray(pixels), quality)
        decoded = np.asarray(codec.decode(data))
        if decoded.shape != pixels.shape or decoded.dtype != np.uint8:
            raise ValueError(f"{decoded.shape} {decoded.dtype} came back for {pixels.shape} {pixels.dtype}")
    except Exception as error:  # whatever a codec raises counts as its failure
        return Measurement(*key, None, None, {}, f"{type(error).__name__}: {error}")
    bpp = 8 * len(data) / (photograph.width * photograph.height)
    return Measurement(*key, len(data), bpp, measure_all(pixels, decoded, metrics))


def measure_task(task: Task) -> list[Measurement]:
    pair = task.codec, task.photograph
    return [measure_one(*pair, quality, task.metrics) for quality in task.qualities]


class Journal:
    """Measurements on disk, each under a key of everything it depends on. Failures are tried again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics_version = metrics_version()
        self.known: dict[str, Measurement] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                record = json.loads(line)
                key = record.pop("key")
                self.known[key] = Measurement(**record)
            except (ValueError, TypeError, KeyError):
                continue  # a line that an interruption cut off
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def key(self, task: Task, quality: float) -> str:
        codec = task.codec
        parts = [codec.name, codec.settings, codec.version, float(quality), task.photograph.sha256]
        text = json.dumps([*parts, self.metrics_version, *task.metrics])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def add(self, task: Task, measurements: list[Measurement]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            for measurement in measurements:
                key = self.key(task, measurement.quality)
                self.known[key] = measurement
                file.write(json.dumps({"key": key, **asdict(measurement)}, allow_nan=False) + "\n")

    def missing(self, task: Task) -> Task:
        """The task without the qualities that are known."""
        known = {q: self.known.get(self.key(task, q)) for q in task.qualities}
        return replace(
            task,
            qualities=tuple(q for q, measurement in known.items() if not measurement or measurement.failure),
        )

    def of(self, task: Task) -> Iterator[Measurement]:
        for quality in task.qualities:
            yield replace(self.known[self.key(task, quality)], image=task.photograph.name)


def measure(
    tasks: list[Task], journal: Path, jobs: int, progress: Callable[[int, int], None]
) -> list[Measurement]:
    """The measurements of all tasks, in their order; `progress` is called with the number of those done."""
    journal_file = Journal(journal)
    remaining = [rest for task in tasks if (rest := journal_file.missing(task)).qualities]
    done = len(tasks) - len(remaining)
    progress(done, len(tasks))
    with one_thread_a_process():
        for task, measurements in in_processes(remaining, jobs):
            journal_file.add(task, measurements)
            done += 1
            progress(done, len(tasks))
    return [measurement for task in tasks for measurement in journal_file.of(task)]


def in_processes(tasks: list[Task], jobs: int) -> Iterator[tuple[Task, list[Measurement]]]:
    """Each task with its measurements, as they are finished. A codec that kills its process has failed."""
    remaining = dict.fromkeys(range(len(tasks)))
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), end_with_parent)
    try:
        futures = {pool.submit(measure_task, tasks[number]): number for number in remaining}
        for future in as_completed(futures):
            measurements = future.result()
            del remaining[futures[future]]
            yield tasks[futures[future]], measurements
    except BrokenProcessPool:
        yield from ((tasks[number], measure_alone(tasks[number])) for number in remaining)
    finally:
        pool.shutdown(cancel_futures=True)


def measure_alone(task: Task) -> list[Measurement]:
    """The measurements of a task in a separate process; failures if that process dies."""
    with ProcessPoolExecutor(1, get_context("spawn"), end_with_parent) as pool:
        try:
            return pool.submit(measure_task, task).result()
        except BrokenProcessPool:
            key = task.codec.name, task.photograph.name
            return [
                Measurement(key[0], q, key[1], None, None, {}, "its process died") for q in task.qualities
            ]


@contextmanager
def one_thread_a_process() -> Iterator[None]:
    """A context whose environment limits each child process to one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def curves_of(measurements: list[Measurement], codec: str, metric: str) -> dict[str, Curve]:
    """The points (qualities, 2) of one codec for each picture, bpp and metric, in order of quality.

    Pictures that `left_out` names are missing. A quality that any other picture lacks is dropped for all of
    them, so that all means are over the same pictures.
    """
    absent = left_out(measurements, metric)
    names = sorted({m.image for m in measurements if metric in m.metrics} - absent.keys())
    values = {(m.image, m.quality): m for m in measurements if m.codec == codec and metric in m.metrics}
    complete = [q for q in sorted({q for _, q in values}) if all((name, q) in values for name in names)]
    points = {
        name: [(values[name, q].bpp, values[name, q].metrics[metric]) for q in complete] for name in names
    }
    return {name: np.array(pairs, np.float64) for name, pairs in points.items() if pairs}


def left_out(measurements: list[Measurement], metric: str) -> dict[str, str]:
    """The pictures that lack a metric at many qualities of some codec, and the reason.

    Qualities count at which some picture has the metric. Failures of a codec do not count.
    """
    taken = {(m.codec, m.quality) for m in measurements if metric in m.metrics}
    qualities = Counter(codec for codec, _ in taken)
    gaps = Counter(
        (m.codec, m.image)
        for m in measurements
        if (m.codec, m.quality) in taken and not m.failure and metric not in m.metrics
    )
    return {
        image: f"{codec} lost nothing of it, or it is too small, at {count} of {qualities[codec]} qualities"
        for (codec, image), count in reversed(gaps.items())  # of several codecs the first is named
        if count > MOST_GAPS * qualities[codec]
    }


def mean_curve(curves: Mapping[str, Curve]) -> Curve:
    """The mean over pictures (qualities, 2) of bpp and of the metric."""
    mean: Curve = np.mean(list(curves.values()), axis=0)
    return mean
