"""Latents to bytes and back. Everything that selects a probability table is an integer here.

The stream is one stack of the ANS coder of `constriction` (its `DefaultAnsCoder`: 32-bit words, 64-bit
state, 24-bit probabilities), written as whole 32-bit words, little endian, in the order of
`AnsCoder.get_compressed()`. Frequencies are those of its `Categorical(counts, perfect=False)`, of counts
that are integers. In the order in which it is decoded:

1. the hyper-latent, channel after channel, each in raster order, with the tables of one prior; a
   symbol is the value minus `z_low`;
2. the latent's symbols whose scale index is `first_level` or more, turn after turn (see `turns`), those
   of a turn grouped by their refined level from the lowest to the highest, each group in the order
   channel, row, column. The other symbols are zero. A symbol s with |s| <= L, the level's reach, is
   coded as s + L; 2 L + 1 is the escape. At the end of each turn follows, of every symbol that was
   the escape, in the same order, its value plus 2**15 in 16 bits;
3. the end mark, 2**16 - 1 in 16 bits, by which a stream that is too short or too long is known. Being
   large, it also fills the coder's state, without which the first symbols could cost nothing.

The scale index of each latent is an integer linear map of the hyper-latent's 3x3 neighbourhood
(borders replicated) plus an offset for channel and quality, both in 2**-8: index = clamp(floor((sum +
offset + 128) / 256), 0, 63). The offset at quality q, in hundredths, lies between those of two anchors:
with p, f = divmod(q * (A - 1), 10000) it is floor((row[p] * (10000 - f) + row[p + 1] * f + 5000) / 10000).
In the first turn that is the level; later it is refined by what is known of the neighbours: see `refine`.
Sums fit 31 bits (checked when tables are loaded), which float64 holds exactly: so numpy's matrix product
of float64 computes them exactly, in any order and on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from codec.bitstream import QUALITY_UNITS
from codec.engine import scaled, tiles
from codec.errors import BitstreamError, ModelError

SCALE_LEVELS = 64
FRACTION_BITS = 8  # of the scale map's weights and offsets
TURNS = 3
ESCAPE_BITS = 16
LOUDEST = 200  # magnitude above which a neighbour says no more
CHANNEL_REACHES = (3, 8)
RATIOS = (6, 16, 26, 35, 45, 54, 64, 77, 93, 115, 147, 192, 288)  # of found to expected, in 2**-6
POSITIONS_AT_ONCE = 32  # of the hyper-latent each way, in one matrix product
END_MARK = 2**ESCAPE_BITS - 1
SYMBOL_LIMIT = 2 ** (ESCAPE_BITS - 1) - 1  # largest magnitude of a symbol
STATE_BITS = 64  # of the coder, which may hold symbols that took no word of the stream
FULL_QUALITY = 100 * QUALITY_UNITS

Integers = NDArray[np.int32]
Symbols = NDArray[np.int16]
Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Tables:
    """The integers of a model.

    scale_weight: (4 * M, 9 * Z) int16, of the scale map, in 2**-8; rows channel-major, then 2x2 place;
        columns channel-major, then 3x3 neighbour.
    scale_offset: (A, M) int32, of the scale map at A anchor qualities, in 2**-8.
    z_low: the smallest value of a hyper-latent.
    z_counts: (P, Z, values) uint32, of the P priors.
    y_counts: (total,) uint32, of all levels' tables one after the other, each -L to L and the escape.
    y_reach: (64,) int32, the L of each level.
    first_level: the first scale index that is coded.
    magnitude: (64,) int32, the mean magnitude of a symbol of each level, in 2**-4.
    level_shift: (64, bins) int8, from scale index to level, by how the neighbours compare with their means.
    """

    scale_weight: NDArray[np.int16]
    scale_offset: Integers
    z_low: int
    z_counts: NDArray[np.uint32]
    y_counts: NDArray[np.uint32]
    y_reach: Integers
    first_level: int
    magnitude: Integers
    level_shift: NDArray[np.int8]

    @property
    def z_channels(self) -> int:
        return int(self.z_counts.shape[1])

    @property
    def z_high(self) -> int:
        """The largest value of a hyper-latent."""
        return self.z_low + int(self.z_counts.shape[2]) - 1

    def __post_init__(self) -> None:
        """Raises ModelError where sums of the scale map could leave 31 bits."""
        largest = max(abs(self.z_low), abs(self.z_high))
        worst = np.abs(self.scale_weight.astype(np.int64)).sum(1).max() * largest
        if worst + np.abs(self.scale_offset.astype(np.int64)).max() >= 2**30:
            raise ModelError("weights of the scale map are too large for exact sums: export the model anew")

    @cached_property
    def y_starts(self) -> Integers:
        """Where the table of each level begins in `y_counts`."""
        sizes = 2 * self.y_reach + 2
        starts: Integers = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        return starts

    @cached_property
    def y_bits(self) -> NDArray[np.float32]:
        """Bits of each entry of `y_counts`, the escape's 16 included."""
        tables = [self.level_counts(level).astype(np.float64) for level in range(SCALE_LEVELS)]
        for_escape = [np.append(np.zeros(len(table) - 1), ESCAPE_BITS) for table in tables]
        each = [extra - np.log2(t / t.sum()) for t, extra in zip(tables, for_escape, strict=True)]
        bits: NDArray[np.float32] = np.concatenate(each).astype(np.float32)
        return bits

    def bits_of(self, symbols: NDArray[np.float32], levels: Levels) -> NDArray[np.float32]:
        """Bits (N,) of symbols (N,) at their levels (N,)."""
        reach = self.y_reach[levels]
        codes = np.where(np.abs(symbols) > reach, 2 * reach + 1, symbols + reach)
        bits: NDArray[np.float32] = self.y_bits[self.y_starts[levels] + codes.astype(np.int32)]
        return bits

    def level_counts(self, level: int) -> NDArray[np.uint32]:
        return self.y_counts[self.y_starts[level] : self.y_starts[level + 1]]


def interpolate_offset(tables: Tables, quality: int) -> Integers:
    """The scale map's offset (M,) at `quality`, in hundredths 0 to 10000, by integer arithmetic."""
    rows = tables.scale_offset.astype(np.int64)
    lower, part = divmod(quality * (len(rows) - 1), FULL_QUALITY)
    upper = min(lower + 1, len(rows) - 1)
    mixed = rows[lower] * (FULL_QUALITY - part) + rows[upper] * part + FULL_QUALITY // 2
    offset: Integers = (mixed // FULL_QUALITY).astype(np.int32)
    return offset


def scale_index(tables: Tables, z: Integers, quality: int) -> Levels:
    """Scale indices (M, 2h, 2w), 0 to 63, from the hyper-latent (Z, h, w) at `quality` in hundredths."""
    channels, height, width = z.shape
    padded = np.pad(z, ((0, 0), (1, 1), (1, 1)), mode="edge")
    neighbours = np.lib.stride_tricks.sliding_window_view(padded, (1, 3, 3))[:, :, :, 0]
    weight = tables.scale_weight.astype(np.float64)
    offset = interpolate_offset(tables, quality)[:, None, None, None, None] + (1 << FRACTION_BITS - 1)
    index = np.empty((len(weight) // 4, height, 2, width, 2), np.uint8)
    for tile in tiles(height, width, POSITIONS_AT_ONCE, halo=0):
        rows, columns = tile.place
        part = neighbours[:, rows, columns]
        inputs = part.transpose(0, 3, 4, 1, 2).reshape(9 * channels, -1).astype(np.float64)
        sums = (weight @ inputs).astype(np.int32).reshape(-1, 2, 2, *part.shape[1:3])
        levels = np.clip((sums + offset) >> FRACTION_BITS, 0, SCALE_LEVELS - 1).astype(np.uint8)
        index[:, rows, :, columns] = levels.transpose(0, 3, 1, 4, 2)
    return index.reshape(-1, 2 * height, 2 * width)


def turns(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """In which turn, 0 to 2, each latent (M, h, w) is decoded; h and w begin at even places.

    The last is one colour of a checkerboard, the other colour is split by rows; both alternate with channels.
    """
    channel, row, column = np.ogrid[: shape[0], : shape[1], : shape[2]]
    early = np.uint8((row + channel // 2) % 2)
    return np.where((row + column + channel) % 2 == 0, early, np.uint8(2))


def refine(tables: Tables, index: Levels, symbols: Symbols, turn: int) -> Levels:
    """The levels (M, 2h, 2w) of the symbols of a turn, from scale indices and the symbols before it.

    Around each latent, magnitudes of symbols that are known, and the mean magnitudes of their levels, are
    summed with the weights of `neighbourhood`. How the sums compare selects a column of `level_shift`.
    """
    if turn == 0:
        return index
    levels = np.empty_like(index)
    for tile in tiles(index.shape[1] // 2, index.shape[2] // 2, POSITIONS_AT_ONCE, halo=1):
        (rows, columns), inner, place = (scaled(part, 2) for part in (tile.outer, tile.inner, tile.place))
        own = index[:, rows, columns]
        known = (turns(own.shape) < turn) & (own >= tables.first_level)
        found = np.minimum(np.abs(symbols[:, rows, columns]), LOUDEST).astype(np.int32) << 4
        found = neighbourhood(np.where(known, found, 0))[:, inner[0], inner[1]]
        expected = neighbourhood(np.where(known, tables.magnitude[own], 0))[:, inner[0], inner[1]]
        own = own[:, inner[0], inner[1]]
        column = np.zeros(own.shape, np.uint8)
        for threshold in RATIOS:
            column += (found + 2) * 64 >= (expected + 2) * threshold
        refined = own.astype(np.int16) + tables.level_shift[own, column]
        levels[:, place[0], place[1]] = np.clip(refined, 0, SCALE_LEVELS - 1)
    return levels


def neighbourhood(values: Integers) -> Integers:
    """Weighted sums (M, h, w) around each of values (M, h, w), zero beyond the borders.

    In its channel beside it 2, diagonally 1; in its place, channels up to 3 away 2, up to 8 away 1.
    """
    around = 2 * values
    around[:, 1:] += values[:, :-1]
    around[:, :-1] += values[:, 1:]
    total = 2 * around
    total[:, :, 1:] += around[:, :, :-1]
    total[:, :, :-1] += around[:, :, 1:]
    sums = np.zeros((len(values) + 1, *values.shape[1:]), np.int32)
    np.cumsum(values, axis=0, out=sums[1:])
    last = len(values)
    channel = np.arange(last)
    for reach in CHANNEL_REACHES:
        total += sums[np.minimum(channel + reach + 1, last)] - sums[np.maximum(channel - reach, 0)]
    return total - (4 + len(CHANNEL_REACHES)) * values


class Coder:
    """The tables as models of `constriction`; each is built when it is first needed."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.models: dict[Any, Any] = {}

    def model(self, key: Any, counts: NDArray[np.uint32]) -> Any:
        if key not in self.models:
            categorical = constriction.stream.model.Categorical
            self.models[key] = categorical(counts.astype(np.float64), perfect=False)
        return self.models[key]

    def y_model(self, level: int) -> Any:
        return self.model(level, self.tables.level_counts(level))

    def z_model(self, prior: int, channel: int) -> Any:
        return self.model((prior, channel), self.tables.z_counts[prior, channel])

    def escape_model(self) -> Any:
        return constriction.stream.model.Uniform(2**ESCAPE_BITS)

    def encode(self, z: Integers, symbols: Symbols, index: Levels, prior: int) -> bytes:
        """The stream of a hyper-latent (Z, h, w) and symbols (M, 2h, 2w) with these scale indices."""
        coder = constriction.stream.stack.AnsCoder()
        coder.encode_reverse(np.array([END_MARK], np.int32), self.escape_model())
        for turn in reversed(range(TURNS)):
            self.encode_turn(coder, symbols, index, turn)
        for channel in reversed(range(len(z))):
            codes = (z[channel].ravel() - self.tables.z_low).astype(np.int32)
            coder.encode_reverse(codes, self.z_model(prior, channel))
        return np.asarray(coder.get_compressed(), "<u4").tobytes()

    def encode_turn(self, coder: Any, symbols: Symbols, index: Levels, turn: int) -> None:
        """Push the symbols (M, 2h, 2w) of one turn."""
        groups = self.groups(index, refine(self.tables, index, symbols, turn), turn)
        values = [symbols.reshape(-1)[places].astype(np.int32) for _, places in groups]
        limits = [int(self.tables.y_reach[level]) for level, _ in groups]
        escaped = [group[np.abs(group) > limit] for group, limit in zip(values, limits, strict=True)]
        if sum(map(len, escaped)):
            coder.encode_reverse(np.concatenate(escaped) + SYMBOL_LIMIT + 1, self.escape_model())
        for (level, _), group, limit in reversed(list(zip(groups, values, limits, strict=True))):
            codes = np.where(np.abs(group) > limit, 2 * limit + 1, group + limit)
            coder.encode_reverse(codes.astype(np.int32), self.y_model(level))

    def decode_turn(self, coder: Any, symbols: Symbols, index: Levels, turn: int) -> None:
        """Pop the symbols (M, 2h, 2w) of one turn into their places."""
        flat, escapes = symbols.reshape(-1), [np.empty(0, np.intp)]
        for level, places in self.groups(index, refine(self.tables, index, symbols, turn), turn):
            limit = int(self.tables.y_reach[level])
            codes = coder.decode(self.y_model(level), len(places))
            flat[places] = codes - limit
            escapes.append(places[codes == 2 * limit + 1])
        if len(places := np.concatenate(escapes)):
            flat[places] = coder.decode(self.escape_model(), len(places)) - SYMBOL_LIMIT - 1

    def decode(
        self, stream: bytes, size: tuple[int, int], quality: int, prior: int
    ) -> tuple[Integers, Symbols]:
        """The hyper-latent (Z, h, w) and symbols (M, 2h, 2w) of a stream; `size` is (h, w).

        Raises BitstreamError where the stream cannot have come from `encode`.
        """
        if len(stream) % 4 or prior >= len(self.tables.z_counts):
            raise BitstreamError("payload does not fit its header: the file is damaged, get a sound copy")
        if 8 * len(stream) + STATE_BITS < size[0] * size[1] * self.least_bits(prior):
            raise BitstreamError("payload is too short for the picture's size: the file is damaged")
        try:
            coder = constriction.stream.stack.AnsCoder(np.frombuffer(stream, "<u4").astype(np.uint32))
        except ValueError as error:
            raise BitstreamError(f"payload is no stream of symbols ({error}): get a sound copy") from error
        channels = range(self.tables.z_channels)
        planes = [coder.decode(self.z_model(prior, channel), size[0] * size[1]) for channel in channels]
        z = (np.stack(planes) + self.tables.z_low).reshape(-1, *size).astype(np.int32)
        index = scale_index(self.tables, z, quality)
        symbols = np.zeros(index.shape, np.int16)
        for turn in range(TURNS):
            self.decode_turn(coder, symbols, index, turn)
        if coder.decode(self.escape_model()) != END_MARK or not coder.is_empty():
            raise BitstreamError("payload does not end with the picture: the file is damaged")
        return z, symbols

    def least_bits(self, prior: int) -> float:
        """The fewest bits that one position of the hyper-latent can take, in all channels."""
        counts = self.tables.z_counts[prior].astype(np.float64)
        return float(-np.log2(counts.max(1) / counts.sum(1)).sum())

    def groups(self, index: Levels, levels: Levels, turn: int) -> list[tuple[int, NDArray[np.intp]]]:
        """Each level of a turn with the places of its symbols, levels and places ascending."""
        places = np.flatnonzero((turns(index.shape) == turn) & (index >= self.tables.first_level))
        of_place = levels.reshape(-1)[places]
        order = places[np.argsort(of_place, kind="stable")]
        counts = np.bincount(of_place, minlength=SCALE_LEVELS)
        ends = np.cumsum(counts)
        return [(n, order[ends[n] - counts[n] : ends[n]]) for n in range(SCALE_LEVELS) if counts[n]]

    def best_prior(self, z: Integers) -> int:
        """The prior under which the hyper-latent (Z, h, w) takes the fewest bits."""
        counts = self.tables.z_counts.astype(np.float64)
        bits = -np.log2(counts / counts.sum(2, keepdims=True))
        values = (z - self.tables.z_low).reshape(len(z), -1)
        histogram = np.stack([np.bincount(v, minlength=counts.shape[2]) for v in values])
        return int((bits * histogram).sum((1, 2)).argmin())
