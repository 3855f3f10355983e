"""Finds the quality at which a file has the size, or a picture the PSNR, that was asked for.

Size and PSNR rise with quality, so a few qualities are tried, each interpolated between those before it:
first roughly, which takes less than half the time, until one is about right, then with whole files from
there until one is near enough. Quality enters the analysis network, so every other one has to run it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import floor, inf, log
from operator import attrgetter

from aecodec.encoder.encoded import Encoded
from aecodec.errors import TargetError

FIRST = 50.0  # quality that is tried first
MOST_TRIALS = 12  # halving the qualities so often leaves 0.02, see CLOSEST
ROUGH_TRIALS = 4  # of files that are not refined: they only choose where the search begins
CLOSEST = 0.02  # qualities nearer to each other than this count as one
DERIVATIVES = {
    "bytes": 0.035,
    "psnr": 0.17,
}  # of the logarithm of bytes, and of dB, by quality, about
OVERSHOOT = 1.2  # of a second step to one side, so that the aim comes to lie between
WELL_USED = 0.97  # of a limit of bytes
# Near the lowest quality sizes go up and down by a few bytes. So where the least that a search has found is
# over a limit by this factor at most, these qualities are tried too, and else the first alone.
NEARLY, LOWEST = 1.05, (0.0, 0.05, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
DECIBELS = 0.05  # by which a PSNR may be better than what was asked for


@dataclass(frozen=True, slots=True)
class Trial:
    """A file, the quality it was encoded at, and what was measured of it."""

    quality: float
    value: float
    encoded: Encoded


def search(
    encode: Callable[[float], Encoded],
    measure: Callable[[Encoded], float],
    window: tuple[float, float],
    derivative: float,
    first: float = FIRST,
    most: int = MOST_TRIALS,
) -> list[Trial]:
    """Trials whose values approach a window. The last is in it, next to it, or at an end of quality."""
    low, high = window
    trials: list[Trial] = []
    quality = first
    while len(trials) < most:
        trials = [replace(trial, encoded=trial.encoded.slim()) for trial in trials]
        encoded = encode(quality)
        trials.append(Trial(quality, measure(encoded), encoded))
        if low <= trials[-1].value <= high:
            break
        quality = next_quality(
            [trial for trial in trials if trial.value < low],
            [trial for trial in trials if trial.value > high],
            (low + high) / 2,
            derivative,
        )
        if any(abs(quality - trial.quality) < CLOSEST for trial in trials):
            break
    return trials


def next_quality(below: list[Trial], above: list[Trial], aim: float, derivative: float) -> float:
    """The quality at which the value should be `aim`.

    With trials on both sides it is interpolated. With trials on one side it is extrapolated, from one trial
    by `derivative`, from two by the derivative between them. With more on one side it is the end of quality.
    """
    if not (below and above):
        side = below or above
        last, end = side[-1], 100.0 if below else 0.0
        if len(side) > 2 or last.value == inf:
            return end if len(side) > 1 else last.quality / 2
        if len(side) == 2:
            seen = (last.value - side[0].value) / (last.quality - side[0].quality)
            derivative = max(seen, derivative / 3) / OVERSHOOT
        return min(max(last.quality + (aim - last.value) / derivative, 0.0), 100.0)
    first = max(below, key=lambda trial: trial.quality)
    second = min(above, key=lambda trial: trial.quality)
    share = (aim - first.value) / (second.value - first.value) if second.value < inf else 0.5
    return first.quality + min(max(share, 0.05), 0.95) * (second.quality - first.quality)


def search_roughly_first(
    encode: Callable[[float], Encoded],
    encode_roughly: Callable[[float], Encoded],
    measure: Callable[[Encoded], float],
    window: tuple[float, float],
    target: str,
) -> list[Trial]:
    """The trials of `search`. It starts from the quality that a search among rough files ended at.

    `target` is "bytes" or "psnr".
    """
    derivative = DERIVATIVES[target]
    guesses = search(encode_roughly, measure, window, derivative, most=ROUGH_TRIALS)
    nearest = min(guesses, key=lambda trial: abs(trial.value - sum(window) / 2))
    return search(encode, measure, window, derivative, nearest.quality)


def within_bytes(
    encode: Callable[[float], Encoded],
    encode_roughly: Callable[[float], Encoded],
    encode_alone: Callable[[float], Encoded],
    limit: int,
    fixed: int = 0,
) -> Encoded:
    """The best file tried that has at most `limit` bytes, of which `fixed` do not depend on quality.

    `encode_roughly` makes about what `encode` makes, in less time. `encode_alone` makes what a file of one
    quality is without a search, which may be a few bytes smaller. Raises TargetError where the smallest has
    more.
    """
    spare = max(limit - fixed, 1)
    window = log(WELL_USED * spare), log(spare)
    trials = search_roughly_first(
        encode, encode_roughly, lambda encoded: log(max(len(encoded.data) - fixed, 1)), window, "bytes"
    )
    fitting = [trial for trial in trials if len(trial.encoded.data) <= limit]
    if fitting:
        return max(fitting, key=lambda trial: trial.quality).encoded
    least = min(len(trial.encoded.data) for trial in trials)
    tried = [trial.quality for trial in trials] if encode_alone == encode else []
    for quality in LOWEST if least <= NEARLY * limit else LOWEST[:1]:
        if quality not in tried:
            if len((encoded := encode_alone(quality)).data) <= limit:
                return encoded
            least = min(least, len(encoded.data))
    raise TargetError(f"{limit} bytes are out of reach: the smallest file has {least}")


def of_psnr(
    encode: Callable[[float], Encoded], encode_roughly: Callable[[float], Encoded], decibels: float
) -> Encoded:
    """The file of the lowest quality tried that has at least a PSNR in dB; raises TargetError.

    `encode_roughly` makes about what `encode` makes, in less time.
    """
    window = decibels, decibels + DECIBELS
    trials = search_roughly_first(encode, encode_roughly, attrgetter("psnr"), window, "psnr")
    good = [trial for trial in trials if trial.value >= decibels]
    if not good:
        most = floor(100 * max(trial.value for trial in trials)) / 100  # which can be asked for
        raise TargetError(f"{decibels:g} dB are out of reach: the best is {most:.2f} dB, or lossless")
    return min(good, key=lambda trial: trial.quality).encoded
