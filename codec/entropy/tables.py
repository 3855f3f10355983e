"""Frequency tables: the integers of a model that select and make every probability, and what symbols cost."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Floats, Integers, ScaleIndices
from aecodec.errors import ModelError

SCALE_LEVELS = 64  # as many as Ballé et al. 2018 have
ESCAPE_BITS = 16  # y stays within 16 bits at any quality, as symbols are int16
FRACTION_BITS = 8  # of the scale map's weights and offsets
SCALARS = ("z_low", "skip_below", "format")
FORMAT = 1  # what docs/format.md specifies, with its constants
# What arrays are called in a model's file, where that is not their name here: files of 0.1 have these names.
STORED_AS = {
    "z_frequencies": "z_counts",
    "y_frequencies": "y_counts",
    "y_support": "y_reach",
    "skip_below": "first_level",
    "scale_index_shift": "level_shift",
    "reconstruction_offset": "inward",
}


@dataclass(frozen=True)
class FrequencyTables:
    """The integers of a model, and one table of floats that no probability depends on.

    scale_weight: (4 * M, 9 * Z) int16, of the scale map, in 2**-8; rows channel-major, then 2x2 place;
        columns channel-major, then 3x3 neighbour.
    scale_offset: (A, M) int32, of the scale map at A anchor qualities, in 2**-8.
    z_low: the smallest value of a hyper-latent.
    z_in_place: (3, Z, Z) int16, weights that predict a channel from those before it, by pass, in 2**-10.
    z_around: (2, Z, Z) int16, weights that predict a channel from neighbours, in passes 1 and 2, in 2**-10.
    z_offset: (A, 3 * Z) int32, of pass and channel, at A anchor qualities, in 2**-10.
    z_frequencies: (S, contexts, values) uint32, of the S CDF sets of the hyper-latent.
    y_frequencies: (total,) uint32, the tables of all scale indices one after the other, each of -L to L and
        the escape.
    y_support: (64,) int32, the L of each scale index.
    skip_below: the first scale index that is coded; latents of smaller ones are their means.
    magnitude: (64,) int32, the mean magnitude of a symbol of each scale index, in 2**-4.
    scale_index_shift: (64, bins) int8, added to a scale index, by the bin of the neighbours' magnitudes.
    reconstruction_offset: (64,) float32, by how much symbols other than zero are reconstructed nearer to the
        mean, by scale index.
    format: which specification the tables are made for; 1 is docs/format.md, with its constants.
    """

    scale_weight: NDArray[np.int16]
    scale_offset: Integers
    z_low: int
    z_in_place: NDArray[np.int16]
    z_around: NDArray[np.int16]
    z_offset: Integers
    z_frequencies: NDArray[np.uint32]
    y_frequencies: NDArray[np.uint32]
    y_support: Integers
    skip_below: int
    magnitude: Integers
    scale_index_shift: NDArray[np.int8]
    reconstruction_offset: Floats
    format: int = FORMAT

    # What follows from these:
    channels: int = field(init=False)  # of the latent, M
    z_channels: int = field(init=False)
    z_high: int = field(init=False)  # the largest value of a hyper-latent
    scale_matrix: Floats = field(init=False)  # (4 * M, 9 * Z), of the scale map, in levels: exact floats
    adapted_scale_index: ScaleIndices = field(init=False)  # (64, bins), as context adapts each
    y_starts: Integers = field(init=False)  # (65,), where the tables of scale indices begin and the last ends
    y_tables: list[NDArray[np.uint32]] = field(init=False)  # of each scale index, (2 L + 2,)
    y_bits: Floats = field(init=False)  # of each entry of `y_frequencies`, an escape's 16 included
    # What an encoder alone asks for. (Before Python 3.12 a `cached_property` has one lock for all models, and
    # a process that is forked while it is taken would wait for ever.)
    known: dict[str, Floats] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Raises ModelError where sums of the scale map could leave the integers that float32 holds."""
        z_high = self.z_low + self.z_frequencies.shape[2] // 2
        worst = np.abs(self.scale_weight.astype(np.int64)).sum(1).max() * max(abs(self.z_low), abs(z_high))
        if worst + np.abs(self.scale_offset.astype(np.int64)).max() >= 2**24:
            raise ModelError("weights of the scale map are too large for exact sums: export the model anew")
        shifted = np.arange(SCALE_LEVELS)[:, None] + self.scale_index_shift
        y_starts = np.append(0, np.cumsum(2 * self.y_support + 2)).astype(np.int32)
        y_tables = np.split(self.y_frequencies, y_starts[1:-1])
        y_bits = np.concatenate([-np.log2(table / table.sum(dtype=np.float64)) for table in y_tables])
        y_bits[y_starts[1:] - 1] += ESCAPE_BITS
        following = {
            "channels": self.scale_offset.shape[1],
            "z_channels": self.z_in_place.shape[1],
            "z_high": z_high,
            "scale_matrix": self.scale_weight.astype(np.float32) / np.float32(2**FRACTION_BITS),
            "adapted_scale_index": np.clip(shifted, 0, SCALE_LEVELS - 1).astype(np.uint8),
            "y_starts": y_starts,
            "y_tables": y_tables,
            "y_bits": y_bits.astype(np.float32),
        }
        for name, value in following.items():
            object.__setattr__(self, name, value)

    @property
    def y_derivatives(self) -> Floats:
        """How fast bits rise with a symbol, at each entry of `y_frequencies`; 0 at the escapes.

        They are differences of the bits of neighbouring entries, and noise where symbols are rare.
        """
        if "y_derivatives" not in self.known:
            tables = np.split(self.y_bits, self.y_starts[1:-1])
            derivatives = [np.append(np.gradient(bits[:-1]), 0) for bits in tables]
            self.known["y_derivatives"] = np.concatenate(derivatives).astype(np.float32)
        return self.known["y_derivatives"]

    @property
    def z_bits(self) -> Floats:
        """Bits of each entry of `z_frequencies`."""
        if "z_bits" not in self.known:
            shares = self.z_frequencies / self.z_frequencies.sum(2, keepdims=True, dtype=np.float64)
            self.known["z_bits"] = -np.log2(shares).astype(np.float32)
        return self.known["z_bits"]

    def bits_of(self, symbols: Floats, scale_index: ScaleIndices) -> Floats:
        """Bits (N,) of symbols (N,) at their scale indices (N,)."""
        bits: Floats = self.y_bits[self.entries(symbols, scale_index)]
        return bits

    def derivatives_of(self, symbols: Floats, scale_index: ScaleIndices) -> Floats:
        """How fast bits rise with symbols (N,) at their scale indices (N,)."""
        derivatives: Floats = self.y_derivatives[self.entries(symbols, scale_index)]
        return derivatives

    def rdoq_thresholds(self, lagrangian: float) -> Floats:
        """The magnitude (total,) of a residual below which its symbol is better one step nearer to zero.

        At each entry of `y_frequencies`, which its nearest integer has: there the bits saved are worth the
        error added, at `lagrangian` bits for a squared quantisation step. Of escapes only the least may be
        lowered.
        """
        sizes = 2 * self.y_support + 2
        levels = np.repeat(np.arange(SCALE_LEVELS), sizes)
        size = np.abs(np.arange(len(levels)) - np.repeat(self.y_starts[:-1] + self.y_support, sizes))
        offset = self.reconstruction_offset[levels]
        ends = size - offset, size - 1 - offset * (size > 1)  # where either symbol stands
        saved = (
            self.y_bits
            - self.y_bits[np.repeat(self.y_starts[:-1], sizes) + self.y_support[levels] + size - 1]
        )
        below = (saved / (lagrangian * (ends[0] - ends[1])) + ends[0] + ends[1]) / 2
        return np.asarray(np.minimum(below, size + 0.5), np.float32)

    def entries(self, symbols: Floats, scale_index: ScaleIndices) -> Integers:
        """The entries (N,) of `y_frequencies` that symbols (N,) have at their scale indices (N,)."""
        support = self.y_support[scale_index]
        codes = np.where(np.abs(symbols) > support, 2 * support + 1, symbols + support)
        entries: Integers = self.y_starts[scale_index] + codes.astype(np.int32)
        return entries


def read_tables(data: bytes) -> FrequencyTables:
    """Tables from an npz archive; never unpickles. Raises ModelError for those of another release."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            stored: dict[str, Any] = {"format": np.array(FORMAT), **arrays}  # which tables of 0.1 do not say
        if (number := int(stored["format"])) != FORMAT:
            raise ModelError(
                f"the tables are of format {number}, this release reads {FORMAT}: upgrade aecodec"
            )
        names = [field.name for field in fields(FrequencyTables) if field.init]
        named = {name: stored[STORED_AS.get(name, name)] for name in names}
        return FrequencyTables(**{**named, **{name: int(named[name]) for name in SCALARS}})
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"the tables are not of this release ({error}): export the model anew") from error


def write_tables(tables: FrequencyTables) -> bytes:
    """The tables as an npz archive."""
    file, names = io.BytesIO(), [field.name for field in fields(FrequencyTables) if field.init]
    np.savez_compressed(file, **{STORED_AS.get(name, name): getattr(tables, name) for name in names})
    return file.getvalue()
