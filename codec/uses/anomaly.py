"""Finds odd places in pictures by what their cells look like. It learns from good pictures alone.

A detector keeps a sample of the features of cells of good pictures. The oddness of a cell is the distance of
its feature from the nearest ones kept, in whitened units. Where good pictures differ, distances count less.

Source: Roth et al. 2022, "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), with a random
sample in place of its coreset; Breunig et al. 2000 (LOF) for distances relative to those between neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from aecodec.api import ImageLike
from aecodec.arrays import Floats
from aecodec.errors import AecodecError
from aecodec.options import number
from aecodec.picture import Picture
from aecodec.picture.alpha import fill_hidden
from aecodec.plain_reading import read_plainly
from aecodec.uses.cells import CELL, planes_of

# These were chosen on eight textures with the defects of benchmarks/textures.py, see docs/uses.md.
# Differences are of mean AUROC per picture there.
LEAST_DEVIATION = 0.1  # of a feature among good pictures, as chroma of gray ones has none
RIDGE = 0.2  # share of the identity in the covariance that whitens; 0.1 and 0.3 differ by 0.001
BANK = 3000  # features kept: 0.2 MB; 1500 lose up to 0.004 and save a quarter of the time
NEAREST = 5  # features whose distances are averaged; 3 lose up to 0.003
EVEN = 0.5  # share of a distance that goes by no spread, so that it counts alike everywhere; 1 loses 0.012
SHIFT = 4  # pixels between the offsets at which small good pictures are cut into cells; 2 is as good
MOST_FEATURES = 60_000  # of good pictures in all; more of them are analysed at fewer offsets
LEAST_PICTURES = 2  # as the threshold needs one that was held out
FPR = 0.01
EULER = 0.5772  # the mean of the standard Gumbel distribution
AT_ONCE = 512  # features compared with the bank at a time: 6 MB


@dataclass(frozen=True, slots=True)
class Finding:
    """How odd a picture is: 1 and more is odd. `heat` (H, W) is the same of each pixel, up to `score`."""

    score: float
    heat: Floats

    @property
    def odd(self) -> bool:
        return self.score >= 1

    def levels(self) -> NDArray[np.uint8]:
        """The heat map (H, W) in levels: 128 and more at the threshold and above, 255 at twice that."""
        return np.asarray(np.minimum(self.heat * 128, 255), np.uint8)


@dataclass(frozen=True, slots=True)
class Detector:
    """What is known of good pictures.

    mean, deviation: (F,) of features; whitening: (F, F); bank: (N, F), whitened.
    spread: (N,), by which a distance from a feature of the bank is divided.
    threshold: the distance from the bank that a picture's score counts as 1.
    fpr: the share of good pictures that the threshold is meant to call odd.
    held_out: how many good pictures the threshold comes from.
    """

    mean: Floats
    deviation: Floats
    whitening: Floats
    bank: Floats
    spread: Floats
    threshold: float
    fpr: float
    held_out: int

    def score(self, image: ImageLike) -> Finding:
        """How odd a picture of any size is; `image` is as `aecodec.compress` takes it.

        Raises ImageError.
        """
        picture = read_plainly(image)
        features, visible = features_of(picture)
        queries = whitened(features, self.mean, self.deviation, self.whitening)
        far = distances(queries, self.bank, self.spread).reshape(visible.shape)
        far *= visible / np.float32(self.threshold)
        return Finding(float(far.max()), enlarged(far, (picture.pixels.shape[0], picture.pixels.shape[1])))


def whitened(features: Floats, mean: Floats, deviation: Floats, whitening: Floats) -> Floats:
    """Features (N, F) in units in which those of good pictures have variance 1 or less each way."""
    return np.asarray(((features - mean) / deviation) @ whitening, np.float32)


def features_of(picture: Picture, offset: tuple[int, int] = (0, 0)) -> tuple[Floats, NDArray[np.bool_]]:
    """Features (h * w, F) of a picture without its first rows and columns, and which (h, w) can be seen."""
    rows, columns = offset
    planes = planes_of(fill_hidden(picture).pixels[rows:, columns:])
    flat = np.ascontiguousarray(planes.reshape(len(planes), -1).T)
    return flat, visible_cells(picture, offset, planes.shape[1:])


def visible_cells(picture: Picture, offset: tuple[int, int], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which cells (h, w) can be judged: no pixel of them or of their neighbours has an alpha of 0.

    Features look into neighbours, and colours that alpha hides are filled in.
    """
    if picture.alpha is None:
        return np.ones(shape, bool)
    hidden = np.zeros((shape[0] * CELL, shape[1] * CELL), bool)
    alpha = picture.alpha[offset[0] :, offset[1] :]
    hidden[: alpha.shape[0], : alpha.shape[1]] = alpha == 0
    cells = np.pad(hidden.reshape(shape[0], CELL, shape[1], CELL).any(axis=(1, 3)), 1)
    return np.asarray(~sliding_window_view(cells, (3, 3)).any(axis=(2, 3)))


def distances(queries: Floats, bank: Floats, spread: Floats, nearest: int = NEAREST) -> Floats:
    """The mean distance (N,) of queries (N, F) from the nearest of a bank (B, F), divided by their spread."""
    nearest = min(nearest, len(bank))
    lengths, total = np.square(queries).sum(1), np.zeros(len(queries), np.float32)
    # |q - b|^2 = |q|^2 - 2 (q b - |b|^2 / 2): one product gives what differs between the bank's features
    columns = np.concatenate([bank, -np.square(bank).sum(1, keepdims=True) / 2], axis=1).T
    rows = np.concatenate([queries, np.ones((len(queries), 1), np.float32)], axis=1)
    for start in range(0, len(queries), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        alike = rows[part] @ columns
        for _ in range(nearest):  # faster than sorting
            place = np.arange(len(alike)), alike.argmax(1)
            squared = np.maximum(lengths[part] - 2 * alike[place], 0)
            total[part] += np.sqrt(squared) / spread[place[1]]
            alike[place] = -np.inf
    return total / np.float32(nearest)


def spread_of(bank: Floats, owners: NDArray[np.intp]) -> Floats:
    """What distances from features (B, F) are divided by: about 1, more where the pictures (B,) differ more.

    It goes by how far each feature is from the nearest of another picture.
    """
    apart = np.empty(len(bank), np.float32)
    for owner in np.unique(owners):
        others = bank[owners != owner]
        apart[owners == owner] = distances(bank[owners == owner], others, np.ones(len(others), np.float32), 1)
    middle = max(float(np.median(apart)), 1e-6)
    return np.asarray(EVEN + (1 - EVEN) * apart / middle, np.float32)


def enlarged(cells: Floats, size: tuple[int, int]) -> Floats:
    """A map (H, W) of pixels from one (h, w) of cells, interpolated; from 0 to the highest cell."""
    height, width = cells.shape
    image = Image.fromarray(cells).resize((width * CELL, height * CELL), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(image, np.float32)[: size[0], : size[1]], 0, cells.max())


def offsets(height: int, width: int, pictures: int) -> list[tuple[int, int]]:
    """The first rows and columns to leave out of a good picture, for each analysis of it.

    There is one alone where pictures are many or large.
    """
    cells = -(-height // CELL) * -(-width // CELL)
    if min(height, width) < 2 * CELL:
        return [(0, 0)]
    shifts = [(row, column) for row in range(0, CELL, SHIFT) for column in range(0, CELL, SHIFT)]
    return shifts if cells * pictures * len(shifts) <= MOST_FEATURES else [(0, 0)]


def fit(
    good: Iterable[ImageLike], fpr: float = FPR, progress: Callable[[int, int], object] | None = None
) -> Detector:
    """A detector of differences from good pictures, at least two, of any sizes.

    `fpr`, above 0 and below 1, is the share of good pictures that may be called odd. The threshold for it
    comes from the scores of each good picture against the features of the others. Where there are fewer than
    1 / fpr pictures it is extrapolated by a Gumbel distribution. `progress` is called with the number of
    pictures that are done, and the number of all.

    Raises ImageError for an item that is no picture, AecodecError for fewer than two pictures or an fpr out
    of range.
    """
    fpr, images = check_fpr(fpr), list(good)
    if len(images) < LEAST_PICTURES:
        raise AecodecError(f"{len(images)} good pictures are too few: give at least {LEAST_PICTURES}")
    features, owners, first = gather(images, progress)
    mean, deviation = features.mean(0), np.maximum(features.std(0), np.float32(LEAST_DEVIATION))
    chosen = np.union1d(sample(len(features), BANK), np.unique(owners, return_index=True)[1])  # of each one
    whitening = whitening_of((features - mean) / deviation)

    bank, owners = whitened(features[chosen], mean, deviation, whitening), owners[chosen]
    spread, scores = spread_of(bank, owners), []
    for owner, unseen in enumerate(first):
        queries, others = whitened(unseen, mean, deviation, whitening), owners != owner
        scores.append(float(distances(queries, bank[others], spread[others]).max()))
    threshold = threshold_of(np.array(scores), fpr)
    return Detector(mean, deviation, whitening, bank, spread, threshold, fpr, len(images))


def check_fpr(fpr: float) -> float:
    """A share of good pictures that may be called odd; raises AecodecError for one out of range."""
    fpr = number("fpr", fpr, AecodecError)
    if not 0 < fpr < 1:
        raise AecodecError(f"fpr {fpr:g} is out of range: give a share above 0 and below 1, as 0.01")
    return fpr


def gather(
    images: list[ImageLike], progress: Callable[[int, int], object] | None
) -> tuple[Floats, NDArray[np.intp], list[Floats]]:
    """Features of good pictures.

    Gives the features (N, F) at all offsets, the number of the picture that each belongs to (N,), and for
    each picture its features at offset 0.
    """
    every, owners, first = [], [], []
    most = max(MOST_FEATURES // len(images), 1)
    for owner, image in enumerate(images):
        picture = read_plainly(image)
        features_by_offset = []
        for offset in offsets(picture.pixels.shape[0], picture.pixels.shape[1], len(images)):
            features, visible = features_of(picture, offset)
            features_by_offset.append(features[visible.reshape(-1)])
        if not len(features_by_offset[0]):
            raise AecodecError(f"good picture {owner + 1} is transparent everywhere, or nearly: leave it out")
        first.append(features_by_offset[0])
        features_of_picture = np.concatenate(features_by_offset)
        every.append(features_of_picture[sample(len(features_of_picture), most)])
        owners.append(np.full(len(every[-1]), owner))
        if progress:
            progress(owner + 1, len(images))
    return np.concatenate(every), np.concatenate(owners), first


def sample(count: int, most: int) -> NDArray[np.intp]:
    """At most so many numbers below `count`, ascending, drawn as in every run."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def whitening_of(scaled: Floats) -> Floats:
    """The matrix (F, F) that whitens scaled features (N, F): the root of their inverse covariance."""
    covariance = scaled.T.astype(np.float64) @ scaled / len(scaled)
    ridged = (1 - RIDGE) * covariance + RIDGE * np.eye(len(covariance))
    return np.linalg.cholesky(np.linalg.inv(ridged)).astype(np.float32)


def threshold_of(scores: NDArray[np.float64], fpr: float) -> float:
    """The distance that a share `fpr` of good pictures reach, from the scores (N,) of held-out ones.

    The conformal quantile where N is large enough for it; else that of a Gumbel distribution, that of
    maxima, of the same mean and deviation.
    """
    rank = int(np.ceil((len(scores) + 1) * (1 - fpr)))
    if rank <= len(scores):
        return max(float(np.sort(scores)[rank - 1]), 1e-6)
    scale = scores.std(ddof=1) * np.sqrt(6) / np.pi
    return max(float(scores.mean() + scale * (-np.log(-np.log1p(-fpr)) - EULER)), 1e-6)


def auroc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    """Area under the ROC curve: how probably a bad score is above a good one; equal ones count half."""
    ordered = np.sort(good)
    below = np.searchsorted(ordered, bad, "left") + np.searchsorted(ordered, bad, "right")
    return float(below.sum() / (2 * len(good) * len(bad)))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a detector tells good from bad pictures, at its threshold and at any (AUROC)."""

    auroc: float
    false_positives: float  # share of good pictures called odd
    found: float  # share of bad pictures called odd
    good: int
    bad: int


def evaluate(detector: Detector, good: Iterable[ImageLike], bad: Iterable[ImageLike]) -> Evaluation:
    """The figures of a detector on good pictures it has not seen and on bad ones; raises as `score`."""
    scores = [np.array([detector.score(image).score for image in images]) for images in (good, bad)]
    return evaluation_of(*scores)


def evaluation_of(good: NDArray[np.float64], bad: NDArray[np.float64]) -> Evaluation:
    """The figures of scores; raises AecodecError where there are none of either kind."""
    if not len(good) or not len(bad):
        raise AecodecError(f"{len(good)} good and {len(bad)} bad pictures: give at least one of each")
    return Evaluation(
        auroc(good, bad), float((good >= 1).mean()), float((bad >= 1).mean()), len(good), len(bad)
    )
