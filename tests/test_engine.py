"""Tiles cover a picture once, with all that their networks see around them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aecodec.arrays import Floats
from aecodec.container import PATCH
from aecodec.decoder.reconstruction import reconstruct_tile
from aecodec.errors import AecodecError, ModelError
from aecodec.model.network import QUALITY, SESSIONS, Network
from aecodec.model.registry import Model
from aecodec.model.tiling import DECODER_HALO, SYNTHESIS_HALO, scale_window, tiles
from aecodec.parallel import at_once, for_each, thread_count, tiles_at_once
from aecodec.progress import progress_listener

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
    assert scale_window((slice(1, 3), slice(0, 2)), 16) == (slice(16, 48), slice(0, 32))


@pytest.mark.parametrize(("chosen", "count"), [("1", 1), ("3", 3)])
def test_thread_count_is_chosen(monkeypatch: pytest.MonkeyPatch, chosen: str, count: int) -> None:
    monkeypatch.setenv("AECODEC_THREADS", chosen)
    assert thread_count() == count


@pytest.mark.parametrize("chosen", ["0", "many", "-2", "1025"])
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


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu.max": "max 100000", "cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "1"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu.max": "900000 100000"}, 4),
        ({}, 4),
    ],
)
def test_no_more_threads_than_a_container_has_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], count: int
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.delenv("AECODEC_THREADS", raising=False)
    monkeypatch.setattr("aecodec.parallel.CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    assert thread_count() == count


def test_a_graph_that_the_engine_cannot_load_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        Network(lambda: b"no graph").at(50)


def test_what_the_engine_cannot_run_is_an_error_of_ours(model: Model) -> None:
    with pytest.raises(AecodecError, match="cannot be run"):
        model.synthesis(50, np.zeros((1, 2, 2), np.float32))


def test_a_constant_quality_computes_what_the_input_does(model: Model) -> None:
    z = np.random.default_rng(0).integers(-3, 9, (20, 3, 4)).astype(np.float32)
    fixed, varied = model.first_means, model.for_search.first_means
    for quality in (0.0, 43.21, 100.0):
        assert QUALITY not in [declared.name for declared in fixed.at(quality).get_inputs()]
        assert QUALITY in [declared.name for declared in varied.at(quality).get_inputs()]
        for one, other in zip(fixed(quality, z), varied(quality, z), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    assert len(varied.sessions) == 1


def test_sessions_of_the_last_qualities_are_kept(model: Model) -> None:
    network = Network(lambda: model.files["first_means.onnx"])
    first = network.at(10)
    assert network.at(10) is first
    for quality in range(20, 20 + SESSIONS):
        network.at(quality)
    assert len(network.sessions) == SESSIONS
    assert network.at(10) is not first


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))
def test_the_synthesis_gets_its_own_halo_and_pixels_are_those_of_the_place(
    height: int, width: int, core: int
) -> None:
    y_hat = (np.arange(4 * height * width) % 256).reshape(1, 2 * height, 2 * width).astype(np.float32)
    model, latents = Mock(), Mock(y_hat=y_hat)
    model.synthesis.side_effect = lambda _, y: [np.repeat(in_pixels(y / 255), 3, axis=0)]
    wide, narrow = (tiles(height, width, core, halo) for halo in (DECODER_HALO, SYNTHESIS_HALO))
    for tile, expected in zip(wide, narrow, strict=True):
        pixels = reconstruct_tile(model, latents, tile)
        seen = model.synthesis.call_args.args[1]
        np.testing.assert_array_equal(seen, y_hat[:, *scale_window(expected.outer, 2)])
        place = y_hat[:, *scale_window(tile.place, 2)]
        np.testing.assert_array_equal(pixels[..., 2], in_pixels(place)[0])


def in_pixels(latents: Floats) -> Floats:
    """Each of some latents (M, h, w) as often as it has pixels."""
    return latents.repeat(PATCH, axis=1).repeat(PATCH, axis=2)


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_each_part_is_worked_on_once(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("AECODEC_THREADS", threads)
    done: list[int] = []
    reports: list[tuple[str, int, int]] = []
    with progress_listener(lambda *what: reports.append(what)):
        for_each("counting", range(20), done.append)
    assert sorted(done) == list(range(20))
    assert reports == [("counting", count, 20) for count in range(1, 21)]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_results_are_in_the_order_of_parts(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("AECODEC_THREADS", threads)
    reports: list[tuple[str, int, int]] = []
    with progress_listener(lambda *what: reports.append(what)):
        results = for_each(None, range(9), lambda part: time.sleep(0.002 * (part % 3)) or str(part))
    assert results == list("012345678")
    assert not reports  # of a task without a name
    assert for_each("nothing", [], str) == []


def test_parts_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AECODEC_THREADS", "2")
    shares: list[int] = []
    for_each("counting", range(3), lambda part: shares.append(at_once.get()))
    assert shares == [2, 2, 2]
    for_each("counting", [0], lambda part: shares.append(at_once.get()))
    assert shares[3:] == [1]
    assert at_once.get() == 1
    assert [tiles_at_once(count) for count in (0, 1, 2, 9)] == [1, 1, 2, 2]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_what_work_raises_ends_it(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("AECODEC_THREADS", threads)
    done: list[int] = []

    def work(part: int) -> None:
        if part == 4:
            raise AecodecError("the fifth")
        done.append(part)

    with pytest.raises(AecodecError, match="the fifth"):
        for_each("counting", range(100), work)
    assert len(done) < 100


def test_a_system_without_threads_does_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setenv("AECODEC_THREADS", "4")
    done: list[int] = []
    for_each("counting", range(9), done.append)
    assert sorted(done) == list(range(9))
