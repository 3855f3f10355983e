"""Pure white and black stay so, at hardly any cost, on every machine, in regions and after stages."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

import aecodec
from aecodec.arrays import Pixels
from aecodec.container import Box, parse, serialise
from aecodec.decoder.reconstruction import reconstruct
from aecodec.entropy.coder import Coder
from aecodec.errors import LimitError, TruncatedError
from aecodec.model.registry import model_with
from aecodec.picture.clipping import (
    Clipper,
    Clipping,
    compress_runs,
    expand_runs,
    read_clipping,
    write_clipping,
)
from tests.common import assert_close, full_window, photograph, psnr_of, read_latents, shipped_photograph

MASK = np.indices((9, 7)).sum(0) % 5 == 1


def product(ground: int, shadow: bool) -> Pixels:
    """A thing on a white or black ground, with soft edges and perhaps a shadow (400, 500, 3)."""
    shape = Image.new("L", (2000, 1600))
    ImageDraw.Draw(shape).rounded_rectangle((500, 400, 1300, 1300), radius=200, fill=255)
    ImageDraw.Draw(shape).ellipse((700, 300, 1500, 1000), fill=255)
    small = shape.resize((500, 400), Image.Resampling.LANCZOS)
    back = Image.new("RGB", small.size, (ground,) * 3)
    if shadow:
        soft = small.filter(ImageFilter.GaussianBlur(8)).point(lambda level: level // 2)
        back.paste("black", mask=soft)
    thing = Image.fromarray(skimage.data.coffee()).resize(small.size)
    return np.asarray(Image.composite(thing, back, small))


def share_changed(pixels: Pixels, file: bytes, level: int) -> float:
    pure = (pixels == level).all(2)
    assert pure.mean() > 0.3
    return float((np.asarray(aecodec.decompress(file).convert("RGB")) != level).any(2)[pure].mean())


def without_box(file: bytes) -> bytes:
    container = parse(file)
    assert Box.CLIPPING in container.boxes
    return serialise(replace(container, boxes={}))


@pytest.mark.parametrize(("ground", "shadow"), [(255, True), (255, False), (0, False)])
@pytest.mark.parametrize("quality", [25, 50, 80])
def test_the_ground_of_a_product_shot_stays(ground: int, shadow: bool, quality: float) -> None:
    pixels = product(ground, shadow)
    file = aecodec.compress(pixels, quality)
    plain = without_box(file)
    assert share_changed(pixels, plain, ground) > 0.02
    assert share_changed(pixels, file, ground) < (0.002 if quality >= 50 else 0.003)
    figures = [psnr_of(pixels, np.asarray(aecodec.decompress(data))) for data in (plain, file)]
    assert figures[1] >= figures[0] - 0.05  # what keeps white may cost as much as 2 % of bytes
    assert len(file) <= 1.02 * len(plain)


def test_gray_and_transparent_pictures_keep_white_too() -> None:
    gray = product(255, True)[..., 1]
    assert share_changed(np.repeat(gray[..., None], 3, 2), aecodec.compress(gray), 255) < 0.002
    pixels = product(255, False)
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[:200] = 0
    file = aecodec.compress(Image.fromarray(np.dstack([pixels, alpha])))
    decoded = np.asarray(aecodec.decompress(file))
    white = (pixels == 255).all(2) & (alpha[..., 0] > 0)
    assert (decoded[white] != 255).any(1).mean() < 0.005


@pytest.mark.parametrize("options", [{"enhance": True}, {"reduce": 2}])
def test_white_is_kept_after_the_stages(options: dict[str, int]) -> None:
    pixels = product(255, False)
    file = aecodec.compress(pixels, 30, **options)  # type: ignore[arg-type]
    assert aecodec.info(file).enhanced or aecodec.info(file).scale == 2
    assert share_changed(pixels, file, 255) < 0.015 < share_changed(pixels, without_box(file), 255)
    region = aecodec.decompress(file, region=(101, 37, 210, 301))
    assert_close(np.asarray(region), np.asarray(aecodec.decompress(file))[37:338, 101:311])


def test_white_is_kept_within_a_target() -> None:
    pixels = product(255, True)
    file = aecodec.compress(pixels, max_bytes=5000)
    assert len(file) <= 5000
    assert share_changed(pixels, file, 255) < 0.001


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_photographs_without_white_areas_have_no_box(name: str) -> None:
    file = aecodec.compress(shipped_photograph(name)[:256, :256])
    assert not parse(file).boxes


def test_a_few_highlights_have_no_box() -> None:
    pixels = photograph(256, 256).clip(1, 254)
    pixels[10:20, 10:20] = 255
    assert not parse(aecodec.compress(pixels)).boxes


def test_regions_are_those_of_the_whole() -> None:
    pixels = product(255, True)
    file = aecodec.compress(pixels)
    full = np.asarray(aecodec.decompress(file))
    for region in [(0, 0, 500, 400), (33, 65, 1, 1), (250, 130, 250, 270), (7, 390, 90, 10)]:
        left, top, width, height = region
        part = aecodec.decompress(file, region=region)
        assert_close(np.asarray(part), full[top : top + height, left : left + width])


def test_pixels_do_not_depend_on_the_tiles() -> None:
    container = parse(aecodec.compress(product(255, True)))
    learned = container.learned
    assert learned
    finish = Clipper(read_clipping(container.boxes[Box.CLIPPING], (container.width, container.height)))
    model = model_with(learned.fingerprint)
    latents = read_latents(model, learned, container.payload, container.coded_size)
    decoded = [
        reconstruct(model, latents, full_window(container.coded_size), core, finish) for core in (34, 5)
    ]
    assert_close(decoded[0], decoded[1])


@given(st.integers(0, 15), st.booleans(), st.floats(0, 255, width=32), st.floats(-0.01, 0.01))
def test_what_machines_compute_differently_stays_within_a_level(
    reach: int, patches: bool, level: float, difference: float
) -> None:
    """Wherever a float lies, another nearby becomes a level that differs by one at most."""
    end = Clipping(reach, True, 8 if patches else 0, np.zeros((1, 1), np.bool_) if patches else None)
    clipper = Clipper((end, end))
    place = slice(0, 1), slice(0, 1)
    one, other = (
        np.rint(clipper(np.full((1, 1, 3), value, np.float32), place))
        for value in (level, min(max(level + difference, 0), 255))
    )
    assert np.abs(one - other).max() <= 1
    assert 0 <= one.min() <= one.max() <= 255


def test_reach_draws_to_both_ends() -> None:
    clipper = Clipper((Clipping(3, True), Clipping(5, True)))
    levels = np.array([0, 5, 6, 9, 10, 128, 249, 250, 251, 252, 255], np.float32)
    clipped = clipper(levels[None, :, None].repeat(3, 2), (slice(0, 1), slice(0, 11)))
    assert clipped[0, :, 0].tolist() == [0, 0, 2, 8, 10, 128, 249, 251, 253, 255, 255]


def test_patches_are_set_and_reach_counts_beside_them() -> None:
    pure_patches = np.zeros((4, 4), np.bool_)
    pure_patches[0, 0] = True
    clipper = Clipper((Clipping(4, False, 8, pure_patches), Clipping()))
    clipped = clipper(np.full((32, 32, 3), 251, np.float32), (slice(0, 32), slice(0, 32)))
    assert (clipped[:16, :16] == 255).all()
    assert (clipped[16:] == 251).all()
    assert (clipped[:, 16:] == 251).all()
    shifted = clipper(np.full((9, 9, 3), 100, np.float32), (slice(4, 13), slice(4, 13)))
    assert (shifted[:4, :4] == 255).all()
    assert (shifted[4:] == 100).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (33, 57)])
@pytest.mark.parametrize("seed", range(4))
def test_runs_come_back(shape: tuple[int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    pure_patches: NDArray[np.bool_] = random.random(shape) < (0.02, 0.5, 0.9, 1)[seed]
    pure_patches[-1, random.integers(shape[1])] = True
    np.testing.assert_array_equal(expand_runs(compress_runs(pure_patches), *shape), pure_patches)


def test_box_comes_back() -> None:
    size = 7 * 16 - 5, 9 * 16 - 15
    ends = Clipping(7, False, 16, MASK), Clipping(2, True)
    white, black = read_clipping(write_clipping(ends), size)
    np.testing.assert_array_equal(white.pure_patches, MASK)
    assert replace(white, pure_patches=None) == replace(ends[0], pure_patches=None)
    assert black == ends[1]
    assert write_clipping((Clipping(), Clipping())) == b""


def deflated(data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


def patches(runs: bytes) -> bytes:
    return bytes([0x10, len(runs)]) + runs + b"\0"


MALFORMED = {
    "empty": (b"", TruncatedError, "too early, within the reach"),
    "one end": (b"\x42", TruncatedError, "too early, within the reach"),
    "longer": (b"\x42\0\0", LimitError, "longer than it says"),
    "highest bit": (b"\xc2\0", LimitError, "says nothing of white or black"),
    "patches of no size": (b"\x30\0", LimitError, "says nothing of white or black"),
    "no reach everywhere": (b"\x40\0", LimitError, "says nothing of white or black"),
    "reach nowhere": (b"\x02\0", LimitError, "says nothing of white or black"),
    "no patches": (b"\x10", TruncatedError, "length of the patches"),
    "short patches": (b"\x10\x09abc", TruncatedError, "too early, within the patches"),
    "no deflate": (patches(b"\xff" * 5), LimitError, "patches cannot be read"),
    "cut deflate": (patches(deflated(b"\0\x3f")[:-1]), LimitError, "do not end as they should"),
    "more after deflate": (patches(deflated(b"\0\x3f") + b"a"), LimitError, "do not end as they should"),
    "no runs": (patches(deflated(b"")), LimitError, "do not end as they should"),
    "no whole patch": (patches(deflated(b"\x3f")), LimitError, "do not end as they should"),
    "too many patches": (
        patches(deflated(b"\0\x40")),
        LimitError,
        "do not fit the picture",
    ),
    "run of none": (
        patches(deflated(b"\x01\0\x01\x01")),
        LimitError,
        "do not fit the picture",
    ),
    "bomb": (patches(deflated(b"\0\x01" * 4000)), LimitError, "do not end as they should"),
    "cut varint": (patches(deflated(b"\0\x80")), LimitError, "not as it is written"),
    "padded varint": (patches(deflated(b"\0\x81\0")), LimitError, "not as it is written"),
    "long varint": (patches(deflated(b"\0\x80\x80\x80\x80\x80\1")), LimitError, "not as it is written"),
}


@pytest.mark.parametrize(("box", "error", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_boxes_are_refused(box: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_clipping(box, (56, 72))


def test_a_malformed_box_is_refused_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    container = parse(aecodec.compress(photograph(64, 48)))
    spoilt = serialise(replace(container, boxes={Box.CLIPPING: b"\x30\0"}))
    monkeypatch.setattr(Coder, "decode", None)
    with pytest.raises(LimitError, match="says nothing"):
        aecodec.decompress(spoilt)


@pytest.mark.parametrize("quality", [5, 10, 20, 30])
def test_corners_of_a_white_ground_stay_white_in_small_files(quality: int) -> None:
    picture = np.full((256, 256, 3), 255, np.uint8)
    picture[40:100, 60:140] = photograph(80, 60)
    decoded = np.asarray(aecodec.decompress(aecodec.compress(picture, quality)))
    assert (decoded[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
