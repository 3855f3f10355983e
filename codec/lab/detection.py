"""What is odd, by normal samples alone: digits of another class, rows of a table, windows of a series.

A threshold always comes from normal samples that no network learned from, never from odd ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.lab.autoencoder import Autoencoder
from aecodec.lab.catalogue import Entry
from aecodec.lab.data import Samples
from aecodec.lab.dense import Dense
from aecodec.lab.recurrent import Recurrent
from aecodec.lab.training import decode, encode, fit
from aecodec.uses.anomaly import auroc

FPR = 0.05  # share of normal samples that may be called odd
DIRECTIONS = 8  # of gradients: four leave out 0.01 of AUROC
CELLS = 7  # each way, in which gradients are added up: 4 pixels of a digit of MNIST
RIDGE = 0.1  # of the mean variance, added to each: from 0.02 to 1 the AUROC of digits changes by 0.002
ROW_RIDGE = 0.5  # the same for rows: from 0.1 to 2 the mean AUROC of three splits of a table changes by 0.001
FARTHEST = 1e6  # deviations from the mean, of a value in a row; the squares of more may be no float32
LINEAR_STEPS = 300  # of a linear autoencoder of one digit: more change its AUROC by less than 0.002

Matrix = NDArray[np.float64]  # (N, D)
DETECTORS = (
    Entry("dense-rows", "dense autoencoder, 64-k", lambda shape: Dense(shape, latents_of(shape), (64,)), 600),
    Entry(
        "recurrent-rows",
        "recurrent autoencoder",
        lambda shape: Recurrent(shape, latents_of(shape), 48),
        400,
        4e-3,
    ),
)


def latents_of(shape: tuple[int, int]) -> int:
    """Latents of rows: a third of their values, at most 8. A wider bottleneck lets odd rows through."""
    return max(1, min(8, shape[0] * shape[1] // 3))


@dataclass(frozen=True, slots=True)
class Detection:
    """How well scores separate odd samples from normal ones that were not learned from."""

    name: str
    auroc: float
    recall: float | None = None
    precision: float | None = None
    false_positives: float | None = None
    normal: int = 0
    odd: int = 0


@dataclass(frozen=True, slots=True)
class Whitening:
    """Distance from a mean, with each principal component divided by its deviation (Mahalanobis)."""

    mean: NDArray[np.float64]
    axes: Matrix
    variances: NDArray[np.float64]

    @classmethod
    def of(cls, normal: Matrix, ridge: float = RIDGE) -> Whitening:
        """Fit to normal features (N, D); `ridge` is the share of the mean variance that is added to each."""
        mean = normal.mean(0)
        variances, axes = np.linalg.eigh(np.cov((normal - mean).T).reshape(normal.shape[1], -1))
        return cls(mean, axes, variances.clip(0) + ridge * variances.mean() + 1e-12)

    def scores(self, features: Matrix) -> NDArray[np.float64]:
        """Squared distances (N,) of features (N, D)."""
        scores: NDArray[np.float64] = (((features - self.mean) @ self.axes) ** 2 / self.variances).sum(1)
        return scores


def gradients(pictures: NDArray[np.float32]) -> Matrix:
    """Strength of gradients (N, D) of pictures (N, H, W) in 8 directions in 7x7 cells, as square roots."""
    from scipy.ndimage import gaussian_filter

    cell = max(1, min(pictures.shape[1:]) // CELLS)
    smooth = gaussian_filter(pictures, (0, cell / 6, cell / 6))
    down, right = np.gradient(smooth, axis=(1, 2))
    angle, strength = np.arctan2(down, right), np.hypot(down, right)
    maps = []
    for direction in range(DIRECTIONS):
        along = np.cos(angle - 2 * np.pi * direction / DIRECTIONS).clip(0) ** 2 * strength
        pooled = gaussian_filter(along, (0, cell / 2, cell / 2))[:, cell // 2 :: cell, cell // 2 :: cell]
        maps.append(np.sqrt(pooled.clip(0)).reshape(len(pictures), -1))
    return np.concatenate(maps, 1).astype(np.float64)


def one_class(train: Samples, test: Samples, out: Path, share: float) -> list[Detection]:
    """Mean AUROC of each class as the normal one, by three ways that know no other class."""
    assert train.labels is not None
    assert test.labels is not None
    features, unseen = gradients(train.values), gradients(test.values)
    aurocs: dict[str, list[float]] = {}
    entry = Entry("one-class", "linear, to 32", lambda shape: Dense(shape, 32), LINEAR_STEPS, 4e-3)
    for number, label in enumerate(sorted(set(train.labels.tolist()))):
        mine, normal = train.labels == label, test.labels == label
        if mine.sum() < 2 or normal.all() or not normal.any():
            continue
        network = fit(entry, train.values[mine], test.values[:1], out / f"one-class-{number}", share)
        scores = {
            "whitened histograms of gradients": Whitening.of(features[mine]).scores(unseen),
            "linear autoencoder": errors_of(network, test.values),
            "30 principal components": residuals(train.values[mine], test.values),
        }
        for name, score in scores.items():
            aurocs.setdefault(name, []).append(auroc(score[normal], score[~normal]))
    return [Detection(name, float(np.mean(each))) for name, each in aurocs.items()]


def errors_of(network: Autoencoder, samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared errors (N,) of samples (N, H, W) without quantisation."""
    errors: NDArray[np.float64] = ((samples - decode(network, encode(network, samples))) ** 2).sum((1, 2))
    return errors


def residuals(normal: NDArray[np.float32], samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """What 30 principal components of normal samples leave of others: squared errors (N,)."""
    flat = normal.reshape(len(normal), -1)
    mean = flat.mean(0)
    axes = np.linalg.svd(flat - mean, full_matrices=False)[2][:30]
    rest = samples.reshape(len(samples), -1) - mean
    squares: NDArray[np.float64] = ((rest - rest @ axes.T @ axes) ** 2).sum(1).astype(np.float64)
    return squares


def rows(
    normal: NDArray[Any],
    held_out: NDArray[Any],
    unseen: NDArray[Any],
    odd: NDArray[Any],
    out: Path,
    share: float,
    fpr: float = FPR,
) -> list[Detection]:
    """How well each autoencoder of rows tells odd rows (N, 1, D) from unseen normal ones.

    It learns from `normal`; its threshold is a quantile of the scores of `held_out`, normal rows as well.
    """
    parts = standardised(normal, [normal, held_out, unseen, odd])
    results = []
    for entry in DETECTORS:
        network = fit(entry, parts[0], parts[1], out / entry.name, share)
        features = [features_of(network, part) for part in parts]
        spread = features[0].std(0) + 1e-9  # so that latents and errors weigh alike
        features = [part / spread for part in features]
        whitening = Whitening.of(features[0], ROW_RIDGE)
        _, calibration, low, high = (whitening.scores(part) for part in features)
        threshold = float(np.quantile(calibration, 1 - fpr, method="higher"))
        caught, wrong = int((high > threshold).sum()), int((low > threshold).sum())
        results.append(
            Detection(
                entry.says,
                auroc(low, high),
                caught / len(high),
                caught / max(1, caught + wrong),
                wrong / len(low),
                len(low),
                len(high),
            )
        )
    return results


def standardised(normal: NDArray[Any], parts: list[NDArray[Any]]) -> list[NDArray[np.float32]]:
    """Parts of rows (N, 1, D) in deviations of normal rows from their mean.

    Only these differences are float32: dates and times are so large that it cannot hold what they differ by.
    """
    wide = normal.astype(np.float64)
    # a constant column is odd in any other value
    mean, deviation = wide.mean(0), np.where(np.ptp(wide, 0) > 0, wide.std(0), 1)
    return [((part - mean) / deviation).clip(-FARTHEST, FARTHEST).astype(np.float32) for part in parts]


def features_of(network: Autoencoder, samples: NDArray[np.float32]) -> Matrix:
    """Latents and errors (N, K + D): what the network says of samples, and what it cannot say."""
    y = encode(network, samples)
    errors = (samples - decode(network, y)).reshape(len(samples), -1)
    return np.concatenate([y, errors], 1).astype(np.float64)
