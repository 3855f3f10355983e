"""Latents to bytes and back. Everything that selects a probability table is an integer here.

The stream is one stack of the ANS coder of `constriction` (its `DefaultAnsCoder`: 32-bit words, 64-bit
state, 24-bit probabilities), written as whole 32-bit words, little endian, in the order of
`AnsCoder.get_compressed()`. Frequencies are those of its `Categorical(counts, perfect=False)`, of counts
that are integers. In the order in which it is decoded:

1. the hyper-latent, step after step (see `aecodec.hyperprior`), with the tables of one prior. An
   expectation e selects the context, turn * 88 + clamp(floor(4 e), -24, 63) + 24, and the origin,
   clamp(floor(e), z_low, z_high). The values of a step are grouped by context from the lowest to the
   highest, each group in raster order; a symbol is the value minus its origin, plus z_high - z_low;
2. the latent's symbols whose scale index is `first_level` or more, turn after turn (see `turns`), those
   of a turn grouped by their refined level from the lowest to the highest, each group in the order
   channel, row, column. The other symbols are zero. A symbol s with |s| <= L, the level's reach, is
   coded as s + L; 2 L + 1 is the escape. At the end of each turn follows, of every symbol that was
   the escape, in the same order, its value plus 2**15, which is never 0, in 16 bits;
3. the end mark, 2**16 - 1 in 16 bits, by which a stream that is too short or too long is known. Being
   large, it also fills the coder's state, without which the first symbols could cost nothing.

In the first turn a latent's level is its scale index; later it is refined by what is known of its
neighbours: see `aecodec.neighbours`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aecodec.ans import STATE_BITS, Ans, Stack, installed_ans
from aecodec.errors import BitstreamError
from aecodec.hyperprior import hyper_steps, scale_index
from aecodec.neighbours import TURNS, coded_levels
from aecodec.tables import ESCAPE_BITS, Integers, Levels, Symbols, Tables

END_MARK = 2**ESCAPE_BITS - 1
SYMBOL_LIMIT = 2 ** (ESCAPE_BITS - 1) - 1  # largest magnitude of a symbol

Place = TypeVar("Place", bound=np.signedinteger[Any])


@dataclass(frozen=True, slots=True)
class Latents:
    """What a stream says: hyper-latent (Z, h, w), symbols (M, 2h, 2w), scale indices alike; the quality,
    in hundredths, at which it says so; and what the decoder makes of it, y, where an encoder knows."""

    z: Integers
    symbols: Symbols
    index: Levels
    quality: int
    y: NDArray[np.float32] | None = None


@lru_cache(maxsize=16)
def turns(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """In which turn, 0 to 2, each latent (M, h, w) is decoded; h and w begin at even places. Read-only.

    The last is one colour of a checkerboard, the other colour is split by rows; both alternate with channels.
    """
    channel, row, column = (np.arange(side) for side in shape)
    early = ((row[:, None] + channel[:, None, None] // 2) % 2).astype(np.uint8)
    last = (row % 2).astype(np.uint8)[:, None] ^ (column % 2).astype(np.uint8)
    last = last ^ (channel % 2).astype(np.uint8)[:, None, None]
    turn = np.where(last == 0, early, np.uint8(2))
    turn.setflags(write=False)
    return turn


def refine(tables: Tables, index: Levels, symbols: Symbols, turn: int) -> Levels:
    """The levels (M, 2h, 2w) of the coded symbols of a turn, from scale indices and the symbols before it.

    The others are scale indices still. See `aecodec.neighbours`.
    """
    levels = index.copy()
    for places, found in coded_levels(tables, index, symbols, turn) if turn else ():
        levels.reshape(-1)[places] = found
    return levels


def by_value(keys: NDArray[Any], places: NDArray[Place]) -> Iterator[tuple[int, NDArray[Place]]]:
    """Each key (N,) that occurs, ascending, with its places (N,) in their order."""
    ordered = places[np.argsort(keys, kind="stable")]
    counts = np.bincount(keys)
    ends = np.cumsum(counts)
    for key in np.flatnonzero(counts).tolist():
        yield key, ordered[ends[key] - counts[key] : ends[key]]


def z_histogram(tables: Tables, z: Integers, quality: int) -> NDArray[np.int64]:
    """How often each symbol of the hyper-latent (Z, h, w) occurs in each context (contexts, values)."""
    contexts, values = tables.z_counts.shape[1:]
    seen = np.zeros(contexts * values, np.int64)
    for step in hyper_steps(tables, z, quality):
        codes = z[step.channel].reshape(-1)[step.places] - step.origin + values // 2
        seen += np.bincount(step.context * values + codes, minlength=len(seen))
    return seen.reshape(contexts, values)


class Coder:
    """The tables as those of an ANS coder, the installed one by default; each is built when first needed."""

    def __init__(self, tables: Tables, ans: Ans | None = None) -> None:
        self.tables = tables
        self.ans = ans or installed_ans()
        self.models: dict[Any, Any] = {}

    def model(self, key: Any, counts: NDArray[np.uint32]) -> Any:
        """The distribution of some counts, kept under a key."""
        if key not in self.models:
            self.models[key] = self.ans.categorical(counts)
        return self.models[key]

    def y_model(self, level: int) -> Any:
        """The distribution of the symbols of a level."""
        return self.model(level, self.tables.level_counts(level))

    def z_model(self, prior: int, context: int) -> Any:
        """The distribution of the hyper-latent's symbols in a context."""
        return self.model((prior, context), self.tables.z_counts[prior, context])

    def escape_model(self) -> Any:
        """The distribution of values of 16 bits."""
        if "escape" not in self.models:
            self.models["escape"] = self.ans.uniform(2**ESCAPE_BITS)
        return self.models["escape"]

    def encode(self, latents: Latents, prior: int) -> bytes:
        """The stream of latents, with the tables of one prior."""
        coder = self.ans.stack()
        coder.encode_reverse(np.array([END_MARK], np.int32), self.escape_model())
        for turn in reversed(range(TURNS)):
            self.encode_turn(coder, latents.symbols, latents.index, turn)
        self.encode_hyper_latent(coder, latents.z, latents.quality, prior)
        return np.asarray(coder.get_compressed(), "<u4").tobytes()

    def encode_hyper_latent(self, coder: Stack, z: Integers, quality: int, prior: int) -> None:
        """Push the hyper-latent (Z, h, w)."""
        span = self.tables.z_high - self.tables.z_low
        for step in reversed(list(hyper_steps(self.tables, z, quality))):
            codes = (z[step.channel].reshape(-1)[step.places] - step.origin + span).astype(np.int32)
            for context, own in reversed(list(by_value(step.context, np.arange(len(codes))))):
                coder.encode_reverse(codes[own], self.z_model(prior, context))

    def decode_hyper_latent(self, coder: Stack, size: tuple[int, int], quality: int, prior: int) -> Integers:
        """Pop the hyper-latent (Z, h, w) of `size` (h, w)."""
        z = np.zeros((self.tables.z_channels, *size), np.int32)
        span = self.tables.z_high - self.tables.z_low
        for step in hyper_steps(self.tables, z, quality):
            values = step.origin - span
            for context, own in by_value(step.context, np.arange(len(values))):
                values[own] += coder.decode(self.z_model(prior, context), len(own))
            if (values < self.tables.z_low).any() or (values > self.tables.z_high).any():
                raise BitstreamError("payload holds a hyper-latent out of range: the file is damaged")
            z[step.channel].reshape(-1)[step.places] = values
        return z

    def encode_turn(self, coder: Stack, symbols: Symbols, index: Levels, turn: int) -> None:
        """Push the symbols (M, 2h, 2w) of one turn."""
        groups = self.groups(index, symbols, turn)
        reach, flat = self.tables.y_reach.tolist(), symbols.reshape(-1)
        values = {level: flat[places] for level, places in groups.items()}
        escaped = [group[np.abs(group) > reach[level]] for level, group in values.items()]
        if sum(map(len, escaped)):
            coder.encode_reverse(
                np.concatenate(escaped).astype(np.int32) + SYMBOL_LIMIT + 1, self.escape_model()
            )
        for level, group in reversed(values.items()):
            codes = np.where(np.abs(group) > reach[level], reach[level] + 1, group)
            coder.encode_reverse(codes.astype(np.int32) + reach[level], self.y_model(level))

    def decode_turn(self, coder: Stack, symbols: Symbols, index: Levels, turn: int) -> None:
        """Pop the symbols (M, 2h, 2w) of one turn into their places."""
        flat, escapes = symbols.reshape(-1), [np.empty(0, np.int32)]
        for level, places in self.groups(index, symbols, turn).items():
            reach = int(self.tables.y_reach[level])
            codes = coder.decode(self.y_model(level), len(places))
            flat[places] = codes - reach
            escapes.append(places[codes == 2 * reach + 1])
        if len(places := np.concatenate(escapes)):
            values = coder.decode(self.escape_model(), len(places)) - SYMBOL_LIMIT - 1
            if (values < -SYMBOL_LIMIT).any():
                raise BitstreamError("payload holds a symbol out of range: the file is damaged")
            flat[places] = values

    def decode(self, stream: bytes, size: tuple[int, int], quality: int, prior: int) -> Latents:
        """The latents of a stream; `size` (h, w) is the hyper-latent's, `quality` in hundredths.

        Raises BitstreamError where the stream cannot have come from `encode`.
        """
        if len(stream) % 4 or prior >= len(self.tables.z_counts):
            raise BitstreamError("payload does not fit its header: the file is damaged, get a sound copy")
        if 8 * len(stream) + STATE_BITS < size[0] * size[1] * self.least_bits(prior):
            raise BitstreamError("payload is too short for the picture's size: the file is damaged")
        try:
            coder = self.ans.stack(np.frombuffer(stream, "<u4").astype(np.uint32))
        except ValueError as error:
            raise BitstreamError(f"payload is no stream of symbols ({error}): get a sound copy") from error
        z = self.decode_hyper_latent(coder, size, quality, prior)
        index = scale_index(self.tables, z, quality)
        symbols = np.zeros(index.shape, np.int16)
        for turn in range(TURNS):
            self.decode_turn(coder, symbols, index, turn)
        end = coder.decode(self.escape_model(), 1)
        if end[0] != END_MARK or not coder.is_empty():
            raise BitstreamError("payload does not end with the picture: the file is damaged")
        return Latents(z, symbols, index, quality)

    def least_bits(self, prior: int) -> float:
        """The fewest bits that one position of the hyper-latent can take, in all channels."""
        counts = self.tables.z_counts[prior].astype(np.float64)
        likeliest = float((counts.max(1) / counts.sum(1)).max())
        return -self.tables.z_channels * float(np.log2(likeliest))

    def groups(self, index: Levels, symbols: Symbols, turn: int) -> dict[int, Integers]:
        """Each level of a turn with the places (n,) of its symbols in the flat latent, both ascending."""
        found: dict[int, list[Integers]] = {}
        for places, levels in coded_levels(self.tables, index, symbols, turn):
            for level, own in by_value(levels, places):
                found.setdefault(level, []).append(own)
        return {level: np.concatenate(found.pop(level)) for level in sorted(found)}

    def best_prior(self, z: Integers, quality: int) -> int:
        """The prior under which the hyper-latent (Z, h, w) takes the fewest bits."""
        seen = z_histogram(self.tables, z, quality)
        return int(np.tensordot(self.tables.z_bits, seen, axes=2).argmin())
