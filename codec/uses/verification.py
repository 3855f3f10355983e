"""A second look at pairs of pictures of like layout: whether their details agree too.

Layouts are coarse. All horizons under a bright sky have much the same, and in 835 photographs 301 pairs of
different ones were taken for near duplicates. So the thumbnails of a pair are compared after local contrast
normalisation (Jarrett et al. 2009), under which a sky or a shadow counts no more than what is in it. Pairs
that are found by something coarse are verified so in image retrieval (Philbin et al. 2007).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from aecodec.arrays import Floats, Pixels
from aecodec.uses.embedding import LUMA, boxes, resampled

# Chosen on 12 versions each of 32 validation photographs, and on 835 others. With means over 5x5 pixels, or
# with other floors, true and false pairs come nearer to each other: docs/uses.md.
SIDE = 28  # pixels each way that boxes of thumbnails of 32 are brought to
FLOOR = 0.02  # of white: deviations of luma far below it are noise
MIDDLE = 0.5  # of white: what the mean luma is brought to
AGREEING = 0.6  # correlation of details from which on a pair is one of near duplicates; others reach 0.5
KEPT = 4096  # pictures whose details are kept, 0.25 GB

Pair = tuple[int, int, float]


def verified(pairs: Iterable[Pair], thumbnails: Pixels) -> list[Pair]:
    """The pairs (i, j, cosine) of pictures whose details agree; thumbnails are (N, 32, 32, 3)."""

    @lru_cache(KEPT)
    def details_of(picture: int) -> Floats:
        return details(thumbnails[picture])

    kept = [pair for pair in sorted(pairs) if agreement(details_of(pair[0]), details_of(pair[1])) >= AGREEING]
    return sorted(kept, key=lambda pair: -pair[2])


def agreement(first: Floats, second: Floats) -> float:
    """The largest correlation of the details of a whole picture with those of a box of the other."""
    return float(max((second @ first[0]).max(), (first @ second[0]).max()))


def details(thumbnail: Pixels) -> Floats:
    """The details (19, 784) of a thumbnail (32, 32, 3) and its crops, each of mean 0 and of length 1 or 0."""
    luma = thumbnail.astype(np.float32) @ LUMA / np.float32(255)
    luma *= MIDDLE / (luma.mean() + FLOOR)
    rows = []
    for box in boxes(*luma.shape):
        normalised = locally_normalised(resampled(luma, SIDE, box)).reshape(-1)
        normalised -= normalised.mean()
        rows.append(normalised / max(float(np.linalg.norm(normalised)), 1e-6))
    return np.stack(rows)


def locally_normalised(plane: Floats) -> Floats:
    """Each pixel of a plane (H, W) less the mean of 3x3 pixels, in deviations of these."""
    mean = mean_of_3x3(plane)
    variance = np.maximum(mean_of_3x3(plane**2) - mean**2, 0)
    return np.asarray((plane - mean) / np.sqrt(variance + FLOOR**2), np.float32)


def mean_of_3x3(plane: Floats) -> Floats:
    """The mean of 3x3 pixels around each of a plane (H, W), those at the border repeated beyond it."""
    padded = np.pad(plane, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, np.float32)
