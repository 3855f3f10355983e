"""Files of latents: round trips, limits of bytes, and every way in which a file may be wrong."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aecodec.errors import (
    AecodecError,
    BitstreamError,
    ChecksumError,
    NotAecodecError,
    TargetError,
    TrailingDataError,
    TruncatedError,
    UnknownModelError,
    VersionError,
)
from aecodec.lab import latent_file
from aecodec.lab.latent_file import HEADER_BYTES, STEPS, UNIT, LatentCoder, fit_counts

LATENTS = 20
FINGERPRINT = b"abcd"
RANDOM = np.random.default_rng(0)
# Latents from wide to silent, as networks have them.
TRAINING = RANDOM.normal(0, np.geomspace(8, 0.01, LATENTS), (600, LATENTS))


@cache
def coder() -> LatentCoder:
    return LatentCoder(fit_counts(TRAINING), FINGERPRINT)


def test_latents_come_back_within_half_a_step() -> None:
    for row in TRAINING[:50]:
        decoded = coder().decode(coder().encode(row))
        tables = coder().at(latent_file.USUAL)
        assert np.abs(decoded - row)[tables.coded].max() <= 1
        assert np.abs(decoded - row).mean() < 0.5


@given(st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), min_size=LATENTS, max_size=LATENTS))
def test_any_latents_are_coded_and_again_give_the_same_file(values: list[float]) -> None:
    data = coder().encode(np.array(values))
    decoded = coder().decode(data)
    assert np.isfinite(decoded).all()
    assert np.abs(decoded).max() <= latent_file.REACH / UNIT + 1


@pytest.mark.parametrize("most", [14, 16])
def test_a_file_has_at_most_the_bytes_that_are_allowed_and_uses_them(most: int) -> None:
    files = [coder().encode(row, most) for row in TRAINING[:50]]
    assert max(map(len, files)) <= most
    assert np.mean([len(data) for data in files]) > most - 2
    finer = [coder().encode(row, most + 4) for row in TRAINING[:50]]
    errors = [
        np.mean([(coder().decode(data) - row) ** 2 for data, row in zip(each, TRAINING, strict=False)])
        for each in (files, finer)
    ]
    assert errors[1] < errors[0]


def test_too_few_bytes_are_an_error() -> None:
    with pytest.raises(TargetError, match="8 bytes are too few for 20 latents"):
        coder().encode(TRAINING[0], 8)


def test_the_size_is_what_the_tables_say() -> None:
    tables = coder().at(latent_file.USUAL)
    codes = tables.codes(latent_file.levels_of(TRAINING[:200]))
    sizes = np.array([len(coder().encode(row)) for row in TRAINING[:200]])
    expected = HEADER_BYTES + 3 + tables.bits(codes) / 8
    assert abs(float((sizes - expected).mean())) < 1


def test_symbols_are_the_nearest_at_every_step() -> None:
    levels = np.arange(-latent_file.REACH, latent_file.REACH)
    for step in STEPS:
        symbols = latent_file.symbols_of(levels, step)
        assert (2 * np.abs(symbols * step - levels) <= step).all()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data: b"", NotAecodecError),
        (lambda data: b"PNG" + data, NotAecodecError),
        (lambda data: data[:5], TruncatedError),
        (lambda data: data[:2] + bytes([0x20 | data[2] & 15]) + data[3:], VersionError),
        (lambda data: data[:3] + b"efgh" + data[7:], UnknownModelError),
        (lambda data: data + b"\0", TrailingDataError),
        (lambda data: data + b"x" * 1000, TrailingDataError),
        (lambda data: data[:8] + bytes([data[8] ^ 1]) + data[9:], ChecksumError),
    ],
)
def test_a_damaged_file_has_an_error_of_its_own(change: object, error: type[AecodecError]) -> None:
    assert callable(change)
    with pytest.raises(error):
        coder().decode(change(coder().encode(TRAINING[0])))


def test_no_flipped_bit_and_no_cut_goes_unseen() -> None:
    data = coder().encode(TRAINING[1])
    for place in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises((BitstreamError, UnknownModelError)):
            coder().decode(bytes(damaged))
    for length in range(len(data)):
        with pytest.raises((BitstreamError, UnknownModelError)):
            coder().decode(data[:length])


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(stream: bytes) -> None:
    header = coder().encode(TRAINING[0])[:HEADER_BYTES]
    with pytest.raises(BitstreamError):
        coder().decode(header + stream)
