"""Latents survive coding exactly, and what selects a table is the integer arithmetic that is specified."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aecodec.arrays import Floats, Integers, ScaleIndices, Symbols
from aecodec.container import QUALITY_UNITS
from aecodec.entropy.coder import SYMBOL_LIMIT, Coder, Latents
from aecodec.entropy.context import (
    FARTHEST,
    LOUDEST,
    RATIOS,
    WEIGHT_SUM,
    adapt_scale_indices,
    around,
    context_passes,
)
from aecodec.entropy.hyperprior import FULL_QUALITY, scale_indices
from aecodec.entropy.tables import SCALE_LEVELS
from aecodec.errors import BitstreamError
from aecodec.model.registry import Model, model_named
from aecodec.rate_map import hyper_latent_bits
from tests.common import random_latents

CODER = model_named("base").coder
TABLES = CODER.tables
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))
QUALITIES = st.integers(0, FULL_QUALITY).map(lambda hundredths: hundredths / QUALITY_UNITS)
SEEDS = st.integers(0, 2**32 - 1)


def assert_round_trip(latents: Latents, cdf_set: int) -> None:
    stream = CODER.encode(latents, cdf_set)
    decoded = CODER.decode(stream, latents.z.shape[1:], latents.quality, cdf_set)
    np.testing.assert_array_equal(decoded.z, latents.z)
    np.testing.assert_array_equal(decoded.symbols, latents.symbols)
    np.testing.assert_array_equal(decoded.scale_index, latents.scale_index)


def silent(z: Integers, quality: float) -> Latents:
    """A hyper-latent whose symbols are all zero."""
    index = scale_indices(TABLES, z, quality)
    return Latents(z, np.zeros(index.shape, np.int16), index, quality)


@given(SIZES, QUALITIES, st.integers(0, len(TABLES.z_frequencies) - 1), SEEDS)
def test_round_trip(size: tuple[int, int], quality: float, cdf_set: int, seed: int) -> None:
    assert_round_trip(random_latents(TABLES, size, quality, seed), cdf_set)


@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
@pytest.mark.parametrize("value", [TABLES.z_low, 0, TABLES.z_high])
def test_round_trip_of_flat_hyper_latents(size: tuple[int, int], value: int) -> None:
    latents = silent(np.full((TABLES.z_channels, *size), value, np.int32), 50)
    assert_round_trip(latents, CODER.best_cdf_set(latents.z, latents.quality))


@pytest.mark.parametrize("value", [-SYMBOL_LIMIT, SYMBOL_LIMIT])
def test_every_symbol_may_be_an_escape(value: int) -> None:
    latents = random_latents(TABLES, (1, 1), 50, 1)
    latents.symbols[latents.scale_index >= TABLES.skip_below] = value
    assert_round_trip(latents, 0)


def test_a_symbol_that_has_no_magnitude_is_refused() -> None:
    latents = random_latents(TABLES, (1, 1), 50, 1)
    symbols = np.where(latents.scale_index < TABLES.skip_below, 0, -SYMBOL_LIMIT - 1)
    stream = CODER.encode(replace(latents, symbols=symbols), 0)
    with pytest.raises(BitstreamError, match="symbol out of range"):
        CODER.decode(stream, (1, 1), 50, 0)


def test_symbols_at_the_edge_of_their_tables() -> None:
    latents = random_latents(TABLES, (2, 2), 80, 2)
    support = TABLES.y_support[latents.scale_index]
    for beyond in (0, 1):
        edge = np.where(latents.symbols < 0, -1, 1) * (support + beyond)
        edge = np.where(latents.scale_index < TABLES.skip_below, 0, edge).astype(np.int16)
        assert_round_trip(replace(latents, symbols=edge), 0)


@pytest.mark.parametrize("seed", range(4))
def test_best_cdf_set_is_the_cheapest(seed: int) -> None:
    random = np.random.default_rng(seed)
    smooth = np.repeat(np.repeat(random.normal(2 * seed, 2, (1, 3, 3)), 4, axis=1), 4, axis=2)
    z = np.rint(smooth + random.normal(0, 0.5, (TABLES.z_channels, 12, 12))).astype(np.int32)
    latents = silent(np.clip(z, TABLES.z_low, TABLES.z_high), 5 + 30 * seed)
    lengths = [len(CODER.encode(latents, cdf_set)) for cdf_set in range(len(TABLES.z_frequencies))]
    assert lengths[CODER.best_cdf_set(latents.z, latents.quality)] <= min(lengths) + 4


def test_no_hyper_latent_is_free() -> None:
    assert (TABLES.z_channels * TABLES.z_bits.min((1, 2)) > 1).all()


def test_streams_are_as_long_as_the_tables_say() -> None:
    latents = random_latents(TABLES, (4, 4), 50, 5)
    bits = float(hyper_latent_bits(TABLES, latents.z, latents.quality, 0).sum())
    for number in range(3):
        places = (context_passes(latents.scale_index.shape) == number) & (
            latents.scale_index >= TABLES.skip_below
        )
        levels = adapt_scale_indices(TABLES, latents.scale_index, latents.symbols, number)[places]
        bits += float(TABLES.bits_of(latents.symbols[places].astype(np.float32), levels).sum())
    assert 8 * len(CODER.encode(latents, 0)) == pytest.approx(bits, rel=0.01, abs=64)


@pytest.mark.parametrize("level", [2, 20, 40, 63])
def test_derivatives_are_those_of_bits(level: int) -> None:
    support = int(TABLES.y_support[level])
    inside = np.arange(1 - support, support, dtype=np.float32)
    levels = np.full(len(inside), level, np.uint8)
    rise = (TABLES.bits_of(inside + 1, levels) - TABLES.bits_of(inside - 1, levels)) / 2
    np.testing.assert_allclose(TABLES.derivatives_of(inside, levels), rise, atol=1e-5)
    assert rise[support - 1] == 0  # as tables are symmetric, at 0
    beyond = np.array([support + 1, -support - 1], np.float32)
    assert not TABLES.derivatives_of(beyond, levels[:2]).any()


def stream_of(size: tuple[int, int]) -> bytes:
    return CODER.encode(random_latents(TABLES, size, 50, 7), 0)


@pytest.mark.parametrize("extra", [b"\0", b"\1\2", b"\1\2\3"])
def test_odd_length_is_refused(extra: bytes) -> None:
    with pytest.raises(BitstreamError, match="does not fit its header"):
        CODER.decode(stream_of((2, 2)) + extra, (2, 2), 50, 0)


def test_unknown_cdf_set_is_refused() -> None:
    with pytest.raises(BitstreamError, match="does not fit its header"):
        CODER.decode(stream_of((2, 2)), (2, 2), 50, len(TABLES.z_frequencies))


def test_trailing_zero_word_is_refused() -> None:
    with pytest.raises(BitstreamError, match="no stream of symbols"):
        CODER.decode(stream_of((2, 2)) + bytes(4), (2, 2), 50, 0)


@pytest.mark.parametrize("words", [1, 2, 100])
def test_extra_words_are_refused(words: int) -> None:
    extra, stream = bytes(range(1, 5)) * words, stream_of((2, 2))
    with pytest.raises(BitstreamError, match="does not end with the picture"):
        CODER.decode(extra + stream, (2, 2), 50, 0)
    with pytest.raises(BitstreamError):  # read first, and by some models' tables out of range
        CODER.decode(stream + extra * 50, (2, 2), 50, 0)


def test_stream_of_a_larger_picture_is_refused() -> None:
    with pytest.raises(BitstreamError):
        CODER.decode(stream_of((4, 4)), (2, 2), 50, 0)


def decode_damaged(coder: Coder, stream: bytes, size: tuple[int, int], quality: float) -> None:
    """Decodes to values in range or raises a BitstreamError."""
    with suppress(BitstreamError):
        latents = coder.decode(stream, size, quality, 0)
        assert latents.z.min() >= TABLES.z_low
        assert latents.z.max() <= TABLES.z_high
        assert latents.symbols.shape[1:] == (2 * size[0], 2 * size[1])


@settings(max_examples=300)
@given(st.binary(max_size=200), SIZES, QUALITIES)
def test_arbitrary_bytes(stream: bytes, size: tuple[int, int], quality: float) -> None:
    decode_damaged(CODER, stream, size, quality)


@settings(max_examples=100)
@given(st.data())
def test_damaged_streams(data: st.DataObject) -> None:
    stream = bytearray(stream_of((2, 2)))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    decode_damaged(CODER, bytes(stream[: data.draw(st.integers(0, len(stream)))]), (2, 2), 50)


def test_tables_are_sound(model: Model) -> None:
    tables = model.tables
    assert tables.y_starts[-1] == len(tables.y_frequencies)
    assert len(tables.y_support) == len(tables.y_tables) == SCALE_LEVELS
    assert (tables.z_frequencies > 0).all()
    assert (tables.y_frequencies > 0).all()
    assert tables.z_low <= 0 <= tables.z_high


@pytest.mark.parametrize("number", [1, 2])
def test_levels_depend_on_earlier_passes_alone(number: int) -> None:
    latents = random_latents(TABLES, (4, 5), 50, 11)
    symbols, index = latents.symbols, latents.scale_index
    before = np.where(context_passes(index.shape) < number, symbols, 0).astype(np.int16)
    places = context_passes(index.shape) == number
    levels = adapt_scale_indices(TABLES, index, symbols, number)[places]
    assert np.array_equal(levels, adapt_scale_indices(TABLES, index, before, number)[places])
    louder = np.where(context_passes(index.shape) < number, 9 * symbols + 5, 0).astype(np.int16)
    assert adapt_scale_indices(TABLES, index, louder, number)[places].mean() > levels.mean()


@pytest.mark.parametrize("latents_at_once", [1, 500, 4000])
def test_streams_do_not_depend_on_how_places_are_listed(
    monkeypatch: pytest.MonkeyPatch, latents_at_once: int
) -> None:
    latents = random_latents(TABLES, (3, 2), 50, 14)
    stream = CODER.encode(latents, 0)
    monkeypatch.setattr("aecodec.entropy.context.LATENTS_AT_ONCE", latents_at_once)
    assert CODER.encode(latents, 0) == stream


def test_the_first_pass_has_no_neighbours() -> None:
    latents = random_latents(TABLES, (2, 2), 50, 13)
    symbols, index = latents.symbols, latents.scale_index
    assert np.array_equal(adapt_scale_indices(TABLES, index, symbols, 0), index)


REACHES = [(0, row, column, 2 - abs(row * column)) for row in (-1, 0, 1) for column in (-1, 0, 1)]
REACHES += [(channel, 0, 0, 2 if abs(channel) <= 3 else 1) for channel in range(-8, 9)]


def levels_by_definition(index: ScaleIndices, symbols: Symbols, number: int) -> ScaleIndices:
    """The refined levels of all places, from sums over all that lies around and is known."""
    known = context_passes(index.shape) < number
    loud = np.minimum(np.abs(symbols), LOUDEST).astype(np.int64) * known
    due = np.where(index < TABLES.skip_below, 0, TABLES.magnitude[index]).astype(np.int64) * known
    sums = []
    for values in (loud, due):
        wider = np.pad(values, ((8, 8), (1, 1), (1, 1)))
        (m, h, w), total = values.shape, np.zeros_like(values)
        for channel, row, column, weight in REACHES:
            if (channel, row, column) != (0, 0, 0):
                total += weight * wider[8 + channel :][:m, 1 + row :][:, :h, 1 + column :][:, :, :w]
        sums.append(total)
    ratio = np.minimum((1024 * sums[0] + 128) // (sums[1] + 2), RATIOS[-1])
    levels: ScaleIndices = TABLES.adapted_scale_index[index, np.searchsorted(RATIOS, ratio, side="right")]
    return levels


@settings(deadline=None)
@given(SIZES, QUALITIES, SEEDS, st.sampled_from([1, 3, 300]))
def test_levels_are_as_they_are_defined(
    size: tuple[int, int], quality: float, seed: int, loudness: int
) -> None:
    latents = random_latents(TABLES, size, quality, seed)
    symbols = (latents.symbols * loudness).astype(np.int16)
    for number in (1, 2):
        levels = adapt_scale_indices(TABLES, latents.scale_index, symbols, number)
        places = (context_passes(levels.shape) == number) & (latents.scale_index >= TABLES.skip_below)
        expected = levels_by_definition(latents.scale_index, symbols, number)
        np.testing.assert_array_equal(levels[places], expected[places])
        np.testing.assert_array_equal(levels[~places], latents.scale_index[~places])


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("loudest", [LOUDEST, (2**16 - 1) // WEIGHT_SUM])
def test_sums_of_the_loudest_do_not_wrap(number: int, loudest: int) -> None:
    shape = (32 + 2 * FARTHEST, 3, 4) if number == 1 else (32 + 2 * FARTHEST, 6, 4)
    sums = around(np.full(shape, loudest, np.uint16), number)
    np.testing.assert_array_equal(sums, around(np.full(shape, loudest, np.int64), number))
    assert sums.max() == {1: WEIGHT_SUM // 2, 2: WEIGHT_SUM}[number] * loudest


@pytest.mark.parametrize("number", [1, 2])
def test_levels_do_not_depend_on_the_type_of_the_sums(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    latents = random_latents(TABLES, (3, 70), 50, 15)
    levels = adapt_scale_indices(TABLES, latents.scale_index, latents.symbols, number)
    monkeypatch.setattr(
        "aecodec.entropy.context.WEIGHT_SUM", 2**16
    )  # so that 16 bits are taken to be too few
    np.testing.assert_array_equal(
        adapt_scale_indices(TABLES, latents.scale_index, latents.symbols, number), levels
    )


@pytest.mark.parametrize("lagrangian", [5.0, 20.0])
@pytest.mark.parametrize("level", [2, 10, 30, 50])
def test_symbols_are_lowered_where_that_costs_less(level: int, lagrangian: float) -> None:
    below, support = TABLES.rdoq_thresholds(lagrangian), int(TABLES.y_support[level])
    residual = np.linspace(0.51, support - 0.6, 4001).astype(np.float32)
    nearest, levels = np.rint(residual), np.full(residual.shape, level, np.uint8)

    def cost(symbols: Floats) -> Floats:
        error = residual - (symbols - np.sign(symbols) * TABLES.reconstruction_offset[levels])
        return np.asarray(TABLES.bits_of(symbols, levels) + lagrangian * np.square(error, dtype=np.float64))

    saved = cost(nearest) - cost(nearest - 1)
    lowered = residual < below[TABLES.entries(nearest, levels)]
    clear = np.abs(saved) > 1e-3
    np.testing.assert_array_equal(lowered[clear], saved[clear] > 0)
    assert lowered.any()
