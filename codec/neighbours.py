"""What is known around each latent when its turn comes: which symbols, how loud, and how loud they should be.

A turn's latents, and those that are known before it, lie on lattices. Of each channel the first and the
second turn have every other row and of these every other column, the third has every other column of every
row. So they are taken out into arrays of a quarter or half the size, in which all neighbours of a latent
stand in its own place, or beside it:

    turn 1   diagonally in its channel 1; in its place, channels 2 away 2, channels 6 away 1
    turn 2   beside it in its channel 2; in its place, channels 1 and 3 away 2, channels 5 and 7 away 1

(Weights. Of all channels up to 8 away, up to 3 doubly, these are what is known by then.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aecodec.tables import SCALE_LEVELS, Integers, Levels, Symbols, Tables

TURNS = 3
LOUDEST = 200  # magnitude above which a neighbour says no more
WEIGHT_SUM = 20  # of the neighbours of one latent in turn 2; in turn 1 it is 10
FARTHEST = (
    8  # channels, a multiple of 4, after which turns repeat, no less than the farthest neighbour is away
)
RATIOS = (6, 16, 26, 35, 45, 54, 64, 77, 93, 115, 147, 192, 288)  # of found to expected, in 2**-6
COLUMNS = np.searchsorted(RATIOS, np.arange(RATIOS[-1] + 1), side="right").astype(np.uint8)  # by ratio
LATENTS_AT_ONCE = 2**19  # so that what is summed stays in the processor's caches

Sample = TypeVar("Sample", bound=np.generic)
Sums = NDArray[Any]  # of uint16, or of int32 where magnitudes are too large for that


def rows_of(turn: int, channel: int) -> list[tuple[slice, slice, int]]:
    """Where a turn's latents lie in a channel: rows, those on the lattice, and the first column.

    The columns are every other one. Turn 3 stands for all that is known before turn 2.
    """
    if turn < 2:
        row = (channel // 2 + turn) % 2
        return [(slice(row, None, 2), slice(None), (row + channel) % 2)]
    last = int(turn == 2)
    return [(slice(row, None, 2), slice(row, None, 2), (row + channel + last) % 2) for row in (0, 1)]


def lattice_shape(shape: tuple[int, ...], turn: int) -> tuple[int, int, int]:
    """The shape of the lattice of a turn in a latent (M, 2h, 2w)."""
    channels, height, width = shape
    return channels, height // 2 if turn < 2 else height, width // 2


def taken(array: NDArray[Sample], turn: int) -> NDArray[Sample]:
    """What a turn's latents have in an array (M, 2h, 2w) whose first channel is a multiple of 4."""
    found = np.empty(lattice_shape(array.shape, turn), array.dtype)
    for channel in range(4):
        for rows, places, column in rows_of(turn, channel):
            found[channel::4, places] = array[channel::4, rows, column::2]
    return found


def flat_places(shape: tuple[int, ...], turn: int, found: NDArray[np.intp]) -> Integers:
    """Places (n,) in a flat latent (M, 2h, 2w) of places (n,) on the flat lattice of a turn."""
    channels, height, width = lattice_shape(shape, turn)
    starts = np.empty((channels, height), np.int32)  # of each row, less what its columns already say
    for channel in range(4):
        for rows, places, column in rows_of(turn, channel):
            row = (
                np.arange(shape[1], dtype=np.int32)[rows]
                + shape[1] * np.arange(channel, channels, 4)[:, None]
            )
            starts[channel::4, places] = shape[2] * row + column
    starts -= np.arange(0, 2 * width * height * channels, 2 * width, dtype=np.int32).reshape(starts.shape)
    small: Integers = found.astype(np.int32)
    return 2 * small + starts.reshape(-1).take(small // width)


def around(values: Sums, turn: int) -> Sums:
    """Weighted sums around each latent of a turn, 1 or 2, of values on the lattice of what is known.

    That is turn 0's for turn 1. The values have FARTHEST channels more at both ends, which may be zeros.
    """
    channels = len(values) - 2 * FARTHEST
    inside = values[FARTHEST:-FARTHEST]

    def away(by: int) -> Sums:
        return values[FARTHEST + by :][:channels]

    if turn == 1:
        total: Sums = away(-2) + away(2)
        total += total
        total += away(-6)
        total += away(6)
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


def coded_levels(
    tables: Tables, index: Levels, symbols: Symbols, turn: int
) -> Iterator[tuple[Integers, Levels]]:
    """Places (n,) in the flat latent of the coded symbols of a turn, and their levels (n,), in parts.

    From scale indices and the symbols before it, both (M, 2h, 2w). How loud known symbols are around a
    latent, compared with the mean magnitudes of their scale indices, selects a column of `level_shift`.
    """
    plane = index[0].size
    step = max(LATENTS_AT_ONCE // plane // 4, 4) * 4
    for first in range(0, len(index), step):
        part = index[first : first + step]
        own = taken(part, turn).reshape(-1)
        found = np.flatnonzero(own >= tables.first_level)
        levels = own.take(found)
        if turn:
            column = ratio_columns(tables, index, symbols, turn, slice(first, first + len(part)), found)
            levels = tables.refined_level[levels, column]
        places = flat_places(part.shape, turn, found)
        places += np.int32(first * plane)
        yield places, levels


def ratio_columns(
    tables: Tables, index: Levels, symbols: Symbols, turn: int, channels: slice, found: NDArray[np.intp]
) -> Levels:
    """The columns (n,) of `level_shift` for places (n,) on the flat lattice of some channels in a turn."""
    known = 0 if turn == 1 else 3
    first, last = max(channels.start - FARTHEST, 0), min(channels.stop + FARTHEST, len(index))
    missing = first - channels.start + FARTHEST, channels.stop + FARTHEST - last
    magnitude = np.where(np.arange(SCALE_LEVELS) < tables.first_level, 0, tables.magnitude)
    levels = taken(index[first:last], known)
    if (
        magnitude[: levels.max(initial=0) + 1].max() * WEIGHT_SUM < 2**16
    ):  # sums do not wrap, in half the time
        magnitude = magnitude.astype(np.uint16)
    loud = np.minimum(np.abs(taken(symbols[first:last], known)), LOUDEST).astype(np.uint16)
    due = magnitude.take(levels)
    sums = []
    for values in (loud, due):
        wider = np.pad(values, (missing, (0, 0), (0, 0))) if any(missing) else values
        sums.append(around(wider, turn).reshape(-1).take(found).astype(np.int32))
    ratio = (1024 * sums[0] + 128) // (sums[1] + 2)
    return COLUMNS.take(ratio, mode="clip")
