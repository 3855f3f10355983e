"""The file of one sample (.ael): its latents, quantised and entropy coded.

    AE 'L' | version and step, 1 byte | fingerprint of the model, 4 bytes | ANS words, without last bytes of 0

The high half of the third byte is the version, the low half the index of the quantiser step. The words are a
stack of `aecodec.entropy.ans`: the symbols of all latents that are coded, each under its table, then a check,
the low 24 bits of the CRC-32 of header and symbols. The check fills the state of the coder, so it takes the
place of an end mark and costs nothing beyond its 3 bytes. Everything that selects a table is an integer.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aecodec.entropy.ans import FREQUENCY_BITS, cumulative_frequencies, installed_ans
from aecodec.errors import (
    BitstreamError,
    ChecksumError,
    NotAecodecError,
    TargetError,
    TrailingDataError,
    TruncatedError,
    UnknownModelError,
    VersionError,
)

MAGIC = b"\xaeL"
VERSION = 1
HEADER_BYTES = 7
SUFFIX = ".ael"
UNIT = 8  # levels in a quantiser step of 1
REACH = 256  # levels either way: 32 steps of 1, and a latent's standard deviation is about 4
STEPS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40)  # quantiser steps in levels, by their index
FINEST, USUAL = 0, STEPS.index(UNIT)
CERTAIN = (
    0.9995  # share of its first symbol from which a latent is not coded: it costs under a thousandth of a bit
)
WORD_BYTES = 4
CHECK_MASK = 2**FREQUENCY_BITS - 1
COUNT = 32  # of each training sample in a table, beside 1 for every level that none has

Latents = NDArray[np.floating[Any]]  # (K,), in quantiser steps
Counts = NDArray[np.uint32]  # (K, 2 * REACH), how often training samples have each level


def levels_of(latents: Latents) -> NDArray[np.int64]:
    """The levels -REACH to REACH - 1 of latents; what is no number is 0."""
    levels: NDArray[np.int64] = (
        np.rint(np.nan_to_num(latents) * UNIT).clip(-REACH, REACH - 1).astype(np.int64)
    )
    return levels


def symbols_of(levels: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """The nearest whole multiples of a step, in levels."""
    symbols: NDArray[np.int64] = (2 * levels + step) // (2 * step)
    return symbols


def fit_counts(latents: NDArray[np.floating[Any]]) -> Counts:
    """The table of levels of training latents (N, K), smoothed a little."""
    levels = levels_of(latents) + REACH
    counts = np.zeros((levels.shape[1], 2 * REACH), np.int64)
    np.add.at(counts, (np.arange(levels.shape[1])[None], levels), COUNT)
    beside = np.pad(counts, ((0, 0), (1, 1)), mode="edge")
    return ((beside[:, :-2] + 2 * counts + beside[:, 2:]) // 4 + 1).astype(np.uint32)


@dataclass(frozen=True, slots=True)
class StepTables:
    """Tables at one quantiser step: symbols from `low` on, their costs in bits and their values (K, S)."""

    step: int
    low: int
    counts: NDArray[np.int64]
    costs: NDArray[np.float64]
    values: NDArray[np.float64]
    fixed: NDArray[np.int64]  # (K,), the symbol of each latent that is not coded
    coded: NDArray[np.intp]  # those that are
    models: list[Any]

    @classmethod
    def of(cls, counts: Counts, step: int) -> StepTables:
        """Add up the levels of each symbol; its value is the mean of those that training samples had."""
        levels = np.arange(-REACH, REACH)
        symbols = symbols_of(levels, step)
        low, size = int(symbols[0]), int(symbols[-1] - symbols[0]) + 1
        grouped, sums = (np.zeros((len(counts), size), np.int64) for _ in range(2))
        np.add.at(grouped.T, symbols - low, counts.T.astype(np.int64))
        np.add.at(sums.T, symbols - low, (counts.astype(np.int64) * levels).T)
        first = grouped.argmax(1)
        coded = np.flatnonzero(grouped.max(1) < CERTAIN * grouped.sum(1))
        frequencies = [np.diff(cumulative_frequencies(row.astype(np.uint32))) for row in grouped]
        costs = FREQUENCY_BITS - np.log2(np.array(frequencies))
        costs[np.setdiff1d(np.arange(len(counts)), coded)] = 0
        models = [installed_ans().categorical(grouped[latent].astype(np.uint32)) for latent in coded]
        return cls(step, low, grouped, costs, sums / grouped / UNIT, first + low, coded, models)

    def codes(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places (..., K) of the symbols of levels (..., K) in their tables."""
        codes = np.broadcast_to(self.fixed - self.low, levels.shape).copy()
        codes[..., self.coded] = symbols_of(levels, self.step)[..., self.coded] - self.low
        return codes

    def bits(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """What codes (..., K) cost."""
        bits: NDArray[np.float64] = self.costs[np.arange(codes.shape[-1]), codes].sum(-1)
        return bits


class LatentCoder:
    """Writes and reads the files of one model, by its counts (K, 2 * REACH) and fingerprint (4 bytes)."""

    def __init__(self, counts: Counts, fingerprint: bytes) -> None:
        self.counts, self.fingerprint = counts, fingerprint
        self.tables: dict[int, StepTables] = {}

    @cached_property
    def check_model(self) -> Any:
        return installed_ans().uniform(2**FREQUENCY_BITS)

    def at(self, index: int) -> StepTables:
        """The tables at the step of this index."""
        if index not in self.tables:
            self.tables[index] = StepTables.of(self.counts, STEPS[index])
        return self.tables[index]

    def encode(self, latents: Latents, max_bytes: int | None = None) -> bytes:
        """The file of latents (K,): at a step of 1, or at the finest that `max_bytes` allow.

        Raises TargetError where even the coarsest step needs more.
        """
        levels = levels_of(latents)
        if max_bytes is None:
            return self.encode_at(levels, USUAL)
        for index in range(FINEST, len(STEPS)):
            tables = self.at(index)
            # An estimate below the limit by a byte of rounding is tried; most steps are out of reach by far.
            if HEADER_BYTES + (tables.bits(tables.codes(levels)) + FREQUENCY_BITS) / 8 - 1 > max_bytes:
                continue
            if len(data := self.encode_at(levels, index)) <= max_bytes:
                return data
        raise TargetError(f"{max_bytes} bytes are too few for {len(latents)} latents: allow more")

    def encode_at(self, levels: NDArray[np.int64], index: int) -> bytes:
        """The file of levels (K,) at the step of this index."""
        tables = self.at(index)
        codes = tables.codes(levels).astype(np.int32)
        header = MAGIC + bytes([VERSION << 4 | index]) + self.fingerprint
        stack = installed_ans().stack()
        stack.encode_reverse(np.array([check(header, codes)], np.int32), self.check_model)
        for latent, model in zip(reversed(tables.coded.tolist()), reversed(tables.models), strict=True):
            stack.encode_reverse(codes[latent : latent + 1], model)
        return header + np.asarray(stack.get_compressed(), "<u4").tobytes().rstrip(b"\0")

    def decode(self, data: bytes) -> NDArray[np.float64]:
        """The latents (K,) of a file; raises BitstreamError or UnknownModelError."""
        index = self.parse(data)
        tables = self.at(index)
        stream = data[HEADER_BYTES:]
        padded = stream + bytes(-len(stream) % WORD_BYTES)
        try:
            stack = installed_ans().stack(np.frombuffer(padded, "<u4").astype(np.uint32) if padded else None)
        except ValueError as error:
            raise BitstreamError("ends with a word of 0: the file is damaged") from error
        codes = (tables.fixed - tables.low).astype(np.int32)
        for latent, model in zip(tables.coded.tolist(), tables.models, strict=True):
            codes[latent] = stack.decode(model, 1)[0]
        stored_check = int(stack.decode(self.check_model, 1)[0])
        if stored_check != check(data[:HEADER_BYTES], codes) or not stack.is_empty():
            raise ChecksumError("was changed or cut after it was written: get a sound copy")
        values: NDArray[np.float64] = tables.values[np.arange(len(codes)), codes]
        return values

    def parse(self, data: bytes) -> int:
        """The index of a file's step, if its header is sound and of this model."""
        if not data or data[:2] != MAGIC[: len(data)]:
            raise NotAecodecError("is no file of latents: give one that `aecodec lab encode` wrote")
        if len(data) < HEADER_BYTES:
            raise TruncatedError(f"ends after {len(data)} bytes: get a whole copy")
        if data[2] >> 4 != VERSION:
            raise VersionError(
                f"has version {data[2] >> 4}, and this release reads {VERSION}: encode it anew"
            )
        if data[3:HEADER_BYTES] != self.fingerprint:
            named = data[3:HEADER_BYTES].hex()
            raise UnknownModelError(f"is of model {named}, not {self.fingerprint.hex()}: give that model")
        if len(data) > HEADER_BYTES and not data[-1]:
            raise TrailingDataError("ends with bytes of 0, which no file does: cut them off")
        if len(data) > HEADER_BYTES + len(self.counts) * FREQUENCY_BITS // 8 + 8:
            raise TrailingDataError(f"has {len(data)} bytes, more than any of this model: get a sound copy")
        return data[2] & 15


def check(header: bytes, codes: NDArray[np.int32]) -> int:
    """24 bits by which a changed file is known."""
    return zlib.crc32(header + codes.astype("<i2").tobytes()) & CHECK_MASK
