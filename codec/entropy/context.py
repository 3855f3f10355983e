"""Context passes: the order in which latents are coded, and how earlier passes adapt a latent's scale index.

The magnitudes of the symbols around a latent that are already decoded are compared with the magnitudes that
the scale indices of these symbols predict. The ratio adapts the scale index of the latent.

The latents of a pass, and those that are known before it, lie on lattices. In each channel the first and the
second pass have every other row, and of these every other column; the third has every other column of every
row. They are copied into arrays of a quarter or half the size, in which all neighbours of a latent have the
same position as the latent, or one beside it:

    pass 1   diagonally in its channel 1; in its place, channels 2 away 2, channels 6 away 1
    pass 2   beside it in its channel 2; in its place, channels 1 and 3 away 2, channels 5 and 7 away 1

(The last number is the weight. Of other channels, those up to 3 away weigh 2, those up to 8 away 1. All that
are decoded by then are listed.)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Integers, Places, ScaleIndices, Symbols
from aecodec.entropy.tables import SCALE_LEVELS, FrequencyTables
from aecodec.parallel import for_each

# With two passes half of the latents had no context, now a quarter (docs/experiments.md, wider networks).
CONTEXT_PASSES = 3
LOUDEST = 200  # larger magnitudes of a neighbour count as this one
WEIGHT_SUM = 20  # of the neighbours of one latent in pass 2; in pass 1 it is 10
FARTHEST = 8  # channels, as far as the farthest neighbour: a multiple of 4, after which passes repeat
RATIOS = (6, 16, 26, 35, 45, 54, 64, 77, 93, 115, 147, 192, 288)  # of known to predicted magnitudes, in 2**-6
# The context pass of latents by channel, row and column, after 4, 2 and 2 of which passes repeat. Rows and
# columns are counted from an even place. The last pass is one colour of a checkerboard. The other colour is
# split by rows. Both alternate with channels. Training takes the order from here too.
CONTEXT_PASS = np.array(
    [[[0, 2], [2, 1]], [[2, 0], [1, 2]], [[1, 2], [2, 0]], [[2, 1], [0, 2]]], np.uint8
)  # (4, 2, 2)
# Channel, row and column of the latents of each pass, and of all that are decoded before the last.
LATTICES = [
    np.argwhere(chosen).tolist()
    for chosen in (CONTEXT_PASS == 0, CONTEXT_PASS == 1, CONTEXT_PASS == 2, CONTEXT_PASS < 2)
]
COLUMNS = np.searchsorted(RATIOS, np.arange(RATIOS[-1] + 1), side="right").astype(np.uint8)  # by ratio
LATENTS_AT_ONCE = 2**19  # so that what is summed stays in the processor's caches

Sample = TypeVar("Sample", bound=np.generic)
Sums = NDArray[Any]  # of uint16, or of int32 where magnitudes are too large for that


@lru_cache(maxsize=16)
def context_passes(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The context pass, 0 to 2, in which each latent (M, h, w) is coded. Read-only."""
    channels, height, width = shape
    repeats = -(-channels // 4), -(-height // 2), -(-width // 2)
    number = np.tile(CONTEXT_PASS, repeats)[:channels, :height, :width]
    number.setflags(write=False)
    return number


def on_lattice(array: NDArray[Sample], number: int) -> NDArray[Sample]:
    """The values of a pass's latents in an array (M, 2h, 2w) whose first channel is a multiple of 4.

    The lattice is (M, h, w) of the passes 0 and 1, and (M, 2h, w) of pass 2. Number 3 stands for all latents
    that are decoded before pass 2.
    """
    (channels, height, width), places = array.shape, LATTICES[number]
    rows = len(places) // 4  # that have latents of the pass, of two
    lattice = np.empty((channels, height * rows // 2, width // 2), array.dtype)
    for channel, row, column in places:
        lattice[channel::4, row % rows :: rows] = array[channel::4, row::2, column::2]
    return lattice


def around(values: Sums, number: int) -> Sums:
    """Weighted sums around each latent of a pass, 1 or 2, of values on the lattice of what is known.

    That is pass 0's for pass 1. The values have FARTHEST channels more at both ends, which may be zeros.
    """
    channels = len(values) - 2 * FARTHEST
    inside = values[FARTHEST:-FARTHEST]
    if number == 1:
        total: Sums = values[FARTHEST - 2 :][:channels] + values[FARTHEST + 2 :][:channels]
        total += total
        total += values[FARTHEST - 6 :][:channels]
        total += values[FARTHEST + 6 :][:channels]
        for channel in range(4):
            below, right = channel < 2, channel in (0, 3)  # its rows and columns, or else above, left
            of_rows = beside(inside[channel::4], 1, below)
            total[channel::4] += beside(of_rows, 2, right)
        return total
    pairs = values[:-2] + values[2:]  # each with that two channels after it
    total = pairs[FARTHEST - 3 :][:channels] + pairs[FARTHEST + 1 :][:channels]
    for channel in range(2):
        for row in range(2):
            part = inside[channel::2, row::2]
            total[channel::2, row::2] += beside(part, 2, channel == row)
    total[:, 1:] += inside[:, :-1]
    total[:, :-1] += inside[:, 1:]
    total += total
    total += pairs[FARTHEST - 7 :][:channels]
    total += pairs[FARTHEST + 5 :][:channels]
    return total


def beside(values: Sums, axis: int, after: bool) -> Sums:
    """Each value (C, h, w) plus that after or before it along an axis, zero beyond the borders."""
    total: Sums = values.copy()
    first, last = [slice(None)] * 3, [slice(None)] * 3
    first[axis], last[axis] = slice(None, -1), slice(1, None)
    kept, added = (first, last) if after else (last, first)
    total[tuple(kept)] += values[tuple(added)]
    return total


def coded_scale_indices(
    tables: FrequencyTables, scale_index: ScaleIndices, symbols: Symbols, number: int
) -> list[tuple[Integers, ScaleIndices]]:
    """Places (n,) of a pass's coded symbols in the flat latent, and their adapted scale indices, in parts.

    `scale_index` and `symbols`, of which those of earlier passes are read, are (M, 2h, 2w). The magnitudes of
    decoded symbols around a latent are compared with the mean magnitudes of their scale indices. The ratio
    selects a column of `adapted_scale_index`.
    """
    height, width = scale_index.shape[1:]
    step = max(LATENTS_AT_ONCE // (height * width) // 4, 4) * 4
    # The places where rows of the lattice begin, less twice their indices there.
    row = np.arange(min(step, len(scale_index)) * height, dtype=np.int32).reshape(-1, height, 1)
    starts = on_lattice(width * row + np.arange(2, dtype=np.int32), number).reshape(-1)
    starts -= width * np.arange(len(starts), dtype=np.int32)

    def adapted_part(first: int) -> tuple[Integers, ScaleIndices]:
        part = scale_index[first : first + step]
        lattice = on_lattice(part, number).reshape(-1)
        coded = np.flatnonzero(lattice >= tables.skip_below)
        adapted = lattice.take(coded)
        if number:
            channels = slice(first, first + len(part))
            column = ratio_columns(tables, scale_index, symbols, number, channels, coded)
            adapted = tables.adapted_scale_index[adapted, column]
        places: Integers = coded.astype(np.int32)
        places += places + starts.take(places // (width // 2))
        places += np.int32(first * height * width)
        return places, adapted

    return for_each(None, range(0, len(scale_index), step), adapted_part)


def adapt_scale_indices(
    tables: FrequencyTables, scale_index: ScaleIndices, symbols: Symbols, number: int
) -> ScaleIndices:
    """Scale indices (M, 2h, 2w). Those of a pass's coded symbols are adapted by symbols of earlier passes."""
    adapted = scale_index.copy()
    for places, values in coded_scale_indices(tables, scale_index, symbols, number) if number else ():
        adapted.reshape(-1)[places] = values
    return adapted


def ratio_columns(
    tables: FrequencyTables,
    scale_index: ScaleIndices,
    symbols: Symbols,
    number: int,
    channels: slice,
    coded: Places,
) -> ScaleIndices:
    """The columns (n,) of `scale_index_shift` for places (n,) on the flat lattice in a pass."""
    known = 0 if number == 1 else 3
    first, last = max(channels.start - FARTHEST, 0), min(channels.stop + FARTHEST, len(scale_index))
    missing = first - channels.start + FARTHEST, channels.stop + FARTHEST - last
    magnitude = np.where(np.arange(SCALE_LEVELS) < tables.skip_below, 0, tables.magnitude)
    levels = on_lattice(scale_index[first:last], known)
    if magnitude[: levels.max(initial=0) + 1].max() * WEIGHT_SUM < 2**16:  # sums do not wrap: half the time
        magnitude = magnitude.astype(np.uint16)
    loud = np.minimum(np.abs(on_lattice(symbols[first:last], known)), LOUDEST).astype(np.uint16)
    due = magnitude.take(levels)
    sums = []
    for values in (loud, due):
        wider = np.pad(values, (missing, (0, 0), (0, 0))) if any(missing) else values
        sums.append(around(wider, number).reshape(-1).take(coded).astype(np.int32))
    ratio = (1024 * sums[0] + 128) // (sums[1] + 2)
    return COLUMNS.take(ratio, mode="clip")
