"""What the hyper-latent says is the integer arithmetic that is specified, and depends on nothing later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aecodec.arrays import Integers, ScaleIndices
from aecodec.container import QUALITY_UNITS
from aecodec.entropy.hyperprior import (
    CONTEXTS,
    FULL_QUALITY,
    HYPER_PASS,
    LIBRARIES,
    hyper_steps,
    interpolate,
    scale_indices,
)
from aecodec.entropy.tables import FRACTION_BITS, SCALE_LEVELS, FrequencyTables
from aecodec.errors import ModelError
from aecodec.model.registry import model_named
from tests.common import random_latents

TABLES = model_named("base").tables
SIZES = st.tuples(st.integers(1, 5), st.integers(1, 5))
QUALITIES = st.integers(0, FULL_QUALITY).map(lambda hundredths: hundredths / QUALITY_UNITS)
SEEDS = st.integers(0, 2**32 - 1)


def random_hyper_latent(size: tuple[int, int], seed: int) -> Integers:
    """Any values at all."""
    random = np.random.default_rng(seed)
    return random.integers(TABLES.z_low, TABLES.z_high + 1, (TABLES.z_channels, *size), dtype=np.int32)


def reference_offset(table: Integers, quality: float) -> list[int]:
    """The offset by exact fractions, halves rounded up."""
    rows = table.tolist()
    position = Fraction(round(quality * QUALITY_UNITS) * (len(rows) - 1), FULL_QUALITY)
    lower = floor(position)
    pairs = zip(rows[lower], rows[min(lower + 1, len(rows) - 1)], strict=True)
    return [floor(a + (b - a) * (position - lower) + Fraction(1, 2)) for a, b in pairs]


def reference_index(z: Integers, quality: float, tables: FrequencyTables = TABLES) -> ScaleIndices:
    """Scale indices one position at a time, in 64-bit integers."""
    _, height, width = z.shape
    weight, offset = (
        tables.scale_weight.astype(np.int64),
        np.array(reference_offset(tables.scale_offset, quality), np.int64),
    )
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
def test_scale_index_is_the_reference(size: tuple[int, int], quality: float, seed: int) -> None:
    z = random_hyper_latent(size, seed)
    np.testing.assert_array_equal(scale_indices(TABLES, z, quality), reference_index(z, quality))


def test_scale_index_of_photographic_hyper_latents_takes_many_values() -> None:
    index = random_latents(TABLES, (4, 4), 50, 3).scale_index
    assert len(np.unique(index)) > SCALE_LEVELS // 4


def largest_weight() -> int:
    """The weight of which a scale map may be full, just so that floats still hold its sums."""
    most = 2**24 - 1 - int(np.abs(TABLES.scale_offset).max())
    return most // (TABLES.scale_weight.shape[1] * max(-TABLES.z_low, TABLES.z_high))


def test_weights_whose_sums_no_float_might_hold_are_refused() -> None:
    full = np.full_like(TABLES.scale_weight, largest_weight())
    replace(TABLES, scale_weight=full)
    with pytest.raises(ModelError, match="too large for exact sums"):
        replace(TABLES, scale_weight=full + 1)


@given(SIZES, QUALITIES, SEEDS)
def test_the_largest_sums_are_exact(size: tuple[int, int], quality: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    signs = random.choice([-1, 1], TABLES.scale_weight.shape).astype(np.int16)
    loud = replace(TABLES, scale_weight=signs * np.int16(largest_weight()))
    z = random.choice([TABLES.z_low, TABLES.z_high], (TABLES.z_channels, *size)).astype(np.int32)
    np.testing.assert_array_equal(scale_indices(loud, z, quality), reference_index(z, quality, loud))


def test_threads_that_overlap_leave_the_number_of_threads_as_it_was() -> None:
    before = LIBRARIES.info()
    z = np.zeros((TABLES.z_channels, 24, 32), np.int32)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda quality: scale_indices(TABLES, z, quality), range(40)))
    assert LIBRARIES.info() == before


OFFSETS = pytest.mark.parametrize("table", [TABLES.scale_offset, TABLES.z_offset], ids=["scale", "z"])


@OFFSETS
@given(quality=QUALITIES)
def test_offset_is_the_reference(table: Integers, quality: float) -> None:
    assert interpolate(table, quality).tolist() == reference_offset(table, quality)


@OFFSETS
def test_offset_is_exact_at_the_anchors(table: Integers) -> None:
    for anchor in range(len(table)):
        quality, rest = divmod(FULL_QUALITY * anchor, len(table) - 1)
        if not rest:
            np.testing.assert_array_equal(interpolate(table, quality / QUALITY_UNITS), table[anchor])


@OFFSETS
def test_offset_is_monotone_between_anchors(table: Integers) -> None:
    step = FULL_QUALITY // (len(table) - 1)
    offsets = np.stack([interpolate(table, quality / QUALITY_UNITS) for quality in range(0, step + 1, 50)])
    assert (np.diff(offsets, axis=0) * np.sign(table[1] - table[0]) >= 0).all()


def reference_expectation(z: Integers, quality: float, channel: int, row: int, column: int) -> Fraction:
    """What is expected of one value, by exact fractions."""
    channels, height, width = z.shape
    number = row % 2 if row % 2 == column % 2 else 2
    unit = 2**10
    expected = Fraction(reference_offset(TABLES.z_offset, quality)[number * channels + channel], unit)
    for before in range(channel):
        expected += Fraction(
            int(TABLES.z_in_place[number, channel, before]) * int(z[before, row, column]), unit
        )
    if number:
        sides = [(0, 1), (0, -1), (1, 0), (-1, 0)] if number == 2 else [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        neighbours = [
            (row + y, column + x) for y, x in sides if 0 <= row + y < height and 0 <= column + x < width
        ]
        for other in range(channels):
            mean = Fraction(sum(int(z[other, *place]) for place in neighbours), len(neighbours))
            expected += Fraction(int(TABLES.z_around[number - 1, channel, other]), unit) * mean
    return expected


@given(SIZES, QUALITIES, SEEDS)
def test_contexts_are_the_reference(size: tuple[int, int], quality: float, seed: int) -> None:
    z = random_hyper_latent(size, seed)
    for step in list(hyper_steps(TABLES, z, quality))[:: 1 + seed % 7]:
        for place, context, origin in zip(step.places, step.context, step.origin, strict=True):
            row, column = divmod(int(place), size[1])
            expected = reference_expectation(z, quality, step.channel, row, column)
            context_in_pass = min(max(floor(4 * expected), -24), 63) + 24
            assert context == HYPER_PASS[row % 2, column % 2] * CONTEXTS + context_in_pass
            assert origin == min(max(floor(expected), TABLES.z_low), TABLES.z_high)


@given(SIZES, SEEDS)
def test_steps_cover_every_value_once_and_need_none_of_their_own(size: tuple[int, int], seed: int) -> None:
    z = random_hyper_latent(size, seed)
    copy = np.full_like(z, 1000)  # of what is not known yet
    seen = np.zeros(z.shape, int)
    for known, blind in zip(hyper_steps(TABLES, z, 50), hyper_steps(TABLES, copy, 50), strict=True):
        np.testing.assert_array_equal(known.context, blind.context)
        np.testing.assert_array_equal(known.origin, blind.origin)
        copy[known.channel].reshape(-1)[known.places] = z[known.channel].reshape(-1)[known.places]
        seen[known.channel].reshape(-1)[known.places] += 1
    assert (seen == 1).all()
