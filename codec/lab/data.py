"""Samples for the lab: scikit-learn's digits, or idx files as MNIST's, folders of pictures, CSV and NPY."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from aecodec.errors import ImageError, MissingExtraError
from aecodec.lab.table import parse_table
from aecodec.plain_reading import read_plainly
from aecodec.signatures import READABLE_SUFFIXES

HELD_OUT = 0.2  # share of the samples that no network sees: 2000 of MNIST's 10 000 test digits
LEAST = 20  # samples, so that some are left to learn from and to test
SIDE = 28  # pixels each way of pictures of a folder, as MNIST's
LARGEST_SAMPLE = 2**14  # values of a sample: a picture of 128x128
LARGEST_FILE = 2**31  # bytes of samples that are read
OUT_OF_RANGE = 1e150  # of values: squares of larger ones are no float64
IDX_BYTES = 8  # the type of idx files that hold bytes
ECG = "datasets/data/UnitTest/ecg-diff-count-3_{}.csv"  # of aeon: one without anomalies, one with three
WINDOW = 64  # values of a window of a series: three beats of that ECG


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples (N, H, W): pictures in [0, 1], or rows (N, 1, D) in units of their own.

    Pictures are float32. Rows are float64 until what they are near is taken off them.
    """

    values: NDArray[Any]
    labels: NDArray[np.str_] | None
    pictures: bool
    name: str
    says: str = ""  # what was taken for samples, where a file does not tell

    def split(self, seed: int = 0) -> tuple[Samples, Samples]:
        """Training and held-out samples, shuffled."""
        order = np.random.default_rng(seed).permutation(len(self.values))
        held_out = math.ceil(HELD_OUT * len(order))
        return self.at(order[held_out:]), self.at(order[:held_out])

    def at(self, chosen: NDArray[np.generic]) -> Samples:
        """Some of the samples."""
        return replace(
            self, values=self.values[chosen], labels=None if self.labels is None else self.labels[chosen]
        )

    @property
    def checksum(self) -> int:
        """By which other samples are known."""
        return zlib.crc32(np.ascontiguousarray(self.values).tobytes())


def read_samples(source: Path | None, labels: str | None = None, side: int = SIDE) -> Samples:
    """The samples of a file or folder, by default scikit-learn's digits.

    `labels` names a file of labels (idx, NPY or a column of text) or, for a CSV file, one of its columns.
    Raises ImageError where there is nothing to learn from.
    """
    if source is None:
        return checked(digits())
    if source.is_dir():
        samples = read_folder(source, side)
    elif source.suffix.lower() in {".csv", ".tsv", ".txt"}:
        return checked(read_table(source, labels))
    elif source.suffix.lower() == ".npy":
        samples = as_samples(read_npy(source), source)
    else:
        samples = as_samples(read_idx(source), source)
    if labels is not None:
        samples = replace(samples, labels=read_labels(Path(labels), len(samples.values)))
    return checked(samples)


def digits() -> Samples:
    """The 1797 digits of 8x8 that scikit-learn ships."""
    load = sklearn_datasets().load_digits()
    return Samples(
        (load.images / 16).astype(np.float32), load.target.astype(str), True, "scikit-learn's digits"
    )


def sklearn_datasets() -> Any:
    """The module; raises MissingExtraError."""
    try:
        import sklearn.datasets
    except ImportError as error:
        raise MissingExtraError(f"{error}: run pip install 'aecodec[lab]'") from error
    return sklearn.datasets


def as_samples(array: NDArray[np.generic], source: Path) -> Samples:
    """An array as samples: (N, D) are rows, (N, H, W) are pictures, bytes or in [0, 1]."""
    if array.ndim not in (2, 3) or array.dtype.kind not in "uifb":
        raise ImageError(
            f"{source} holds {array.dtype} of shape {array.shape}: give numbers (N, D) or pictures (N, H, W)"
        )
    if array.ndim == 2:
        return Samples(array.astype(np.float64)[:, None], None, False, source.name)
    values = array.astype(np.float32) / np.float32(255 if array.dtype == np.uint8 else 1)
    if (values < 0).any() or (values > 1).any():  # what is no number is told of elsewhere
        raise ImageError(f"{source} has pixels outside [0, 1]: scale them, or give bytes")
    return Samples(values, None, True, source.name)


def read_bytes(source: Path) -> bytes:
    """A file, unpacked if it is gzipped; raises ImageError."""
    try:
        with source.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(source) if packed else source.open("rb") as opened:
            data: bytes = opened.read(LARGEST_FILE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ImageError(f"{source} cannot be read ({error}): give a sound file") from error
    if len(data) > LARGEST_FILE:
        raise ImageError(f"{source} has over {LARGEST_FILE} bytes: give a part of it")
    return data


def read_idx(source: Path) -> NDArray[np.generic]:
    """The bytes of an idx file (Yann LeCun's format of MNIST), gzipped or not; raises ImageError."""
    data = read_bytes(source)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != IDX_BYTES or not 1 <= data[3] <= 3:
        raise ImageError(
            f"{source} is no idx file of bytes: give one, a folder of pictures, a .csv or a .npy"
        )
    start = 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[place : place + 4], "big") for place in range(4, start, 4))
    if len(data) < start or len(data) - start != math.prod(shape):
        raise ImageError(
            f"{source} has {len(data)} bytes, which its sizes {shape} do not fit: get a whole copy"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_npy(source: Path) -> NDArray[np.generic]:
    """The array of a NPY file, without pickles; raises ImageError."""
    try:
        array: NDArray[np.generic] = np.load(source, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(
            f"{source} is no sound .npy file of numbers ({error}): save one with numpy.save"
        ) from error
    if array.nbytes > LARGEST_FILE:
        raise ImageError(f"{source} has over {LARGEST_FILE} bytes: give a part of it")
    return array


def read_folder(source: Path, side: int) -> Samples:
    """Pictures of a folder in gray, side x side, by the names of their own folders."""
    if not 4 <= side <= 128:
        raise ImageError(f"a side of {side} pixels is out of range: choose 4 to 128")
    files = sorted(
        path for path in source.rglob("*") if path.suffix.lower() in READABLE_SUFFIXES and path.is_file()
    )
    if not files:
        raise ImageError(f"{source} has no pictures: give a folder that has")
    values = np.stack([read_picture(file, side, side) for file in files])
    labels = np.array([file.parent.name for file in files])
    return Samples(values, labels if len(set(labels)) > 1 else None, True, source.name)


def read_page(file: Path | IO[bytes]) -> NDArray[np.float32]:
    """A picture (H, W) in gray, in [0, 1], on white where it is transparent; raises ImageError."""
    picture = read_plainly(file)
    gray = picture.pixels.astype(np.float32).mean(2) / 255
    if picture.alpha is not None:  # ink on nothing would else be black on black
        gray += (1 - gray) * (1 - picture.alpha / np.float32(255))
    return np.asarray(gray, np.float32)


def read_picture(file: Path | IO[bytes], height: int, width: int) -> NDArray[np.float32]:
    """The middle of a picture in gray, scaled to (height, width), in [0, 1]; raises ImageError."""
    page = Image.fromarray(np.rint(read_page(file) * 255).astype(np.uint8))
    return np.asarray(ImageOps.fit(page, (width, height)), np.float32) / np.float32(255)


def read_table(source: Path, label: str | None) -> Samples:
    """Rows of a CSV file, with a line of names or without; `label` is the column of labels, or its number."""
    table = parse_table(source, read_bytes(source), label)
    return Samples(table.values[:, None], table.labels, False, source.name, table.says)


def read_labels(source: Path, count: int) -> NDArray[np.str_]:
    """As many labels of an idx or NPY file, or a line each; raises ImageError for another number of them."""
    if source.suffix.lower() == ".npy":
        labels = read_npy(source).astype(str)
    elif source.suffix.lower() in {".csv", ".txt"}:
        labels = np.array(read_bytes(source).decode("utf-8", "replace").split())
    else:
        labels = read_idx(source).astype(str)
    if labels.shape != (count,):
        raise ImageError(
            f"{source} has labels of shape {labels.shape} for {count} samples: give one for each"
        )
    return labels


def checked(samples: Samples) -> Samples:
    """Samples that can be learned from; raises ImageError for others."""
    values, name = samples.values, samples.name
    if len(values) < LEAST:
        raise ImageError(f"{name} has {len(values)} samples: give at least {LEAST}")
    if not 2 <= values[0].size <= LARGEST_SAMPLE:
        raise ImageError(f"{name} has samples of {values[0].size} values: give 2 to {LARGEST_SAMPLE}")
    unsound = ~(np.abs(values) < OUT_OF_RANGE).all((1, 2))
    if unsound.any():
        row = int(unsound.argmax())
        fault = (
            f"of {OUT_OF_RANGE:g} or more" if np.isfinite(values[row]).all() else "that is no finite number"
        )
        raise ImageError(f"{name}: sample {row + 1} holds a value {fault}: mend it or take it out")
    if (values == values[:1]).all():
        raise ImageError(f"{name}: all samples are equal, so there is nothing to learn: give others")
    return samples


def windows(series: NDArray[np.float32], length: int = WINDOW, stride: int = 1) -> NDArray[np.float32]:
    """All windows (N, 1, length) of a series (T,), one every `stride` values."""
    view = np.lib.stride_tricks.sliding_window_view(series, length)[::stride, None]
    return np.ascontiguousarray(view, np.float32)


def electrocardiogram() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """A normal ECG (10 000,), another (10 000,), and which of its values are odd; raises MissingExtraError.

    The package aeon ships them. It is located, not imported: importing it takes seconds, and its dependencies
    contradict those of CompressAI, for which reason it is in no extra.
    """
    spec = find_spec("aeon")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("No module named 'aeon': run pip install --no-deps aeon")
    folder = Path(next(iter(spec.submodule_search_locations)))
    normal, other = (
        np.genfromtxt(folder / ECG.format(part), delimiter=",", skip_header=1, dtype=np.float32)
        for part in ("TRAIN_NA", "TEST")
    )
    return normal[:, 1], other[:, 1], other[:, 2] > 0
