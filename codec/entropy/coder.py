"""Latents to bytes and back. docs/format.md specifies the stream; change it together with this.

The stream is one ANS stack (`aecodec.entropy.ans`). Its parts are popped in this order: the hyper-latent,
step after step (`aecodec.entropy.hyperprior`); the symbols of three context passes
(`aecodec.entropy.context`), each pass followed by its escapes; the end mark. They are pushed the other way
round. Symbols are grouped by frequency table, as a coder is fast that takes many under one table.

Everything that selects a frequency table is an integer here, so machines agree.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Floats, Integers, ScaleIndices, Symbols
from aecodec.entropy.ans import STATE_BITS, Ans, Stack, installed_ans
from aecodec.entropy.context import CONTEXT_PASSES, coded_scale_indices
from aecodec.entropy.hyperprior import hyper_steps, scale_indices
from aecodec.entropy.tables import ESCAPE_BITS, FrequencyTables
from aecodec.errors import BitstreamError

# A stream that is too short or too long does not end in the end mark. The mark is large so that it fills the
# coder's state: with an empty state the first symbols could cost nothing.
END_MARK = 2**ESCAPE_BITS - 1
SYMBOL_LIMIT = 2 ** (ESCAPE_BITS - 1) - 1  # largest magnitude of a symbol


@dataclass(frozen=True, slots=True, eq=False)
class Latents:
    """The content of a stream, at a quality."""

    z: Integers  # (Z, h, w)
    symbols: Symbols  # (M, 2h, 2w)
    scale_index: ScaleIndices  # (M, 2h, 2w)
    quality: float
    y_hat: Floats | None = None  # (M, 2h, 2w), as the decoder computes it, where an encoder has it already


@dataclass(frozen=True, eq=False)
class Coder:
    """The tables as those of an ANS coder, the installed one by default; each is built when first needed."""

    tables: FrequencyTables
    ans: Ans = field(default_factory=installed_ans)
    # By CDF set and context, or by scale index:
    built: dict[int | None, dict[int, Any]] = field(default_factory=dict, init=False)

    def groups(
        self, parts: list[tuple[NDArray[Any], NDArray[Any]]], cdf_set: int | None = None
    ) -> list[tuple[int, Any, NDArray[Any]]]:
        """What is coded under each table: its key, the coder's table, and places (n,); keys ascend.

        `parts` are places (N,) and their keys (N,): contexts of the hyper-latent in a CDF set, or else scale
        indices. Places that have a key stay in their order. The list is emptied, as parts take memory.
        """
        frequencies = self.tables.y_tables if cdf_set is None else self.tables.z_frequencies[cdf_set]
        built, groups = self.built.setdefault(cdf_set, {}), defaultdict[int, list[NDArray[Any]]](list)
        parts.reverse()
        while parts:
            places, keys = parts.pop()
            ordered, counts = places[np.argsort(keys, kind="stable")], np.bincount(keys)
            seen = np.flatnonzero(counts)
            ends = np.cumsum(counts[seen]).tolist()
            for key, start, end in zip(seen.tolist(), [0, *ends], ends, strict=False):
                groups[key].append(ordered[start:end])
        coded = []
        for key in sorted(groups):
            if key not in built:
                built[key] = self.ans.categorical(frequencies[key])
            parts_of_key = groups.pop(key)
            coded.append((key, built[key], np.concatenate(parts_of_key)))
        return coded

    def encode(self, latents: Latents, cdf_set: int) -> bytes:
        """The stream of latents, with one CDF set of the hyper-latent."""
        coder, escape_table = self.ans.stack(), self.ans.uniform(2**ESCAPE_BITS)  # of values of 16 bits
        coder.encode_reverse(np.array([END_MARK], np.int32), escape_table)
        support, flat = self.tables.y_support.tolist(), latents.symbols.reshape(-1)
        for number in reversed(range(CONTEXT_PASSES)):
            parts = coded_scale_indices(self.tables, latents.scale_index, latents.symbols, number)
            groups = [(support[index], table, flat[places]) for index, table, places in self.groups(parts)]
            escaped = np.concatenate(
                [np.empty(0, np.int16), *(values[np.abs(values) > most] for most, _, values in groups)]
            )
            coder.encode_reverse(escaped.astype(np.int32) + SYMBOL_LIMIT + 1, escape_table)
            for most, table, values in reversed(groups):
                codes = np.where(np.abs(values) > most, most + 1, values)
                coder.encode_reverse(codes.astype(np.int32) + most, table)
        span = self.tables.z_high - self.tables.z_low
        for step in reversed(list(hyper_steps(self.tables, latents.z, latents.quality))):
            values = latents.z[step.channel].reshape(-1)[step.places]
            codes = (values - step.origin + span).astype(np.int32)
            contexts = self.groups([(np.arange(len(codes)), step.context)], cdf_set)
            for _, table, in_context in reversed(contexts):
                coder.encode_reverse(codes[in_context], table)
        return np.asarray(coder.get_compressed(), "<u4").tobytes()

    def decode(self, stream: bytes, size: tuple[int, int], quality: float, cdf_set: int) -> Latents:
        """The latents of a stream; `size` (h, w) is the hyper-latent's, which is popped first.

        Raises BitstreamError where the stream cannot have come from `encode`.
        """
        if len(stream) % 4 or cdf_set >= len(self.tables.z_frequencies):
            raise BitstreamError("payload does not fit its header: the file is damaged, get a sound copy")
        counts = self.tables.z_frequencies[cdf_set].astype(np.float64)
        least = -np.log2((counts.max(1) / counts.sum(1)).max())  # bits of a value of the hyper-latent
        if 8 * len(stream) + STATE_BITS < self.tables.z_channels * size[0] * size[1] * least:
            raise BitstreamError("payload is too short for the picture's size: the file is damaged")
        try:
            coder = self.ans.stack(np.frombuffer(stream, "<u4").astype(np.uint32))
        except ValueError as error:
            raise BitstreamError(f"payload is no stream of symbols ({error}): get a sound copy") from error
        z = np.zeros((self.tables.z_channels, *size), np.int32)
        span = self.tables.z_high - self.tables.z_low
        for step in hyper_steps(self.tables, z, quality):
            values = step.origin - span
            contexts = self.groups([(np.arange(len(values)), step.context)], cdf_set)
            codes = [coder.decode(table, len(in_context)) for _, table, in_context in contexts]
            values[np.concatenate([in_context for _, _, in_context in contexts])] += np.concatenate(codes)
            z[step.channel].reshape(-1)[step.places] = values
        if z.min() < self.tables.z_low or z.max() > self.tables.z_high:
            raise BitstreamError("payload holds a hyper-latent out of range: the file is damaged")
        scale_index = scale_indices(self.tables, z, quality)
        return Latents(z, self.decode_symbols(coder, scale_index), scale_index, quality)

    def decode_symbols(self, coder: Stack, scale_index: ScaleIndices) -> Symbols:
        """Pop the symbols (M, 2h, 2w), pass after pass, and the end mark."""
        symbols = np.zeros(scale_index.shape, np.int16)
        flat, escape_table = symbols.reshape(-1), self.ans.uniform(2**ESCAPE_BITS)
        for number in range(CONTEXT_PASSES):
            escapes = [np.empty(0, np.int32)]
            parts = coded_scale_indices(self.tables, scale_index, symbols, number)
            for index, table, places in self.groups(parts):
                support = int(self.tables.y_support[index])
                codes = coder.decode(table, len(places))
                flat[places] = codes - support
                escapes.append(places[codes == 2 * support + 1])
            if len(escaped := np.concatenate(escapes)):
                values = coder.decode(escape_table, len(escaped)) - SYMBOL_LIMIT - 1
                if (values < -SYMBOL_LIMIT).any():
                    raise BitstreamError("payload holds a symbol out of range: the file is damaged")
                flat[escaped] = values
        if coder.decode(escape_table, 1)[0] != END_MARK or not coder.is_empty():
            raise BitstreamError("payload does not end with the picture: the file is damaged")
        return symbols

    def best_cdf_set(self, z: Integers, quality: float) -> int:
        """The CDF set under which the hyper-latent (Z, h, w) takes the fewest bits."""
        bits, span = np.zeros(len(self.tables.z_frequencies)), self.tables.z_high - self.tables.z_low
        for step in hyper_steps(self.tables, z, quality):
            codes = z[step.channel].reshape(-1)[step.places] - step.origin + span
            bits += self.tables.z_bits[:, step.context, codes].sum(1, dtype=np.float64)
        return int(bits.argmin())
