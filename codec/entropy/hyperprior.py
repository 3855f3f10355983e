"""Integers from the hyper-latent: the scale index of each latent, and expectations of hyper-latent values.

The scale index of each latent is an integer linear map of the hyper-latent's 3x3 neighbourhood
(borders replicated) plus an offset for channel and quality, both in 2**-8: index = clamp(floor((sum +
offset + 128) / 256), 0, 63). Sums fit 24 bits (checked when tables are loaded), which float32 holds
exactly: so numpy's matrix product of float32 computes them exactly, in any order and on any machine.

An offset at quality q, in hundredths, lies between those of two anchors: with p, f = divmod(q * (A - 1),
10000) it is floor((row[p] * (10000 - f) + row[p + 1] * f + 5000) / 10000).

The hyper-latent itself is coded in three passes: positions of even row and column, those of odd row and
column, the rest. Within a pass channel follows channel. Each value has an expectation, in 2**-10 / 12:

    12 * offset[pass, channel] + sum over channels before it of 12 * z * in_place[pass, channel, before]
    + from the second pass on, sum over channels of mean * around[pass - 1, channel, each]

where mean is 12 times the mean of z over those neighbours that are in the picture: the four at the
corners in the second pass, the four at the sides in the third, all of which are known by then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from aecodec.arrays import Integers, Places, ScaleIndices
from aecodec.container import QUALITY_UNITS, hundredths
from aecodec.entropy.tables import FRACTION_BITS, SCALE_LEVELS, FrequencyTables
from aecodec.parallel import for_each

POSITIONS_AT_ONCE = 32  # of the hyper-latent each way, in one matrix product
FULL_QUALITY = 100 * QUALITY_UNITS
HYPER_PASSES = 3  # so that three quarters of the positions know neighbours
# The pass of positions of even and odd row and column: even ones, odd ones, the rest. Training shares it.
HYPER_PASS = np.array([[0, 2], [2, 1]])
HYPER_FRACTION_BITS = 10  # of the weights and offsets of the expectation
NEIGHBOUR_UNIT = 12  # makes a mean of one to four neighbours an integer
NEIGHBOURS = (((-1, -1), (-1, 1), (1, -1), (1, 1)), ((-1, 0), (0, -1), (0, 1), (1, 0)))  # passes 1 and 2
EXPECTED_UNIT = NEIGHBOUR_UNIT << HYPER_FRACTION_BITS
CONTEXTS_PER_UNIT = 4  # of the expectation
EXPECTED_RANGE = (-6, 16)  # beyond it the context stays the same
CONTEXTS = (EXPECTED_RANGE[1] - EXPECTED_RANGE[0]) * CONTEXTS_PER_UNIT  # of each pass
LIBRARIES = ThreadpoolController()  # those with threads of their own that numpy uses
BLAS = Lock()  # on its number of threads
if hasattr(os, "register_at_fork"):  # in a child nobody would release it
    os.register_at_fork(before=BLAS.acquire, after_in_parent=BLAS.release, after_in_child=BLAS.release)


def interpolate(rows: Integers, quality: float) -> NDArray[np.int64]:
    """The offsets (N,) at a quality, of whole hundredths, between those (A, N) of the anchors."""
    lower, part = divmod(hundredths(quality) * (len(rows) - 1), FULL_QUALITY)
    upper = min(lower + 1, len(rows) - 1)
    ends = rows[[lower, upper]].astype(np.int64)
    mixed: NDArray[np.int64] = ends[0] * (FULL_QUALITY - part) + ends[1] * part + FULL_QUALITY // 2
    return mixed // FULL_QUALITY


def scale_indices(tables: FrequencyTables, z: Integers, quality: float) -> ScaleIndices:
    """Scale indices (M, 2h, 2w), 0 to 63, from the hyper-latent (Z, h, w) at a quality."""
    channels, height, width = z.shape
    padded = np.pad(z.astype(np.float32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    neighbours = np.lib.stride_tricks.sliding_window_view(padded, (1, 3, 3))[:, :, :, 0]
    offset = interpolate(tables.scale_offset, quality).astype(np.float32)[:, None, None, None, None]
    offset = (offset + 2 ** (FRACTION_BITS - 1)) / 2**FRACTION_BITS  # which divides floats exactly
    index = np.empty((len(offset), height, 2, width, 2), np.uint8)

    def map_part(corner: tuple[int, ...]) -> None:
        rows, columns = (slice(first, first + POSITIONS_AT_ONCE) for first in corner)
        part = neighbours[:, rows, columns]
        inputs = part.transpose(0, 3, 4, 1, 2).reshape(9 * channels, -1)
        with np.errstate(all="ignore"):  # ARM's SME raises every flag of floating point, always
            sums = (tables.scale_matrix @ inputs).reshape(-1, 2, 2, *part.shape[1:3])
        sums += offset
        levels = np.clip(sums, 0, SCALE_LEVELS - 1, out=sums).astype(np.uint8)
        index[:, rows, :, columns] = levels.transpose(0, 3, 1, 4, 2)

    corners = list(product(*(range(0, side, POSITIONS_AT_ONCE) for side in (height, width))))
    with BLAS, LIBRARIES.limit(limits=1, user_api="blas"):  # other threads would spin for 25 ms after it
        for_each(None, corners, map_part)
    return index.reshape(-1, 2 * height, 2 * width)


@dataclass(frozen=True, slots=True)
class Step:
    """N values of one channel that are coded together."""

    channel: int
    places: Places  # (N,), flat indices in the plane, in raster order
    context: NDArray[np.int64]  # (N,), selects the table of a value
    origin: NDArray[np.int64]  # (N,), the value that the table takes as zero


def hyper_steps(tables: FrequencyTables, z: Integers, quality: float) -> Iterator[Step]:
    """The steps in which the hyper-latent (Z, h, w) is coded at a quality.

    A step depends on values of earlier steps alone. A decoder writes the values of a step before it asks for
    the next.
    """
    row, column = np.ogrid[: z.shape[1], : z.shape[2]]
    flat, order = z.reshape(len(z), -1), HYPER_PASS[row % 2, column % 2]
    inside = np.pad(np.ones(z.shape[1:], np.int64), 1)
    offsets = interpolate(tables.z_offset, quality).reshape(HYPER_PASSES, len(z))
    low, high = (bound * CONTEXTS_PER_UNIT for bound in EXPECTED_RANGE)
    for number in range(HYPER_PASSES):
        if not len(places := np.flatnonzero(order == number)):
            continue  # in a picture so narrow or low
        expected = np.repeat(NEIGHBOUR_UNIT * offsets[number, :, None], len(places), axis=1)
        if number:  # then neighbours are known, of which those in the picture count
            padded, (rows, columns) = np.pad(z, ((0, 0), (1, 1), (1, 1))), np.nonzero(order == number)
            around = [(rows + 1 + y, columns + 1 + x) for y, x in NEIGHBOURS[number - 1]]
            count = np.sum([inside[place] for place in around], axis=0)
            total = np.sum([padded[:, *place] for place in around], axis=0, dtype=np.int64)
            means = total * (NEIGHBOUR_UNIT // np.maximum(count, 1))  # in twelfths
            expected += tables.z_around[number - 1].astype(np.int64) @ means
        in_place = NEIGHBOUR_UNIT * tables.z_in_place[number].astype(np.int64)
        for channel, expected_values in enumerate(expected):
            floored = CONTEXTS_PER_UNIT * expected_values // EXPECTED_UNIT
            origin = (floored // CONTEXTS_PER_UNIT).clip(tables.z_low, tables.z_high)
            yield Step(channel, places, floored.clip(low, high - 1) + (number * CONTEXTS - low), origin)
            expected[channel + 1 :] += in_place[channel + 1 :, channel, None] * flat[channel].take(places)
