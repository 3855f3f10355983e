"""Latents survive coding exactly, and what selects a table is the integer arithmetic that is specified."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.entropy import (
    FRACTION_BITS,
    FULL_QUALITY,
    SCALE_LEVELS,
    SYMBOL_LIMIT,
    Coder,
    Integers,
    Levels,
    Symbols,
    Tables,
    interpolate_offset,
    neighbourhood,
    refine,
    scale_index,
    turns,
)
from codec.errors import BitstreamError
from codec.model import Model, model_named
from tests.common import random_latents

CODER = model_named("base").coder
TABLES = CODER.tables
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))
QUALITIES = st.integers(0, FULL_QUALITY)
SEEDS = st.integers(0, 2**32 - 1)


def assert_round_trip(z: Integers, symbols: Symbols, index: Levels, quality: int, prior: int) -> bytes:
    stream = CODER.encode(z, symbols, index, prior)
    decoded_z, decoded = CODER.decode(stream, z.shape[1:], quality, prior)
    np.testing.assert_array_equal(decoded_z, z)
    np.testing.assert_array_equal(decoded, symbols)
    return stream


@given(SIZES, QUALITIES, st.integers(0, len(TABLES.z_counts) - 1), SEEDS)
def test_round_trip(size: tuple[int, int], quality: int, prior: int, seed: int) -> None:
    assert_round_trip(*random_latents(TABLES, size, quality, seed), quality, prior)


@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_round_trip_of_zeros(size: tuple[int, int]) -> None:
    z = np.zeros((TABLES.z_channels, *size), np.int32)
    index = scale_index(TABLES, z, 5000)
    assert_round_trip(z, np.zeros(index.shape, np.int16), index, 5000, CODER.best_prior(z))


@pytest.mark.parametrize("extreme", [TABLES.z_low, TABLES.z_high])
def test_round_trip_of_extreme_hyper_latents(extreme: int) -> None:
    z = np.full((TABLES.z_channels, 2, 3), extreme, np.int32)
    index = scale_index(TABLES, z, 0)
    assert_round_trip(z, np.zeros(index.shape, np.int16), index, 0, CODER.best_prior(z))


@pytest.mark.parametrize("value", [-SYMBOL_LIMIT, SYMBOL_LIMIT])
def test_every_symbol_may_be_an_escape(value: int) -> None:
    z, symbols, index = random_latents(TABLES, (1, 1), 5000, 1)
    symbols[index >= TABLES.first_level] = value
    assert_round_trip(z, symbols, index, 5000, 0)


def test_symbols_at_the_edge_of_their_tables() -> None:
    z, symbols, index = random_latents(TABLES, (2, 2), 8000, 2)
    reach = TABLES.y_reach[index]
    for beyond in (0, 1):
        edge = np.where(index < TABLES.first_level, 0, np.where(symbols < 0, -1, 1) * (reach + beyond))
        assert_round_trip(z, edge.astype(np.int16), index, 8000, 0)


def reference_offset(quality: int) -> list[int]:
    """The offset by exact fractions, halves rounded up."""
    rows = TABLES.scale_offset.tolist()
    position = Fraction(quality * (len(rows) - 1), FULL_QUALITY)
    lower = floor(position)
    pairs = zip(rows[lower], rows[min(lower + 1, len(rows) - 1)], strict=True)
    return [floor(a + (b - a) * (position - lower) + Fraction(1, 2)) for a, b in pairs]


def reference_index(z: Integers, quality: int) -> Levels:
    """Scale indices one position at a time, in 64-bit integers."""
    _, height, width = z.shape
    weight, offset = TABLES.scale_weight.astype(np.int64), np.array(reference_offset(quality), np.int64)
    index = np.empty((len(offset), 2 * height, 2 * width), np.uint8)
    for row, column in np.ndindex(height, width):
        rows = np.clip([row - 1, row, row + 1], 0, height - 1)
        columns = np.clip([column - 1, column, column + 1], 0, width - 1)
        sums = weight @ z[:, rows][:, :, columns].astype(np.int64).ravel()
        rounded = (
            sums.reshape(-1, 2, 2) + offset[:, None, None] + 2 ** (FRACTION_BITS - 1)
        ) // 2**FRACTION_BITS
        place = slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)
        index[:, *place] = np.clip(rounded, 0, SCALE_LEVELS - 1)
    return index


@given(SIZES, QUALITIES, SEEDS)
def test_scale_index_is_the_reference(size: tuple[int, int], quality: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    z = random.integers(TABLES.z_low, TABLES.z_high + 1, (TABLES.z_channels, *size), dtype=np.int32)
    np.testing.assert_array_equal(scale_index(TABLES, z, quality), reference_index(z, quality))


def test_scale_index_of_photographic_hyper_latents_takes_many_values() -> None:
    index = random_latents(TABLES, (4, 4), 5000, 3)[2]
    assert len(np.unique(index)) > SCALE_LEVELS // 4


def test_sums_cannot_overflow() -> None:
    largest = max(abs(TABLES.z_low), abs(TABLES.z_high))
    sums = int(np.abs(TABLES.scale_weight.astype(np.int64)).sum(1).max()) * largest
    offset = int(np.abs(TABLES.scale_offset.astype(np.int64)).max()) + 2 ** (FRACTION_BITS - 1)
    assert sums + offset < 2**31


@given(QUALITIES)
def test_offset_is_the_reference(quality: int) -> None:
    assert interpolate_offset(TABLES, quality).tolist() == reference_offset(quality)


def test_offset_is_exact_at_the_anchors() -> None:
    anchors = len(TABLES.scale_offset)
    for anchor in range(anchors):
        if FULL_QUALITY * anchor % (anchors - 1) == 0:
            quality = FULL_QUALITY * anchor // (anchors - 1)
            np.testing.assert_array_equal(interpolate_offset(TABLES, quality), TABLES.scale_offset[anchor])


def test_offset_is_monotone_between_anchors() -> None:
    step = FULL_QUALITY // (len(TABLES.scale_offset) - 1)
    offsets = np.stack([interpolate_offset(TABLES, quality) for quality in range(0, step + 1, 50)])
    direction = np.sign(TABLES.scale_offset[1] - TABLES.scale_offset[0])
    assert (np.diff(offsets, axis=0) * direction >= 0).all()


def sample_hyper_latent(tables: Tables, prior: int, seed: int) -> Integers:
    """A hyper-latent (Z, 12, 12) drawn from one prior."""
    random = np.random.default_rng(seed)
    rows = tables.z_counts[prior].astype(np.float64)
    drawn = [random.choice(len(row), 144, p=row / row.sum()) for row in rows]
    return (np.stack(drawn).reshape(-1, 12, 12) + tables.z_low).astype(np.int32)


@pytest.mark.parametrize("prior", range(0, len(TABLES.z_counts), 7))
def test_best_prior_is_the_cheapest(prior: int) -> None:
    z = sample_hyper_latent(TABLES, prior, prior)
    index = np.zeros((len(TABLES.scale_offset[0]), 24, 24), np.uint8)
    symbols = np.zeros(index.shape, np.int16)
    lengths = [len(CODER.encode(z, symbols, index, p)) for p in range(len(TABLES.z_counts))]
    assert lengths[CODER.best_prior(z)] <= min(lengths) + 4


def test_streams_are_as_long_as_the_tables_say() -> None:
    z, symbols, index = random_latents(TABLES, (4, 4), 5000, 5)
    bits = 0.0
    for turn in range(3):
        places = (turns(index.shape) == turn) & (index >= TABLES.first_level)
        levels = refine(TABLES, index, symbols, turn)[places]
        bits += float(TABLES.bits_of(symbols[places].astype(np.float32), levels).sum())
    without = len(CODER.encode(z, np.zeros_like(symbols), np.zeros_like(index), 0))
    length = 8 * (len(CODER.encode(z, symbols, index, 0)) - without)
    assert length == pytest.approx(bits, rel=0.01, abs=64)


def stream_of(size: tuple[int, int]) -> bytes:
    return CODER.encode(*random_latents(TABLES, size, 5000, 7), 0)


@pytest.mark.parametrize("extra", [b"\0", b"\1\2", b"\1\2\3"])
def test_odd_length_is_refused(extra: bytes) -> None:
    with pytest.raises(BitstreamError, match="does not fit its header"):
        CODER.decode(stream_of((2, 2)) + extra, (2, 2), 5000, 0)


def test_unknown_prior_is_refused() -> None:
    with pytest.raises(BitstreamError, match="does not fit its header"):
        CODER.decode(stream_of((2, 2)), (2, 2), 5000, len(TABLES.z_counts))


def test_trailing_zero_word_is_refused() -> None:
    with pytest.raises(BitstreamError, match="no stream of symbols"):
        CODER.decode(stream_of((2, 2)) + bytes(4), (2, 2), 5000, 0)


@pytest.mark.parametrize("words", [1, 2, 100])
def test_extra_words_are_refused(words: int) -> None:
    extra, stream = bytes(range(1, 5)) * words, stream_of((2, 2))
    for damaged in (extra + stream, stream + extra * 50):
        with pytest.raises(BitstreamError, match="does not end with the picture"):
            CODER.decode(damaged, (2, 2), 5000, 0)


def test_stream_of_a_larger_picture_is_refused() -> None:
    with pytest.raises(BitstreamError):
        CODER.decode(stream_of((4, 4)), (2, 2), 5000, 0)


def decode_damaged(coder: Coder, stream: bytes, size: tuple[int, int], quality: int) -> None:
    """Decodes to values in range or raises a BitstreamError."""
    with suppress(BitstreamError):
        z, symbols = coder.decode(stream, size, quality, 0)
        assert z.min() >= TABLES.z_low
        assert z.max() <= TABLES.z_high
        assert symbols.shape[1:] == (2 * size[0], 2 * size[1])


@settings(max_examples=300)
@given(st.binary(max_size=200), SIZES, QUALITIES)
def test_arbitrary_bytes(stream: bytes, size: tuple[int, int], quality: int) -> None:
    decode_damaged(CODER, stream, size, quality)


@settings(max_examples=100)
@given(st.data())
def test_damaged_streams(data: st.DataObject) -> None:
    stream = bytearray(stream_of((2, 2)))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    decode_damaged(CODER, bytes(stream[: data.draw(st.integers(0, len(stream)))]), (2, 2), 5000)


def test_tables_are_sound(model: Model) -> None:
    tables = model.tables
    assert tables.y_starts[-1] == len(tables.y_counts)
    assert len(tables.y_reach) == SCALE_LEVELS
    assert (tables.z_counts > 0).all()
    assert all((tables.level_counts(level) > 0).all() for level in range(SCALE_LEVELS))
    assert tables.z_low <= 0 <= tables.z_high


@pytest.mark.parametrize("turn", [1, 2])
def test_levels_depend_on_earlier_turns_alone(turn: int) -> None:
    _, symbols, index = random_latents(TABLES, (4, 5), 5000, 11)
    before = np.where(turns(index.shape) < turn, symbols, 0).astype(np.int16)
    places = turns(index.shape) == turn
    levels = refine(TABLES, index, symbols, turn)[places]
    assert np.array_equal(levels, refine(TABLES, index, before, turn)[places])
    louder = np.where(turns(index.shape) < turn, 9 * symbols + 5, 0).astype(np.int16)
    assert refine(TABLES, index, louder, turn)[places].mean() > levels.mean()


def test_levels_do_not_depend_on_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    _, symbols, index = random_latents(TABLES, (7, 9), 5000, 12)
    whole = refine(TABLES, index, symbols, 2)
    monkeypatch.setattr("codec.entropy.POSITIONS_AT_ONCE", 2)
    assert np.array_equal(refine(TABLES, index, symbols, 2), whole)


def test_the_first_turn_has_no_neighbours() -> None:
    _, symbols, index = random_latents(TABLES, (2, 2), 5000, 13)
    assert refine(TABLES, index, symbols, 0) is index


def test_neighbourhood_weighs_as_it_says() -> None:
    values = np.zeros((20, 5, 5), np.int32)
    values[10, 2, 2] = 1
    sums = neighbourhood(values)
    assert sums[10].tolist()[1:4] == [[0, 1, 2, 1, 0], [0, 2, 0, 2, 0], [0, 1, 2, 1, 0]]
    assert sums[:, 2, 2].tolist() == [0] * 2 + [1] * 5 + [2] * 3 + [0] + [2] * 3 + [1] * 5 + [0]
