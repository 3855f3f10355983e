"""Bjontegaard's mean difference of rate, of mean curves and of each picture, with its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 400  # of the pictures, for the interval: more make it steadier, and take longer
CONFIDENCE = 95  # percent
FEWEST_POINTS = 4  # qualities of a curve: with fewer the interpolation says more than the codec
FEWEST_PICTURES = 4  # for an interval: resamples of fewer are nearly all alike
SEED = 0

Curve = NDArray[np.float64]  # (points, 2): bpp and metric


class NotComparableError(Exception):
    """Two codecs have no rate difference; the text says why."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of rate between a codec's files and an anchor's at equal values of a metric, in percent.

    low, high: the range of the metric that both mean curves cover; overlap: its share of what either does.
    """

    pchip: float
    akima: float
    low: float
    high: float
    overlap: float
    interval: tuple[float, float] | None
    quartiles: tuple[float, float, float] | None
    images: dict[str, float]  # those whose curves can be compared


def rising(points: Curve) -> Curve:
    """The points (n, 2) in order of rate, without those that have a higher rate and are no better."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]
    best = np.maximum.accumulate(np.concatenate([[-np.inf], ordered[:-1, 1]]))
    kept: Curve = ordered[ordered[:, 1] > best]
    return kept


def shared_range(anchor: Curve, test: Curve) -> tuple[float, float] | None:
    """The range of the metric that both curves cover, or None."""
    low, high = max(anchor[0, 1], test[0, 1]), min(anchor[-1, 1], test[-1, 1])
    return (float(low), float(high)) if low < high else None


def bd_rate(anchor: Curve, test: Curve, method: str = "pchip") -> float:
    """Percent of rate that `test` needs more than `anchor`; both rise. Raises NotComparableError."""
    if min(len(anchor), len(test)) < FEWEST_POINTS:
        raise NotComparableError(f"fewer than {FEWEST_POINTS} qualities to compare")
    if not shared_range(anchor, test):
        raise NotComparableError("the curves share no range")
    from bjontegaard import bd_rate as bjontegaard_rate  # imports matplotlib, a second in each process

    arguments = anchor[:, 0], anchor[:, 1], test[:, 0], test[:, 1]
    return float(bjontegaard_rate(*arguments, method=method, require_matching_points=False, min_overlap=0))


def compare(anchor: Mapping[str, Curve], test: Mapping[str, Curve]) -> Comparison:
    """Compare two codecs by the points (qualities, 2) of each picture; raises NotComparableError.

    The interval is that of a bootstrap over pictures, for the rate difference of the mean curves.
    """
    names = sorted(anchor.keys() & test.keys())
    if not names:
        raise NotComparableError("no quality at which every picture has a figure")
    first, second = (np.stack([curves[name] for name in names]) for curves in (anchor, test))
    means = rising(first.mean(0)), rising(second.mean(0))
    pchip, akima = (bd_rate(*means, method=method) for method in ("pchip", "akima"))
    low, high = shared_range(*means) or (0.0, 0.0)
    either = max(curve[-1, 1] for curve in means) - min(curve[0, 1] for curve in means)
    images = {name: rate for name in names if (rate := rate_of(anchor[name], test[name])) is not None}
    quartiles = np.percentile(list(images.values()), [25, 50, 75]).tolist() if images else None
    return Comparison(
        pchip=pchip,
        akima=akima,
        low=low,
        high=high,
        overlap=float((high - low) / either),
        interval=bootstrap(first, second),
        quartiles=(quartiles[0], quartiles[1], quartiles[2]) if quartiles else None,
        images=images,
    )


def rate_of(anchor: Curve, test: Curve) -> float | None:
    """The rate difference of two curves, or None if they cannot be compared."""
    try:
        return bd_rate(rising(anchor), rising(test))
    except NotComparableError:
        return None


def bootstrap(anchor: NDArray[np.float64], test: NDArray[np.float64]) -> tuple[float, float] | None:
    """Percentiles of the mean curves' difference over resampled pictures; both are (pictures, points, 2).

    It is None if there are too few pictures, or if some resampled curves cannot be compared.
    """
    if len(anchor) < FEWEST_PICTURES:
        return None
    random = np.random.default_rng(SEED)
    samples = random.integers(0, len(anchor), (RESAMPLES, len(anchor)))
    rates = [rate_of(anchor[sample].mean(0), test[sample].mean(0)) for sample in samples]
    known = [rate for rate in rates if rate is not None]
    if len(known) < RESAMPLES:
        return None
    low, high = np.percentile(known, [(100 - CONFIDENCE) / 2, (100 + CONFIDENCE) / 2])
    return float(low), float(high)
