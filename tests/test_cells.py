"""Features of cells."""

from __future__ import annotations

import numpy as np
import pytest

from aecodec.uses.cells import BAND, CELL, FEATURES, FLOOR, planes_of, planes_of_band


def test_features_are_colour_and_strengths() -> None:
    pixels = np.full((CELL, 3 * CELL, 3), (40, 50, 70), np.uint8)
    pixels[:, CELL + 3] += 40  # a line down the second cell; the third is flat
    planes = planes_of(pixels)
    assert planes.shape == (FEATURES, 1, 3)
    np.testing.assert_allclose(planes[:3, 0, 1], [52.5 + 40 / 8, -10, 20])
    np.testing.assert_allclose(planes[:3, 0, 2], [52.5, -10, 20])
    np.testing.assert_allclose(planes[3:, 0, 2], np.log(FLOOR), rtol=1e-5)
    # of chroma; gradients right and down; mean, maximum and least mean of 2x2 of the Laplacian
    fine = [0, 5, 0, (10 + 20 + 10) / 8, 20, 0]
    np.testing.assert_allclose(np.exp(planes[3:9, 0, 1]) - FLOOR, fine, atol=1e-4)
    # half the line's height at half the size, in the second of four columns
    coarse = [5, 0, (5 + 10 + 5) / 4, 10, (5 + 0) / 2]
    np.testing.assert_allclose(np.exp(planes[9:, 0, 1]) - FLOOR, coarse, atol=1e-4)


def test_roughness_of_chroma_is_a_feature() -> None:
    pixels = np.full((3 * CELL, 3 * CELL, 3), 100, np.uint8)
    pixels[::2, ::2, 0] += 40  # in red alone
    of_four_pixels = 40, 20, 20, 0  # from the mean of their neighbours
    assert np.exp(planes_of(pixels)[3, 1, 1]) - FLOOR == pytest.approx(np.mean(of_four_pixels), rel=1e-5)
    gray = np.repeat(pixels[..., :1], 3, axis=2)
    np.testing.assert_allclose(planes_of(gray)[3], np.log(FLOOR), rtol=1e-5)


def test_cells_beyond_the_border_repeat_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (CELL + 3, CELL, 3), np.uint8)
    repeated = np.pad(pixels, ((0, CELL - 3), (0, 0), (0, 0)), mode="edge")
    np.testing.assert_array_equal(planes_of(pixels), planes_of(repeated))


def test_bands_leave_no_trace() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2 * BAND + 3 * CELL + 5, 2 * CELL, 3), np.uint8)
    np.testing.assert_array_equal(planes_of(pixels), planes_of_band(pixels))
