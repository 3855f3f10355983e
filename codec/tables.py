"""The integers of a model, from which every probability is derived, and what symbols cost under them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aecodec.engine import Floats
from aecodec.errors import ModelError

SCALE_LEVELS = 64
ESCAPE_BITS = 16
FRACTION_BITS = 8  # of the scale map's weights and offsets
SCALARS = ("z_low", "first_level")

Integers = NDArray[np.int32]
Symbols = NDArray[np.int16]
Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Tables:
    """The integers of a model, and one table of floats that no probability depends on.

    scale_weight: (4 * M, 9 * Z) int16, of the scale map, in 2**-8; rows channel-major, then 2x2 place;
        columns channel-major, then 3x3 neighbour.
    scale_offset: (A, M) int32, of the scale map at A anchor qualities, in 2**-8.
    z_low: the smallest value of a hyper-latent.
    z_in_place: (3, Z, Z) int16, what channels say of those after them, turn by turn, in 2**-10.
    z_around: (2, Z, Z) int16, what neighbours say, in the second and the third turn, in 2**-10.
    z_offset: (A, 3 * Z) int32, of turn and channel, at A anchor qualities, in 2**-10.
    z_counts: (P, contexts, values) uint32, of the P priors.
    y_counts: (total,) uint32, of all levels' tables one after the other, each -L to L and the escape.
    y_reach: (64,) int32, the L of each level.
    first_level: the first scale index that is coded.
    magnitude: (64,) int32, the mean magnitude of a symbol of each level, in 2**-4.
    level_shift: (64, bins) int8, from scale index to level, by how the neighbours compare with their means.
    inward: (64,) float32, by how much symbols of a scale index other than zero stand nearer to the mean.
    """

    scale_weight: NDArray[np.int16]
    scale_offset: Integers
    z_low: int
    z_in_place: NDArray[np.int16]
    z_around: NDArray[np.int16]
    z_offset: Integers
    z_counts: NDArray[np.uint32]
    y_counts: NDArray[np.uint32]
    y_reach: Integers
    first_level: int
    magnitude: Integers
    level_shift: NDArray[np.int8]
    inward: Floats

    @property
    def z_channels(self) -> int:
        return int(self.z_in_place.shape[1])

    @property
    def z_high(self) -> int:
        """The largest value of a hyper-latent."""
        return self.z_low + int(self.z_counts.shape[2]) // 2

    def __post_init__(self) -> None:
        """Raises ModelError where sums of the scale map could leave the integers that float32 holds."""
        largest = max(abs(self.z_low), abs(self.z_high))
        worst = np.abs(self.scale_weight.astype(np.int64)).sum(1).max() * largest
        if worst + np.abs(self.scale_offset.astype(np.int64)).max() >= 2**24:
            raise ModelError("weights of the scale map are too large for exact sums: export the model anew")

    @cached_property
    def scale_matrix(self) -> Floats:
        """The weights (4 * M, 9 * Z) of the scale map, in levels, which floats hold exactly."""
        return self.scale_weight.astype(np.float32) / np.float32(2**FRACTION_BITS)

    @cached_property
    def refined_level(self) -> Levels:
        """The level (64, bins) of each scale index, by how the neighbours compare with their means."""
        shifted = np.arange(SCALE_LEVELS)[:, None] + self.level_shift
        levels: Levels = np.clip(shifted, 0, SCALE_LEVELS - 1).astype(np.uint8)
        return levels

    @cached_property
    def y_starts(self) -> Integers:
        """Where the table of each level begins in `y_counts`."""
        sizes = 2 * self.y_reach + 2
        starts: Integers = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        return starts

    @cached_property
    def y_bits(self) -> Floats:
        """Bits of each entry of `y_counts`, the escape's 16 included."""
        tables = [self.level_counts(level).astype(np.float64) for level in range(SCALE_LEVELS)]
        for_escape = [np.append(np.zeros(len(table) - 1), ESCAPE_BITS) for table in tables]
        each = [extra - np.log2(t / t.sum()) for t, extra in zip(tables, for_escape, strict=True)]
        bits: Floats = np.concatenate(each).astype(np.float32)
        return bits

    @cached_property
    def y_slopes(self) -> Floats:
        """How fast bits rise with a symbol, at each entry of `y_counts`; 0 at the escapes.

        Differences of the bits beside it, and so mere noise where symbols are rare.
        """
        ends = zip(self.y_starts, self.y_starts[1:], strict=False)
        each = [np.append(np.gradient(self.y_bits[first : last - 1]), 0) for first, last in ends]
        slopes: Floats = np.concatenate(each).astype(np.float32)
        return slopes

    @cached_property
    def z_bits(self) -> Floats:
        """Bits of each entry of `z_counts`."""
        shares = self.z_counts / self.z_counts.sum(2, keepdims=True, dtype=np.float64)
        bits: Floats = -np.log2(shares).astype(np.float32)
        return bits

    def bits_of(self, symbols: Floats, levels: Levels) -> Floats:
        """Bits (N,) of symbols (N,) at their levels (N,)."""
        bits: Floats = self.y_bits[self.entries(symbols, levels)]
        return bits

    def slopes_of(self, symbols: Floats, levels: Levels) -> Floats:
        """How fast bits rise with symbols (N,) at their levels (N,)."""
        slopes: Floats = self.y_slopes[self.entries(symbols, levels)]
        return slopes

    def lowered_below(self, worth: float) -> Floats:
        """The magnitude (total,) of a residual below which its symbol is better one step nearer to zero.

        At each entry of `y_counts`, which its nearest integer has: there the bits saved are worth the error
        added, at `worth` bits for a squared quantisation step. Of escapes only the least may be lowered.
        """
        sizes = 2 * self.y_reach + 2
        levels = np.repeat(np.arange(SCALE_LEVELS), sizes)
        size = np.abs(np.arange(len(levels)) - np.repeat(self.y_starts[:-1] + self.y_reach, sizes))
        inward = self.inward[levels]
        ends = size - inward, size - 1 - inward * (size > 1)  # where either symbol stands
        saved = (
            self.y_bits - self.y_bits[np.repeat(self.y_starts[:-1], sizes) + self.y_reach[levels] + size - 1]
        )
        below = (saved / (worth * (ends[0] - ends[1])) + ends[0] + ends[1]) / 2
        return np.asarray(np.minimum(below, size + 0.5), np.float32)

    def entries(self, symbols: Floats, levels: Levels) -> Integers:
        """The entries (N,) of `y_counts` that symbols (N,) have at their levels (N,)."""
        reach = self.y_reach[levels]
        codes = np.where(np.abs(symbols) > reach, 2 * reach + 1, symbols + reach)
        entries: Integers = self.y_starts[levels] + codes.astype(np.int32)
        return entries

    def level_counts(self, level: int) -> NDArray[np.uint32]:
        """The table (2 L + 2,) of a level."""
        return self.y_counts[self.y_starts[level] : self.y_starts[level + 1]]


def read_tables(data: bytes) -> Tables:
    """Tables from an npz archive; never unpickles. Raises ModelError for those of another release."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return Tables(**{**arrays, **{name: int(arrays[name]) for name in SCALARS}})
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"the tables are not of this release ({error}): export the model anew") from error


def write_tables(tables: Tables) -> bytes:
    """The tables as an npz archive."""
    file = io.BytesIO()
    np.savez_compressed(file, **asdict(tables))
    return file.getvalue()
