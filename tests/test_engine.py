"""Tiles cover a picture once, with all that their networks see around them."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.engine import Network, scaled, thread_count, tiles
from codec.errors import AecodecError, ModelError
from codec.model import Model

SIDES = st.integers(1, 40)


@given(SIDES, SIDES, st.integers(1, 12), st.integers(0, 6))
def test_tiles_cover_every_cell_once(height: int, width: int, core: int, halo: int) -> None:
    covered = np.zeros((height, width), int)
    for tile in tiles(height, width, core, halo):
        covered[tile.place] += 1
    assert (covered == 1).all()


@given(SIDES, SIDES, st.integers(1, 12), st.integers(0, 6))
def test_inner_of_outer_is_place(height: int, width: int, core: int, halo: int) -> None:
    cells = np.arange(height * width).reshape(height, width)
    for tile in tiles(height, width, core, halo):
        np.testing.assert_array_equal(cells[tile.outer][tile.inner], cells[tile.place])


@given(SIDES, SIDES, st.integers(1, 12), st.integers(0, 6))
def test_tiles_are_bounded_and_see_their_halo(height: int, width: int, core: int, halo: int) -> None:
    for tile in tiles(height, width, core, halo):
        for outer, place, side in zip(tile.outer, tile.place, (height, width), strict=True):
            assert place.stop - place.start <= core
            assert outer.start == max(place.start - halo, 0)
            assert outer.stop == min(place.stop + halo, side)


@given(SIDES, st.integers(1, 12))
def test_cores_are_as_equal_as_can_be(side: int, core: int) -> None:
    sizes = [tile.place[0].stop - tile.place[0].start for tile in tiles(side, 1, core, 0)]
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-side // core)


def test_scaled() -> None:
    assert scaled((slice(1, 3), slice(0, 2)), 16) == (slice(16, 48), slice(0, 32))


@pytest.mark.parametrize(("chosen", "count"), [("1", 1), ("3", 3)])
def test_thread_count_is_chosen(monkeypatch: pytest.MonkeyPatch, chosen: str, count: int) -> None:
    monkeypatch.setenv("AECODEC_THREADS", chosen)
    assert thread_count() == count


@pytest.mark.parametrize("chosen", ["0", "many", "-2"])
def test_a_wrong_thread_count_is_refused(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    monkeypatch.setenv("AECODEC_THREADS", chosen)
    with pytest.raises(AecodecError, match=chosen):
        thread_count()


@pytest.mark.parametrize("chosen", ["", None])
def test_thread_count_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch, chosen: str | None) -> None:
    monkeypatch.delenv("AECODEC_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("AECODEC_THREADS", chosen)
    assert 1 <= thread_count() <= (os.cpu_count() or 1)


def test_a_graph_that_the_engine_cannot_load_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        Network(b"no graph")


def test_what_the_engine_cannot_run_is_an_error_of_ours(model: Model) -> None:
    with pytest.raises(AecodecError, match="cannot be run"):
        model.synthesis(50, np.zeros((1, 2, 2), np.float32))
