"""What the functions take: pictures and files in any form, numbers of any type; the rest has its sentence."""

from __future__ import annotations

import copy
import io
import mmap
import os
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec.api import to_picture
from aecodec.encoder.options import CompressOptions
from aecodec.errors import AecodecError, ImageError, QualityError, RegionError, StageError, TargetError
from aecodec.options import ReadOptions
from tests.common import noise, photograph
from tests.fuzz.pictures import deep_png, saved

RGBA = noise(9, 7).repeat(2, axis=2)[:, :, :4]
PICTURES: dict[str, Callable[[Path], Any]] = {
    "text": str,
    "path": Path,
    "open": lambda path: path.open("rb"),
    "in memory": lambda path: io.BytesIO(path.read_bytes()),
    "image": Image.open,
    "array": lambda path: np.asarray(Image.open(path)),
}


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs") / "a.png"
    Image.fromarray(RGBA).save(path)
    return path


@pytest.fixture(scope="module")
def aec(png: Path) -> Path:
    path = png.with_suffix(".aec")
    path.write_bytes(aecodec.compress(RGBA, lossless=True))
    return path


@pytest.mark.parametrize("form", PICTURES)
def test_pictures_in_any_form_are_one(png: Path, aec: Path, form: str) -> None:
    source = PICTURES[form](png)
    assert aecodec.compress(source, lossless=True) == aec.read_bytes()
    if hasattr(source, "close"):
        source.close()


@pytest.mark.parametrize("form", PICTURES)
def test_stages_take_what_compress_takes(png: Path, form: str) -> None:
    sources = [PICTURES[form](png) for _ in range(3)]
    assert aecodec.upscale(sources[0], 2, "bicubic").size == (18, 14)
    assert aecodec.denoise(sources[1], 0).mode == "RGBA"
    assert aecodec.enhance(sources[2]).size == (9, 7)
    for source in sources:
        if hasattr(source, "close"):
            source.close()


@pytest.mark.parametrize(("channels", "mode"), [(None, "L"), (1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_arrays_of_any_channels(channels: int | None, mode: str) -> None:
    array = RGBA[:, :, 0] if channels is None else RGBA[:, :, :channels]
    result = aecodec.decompress(aecodec.compress(array, lossless=True))
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result), array.squeeze())


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 128, 129, 65535]], "<u2"), [0, 0, 1, 255]),
        (np.array([[0, 128, 129, 65535]], ">u2"), [0, 0, 1, 255]),
        (np.array([[0, 0.5 / 255 - 1e-6, 0.5 / 255 + 1e-6, 1]], np.float32), [0, 0, 1, 255]),
        (np.array([[0, 1.4, 1.6, 255]]), [0, 1, 2, 255]),
    ],
)
def test_deep_arrays_are_rounded_on_demand(array: Any, expected: list[int]) -> None:
    with pytest.raises(ImageError, match=r"expected bytes of shape .*depth=8"):
        to_picture(array)
    with pytest.warns(UserWarning, match="rounded to 8"):
        picture = to_picture(array, ReadOptions(depth=8))
    assert picture.pixels[0, :, 0].tolist() == expected


def test_what_is_converted_is_a_warning() -> None:
    data = deep_png(2, 3)
    with pytest.raises(ImageError, match=r"depth=8 in Python"):
        aecodec.compress(io.BytesIO(data))
    with pytest.warns(UserWarning, match="has 16 bits a sample, rounded to 8"):
        assert aecodec.info(aecodec.compress(io.BytesIO(data), depth=8)).width == 29
    frames = [Image.fromarray(noise(9, 7, seed)) for seed in range(3)]
    animated = io.BytesIO(saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    result = aecodec.decompress(aecodec.compress(animated, frame=2, lossless=True))
    np.testing.assert_array_equal(np.asarray(result), np.asarray(frames[2]))
    cut = io.BytesIO(saved(frames[0], "BMP")[:-100])
    with pytest.raises(ImageError, match=r"tolerant=True in Python"):
        aecodec.compress(cut)
    with pytest.warns(UserWarning, match="of its pixels are missing"):
        aecodec.compress(cut, tolerant=True)


@pytest.mark.parametrize(
    "wrong", [None, 5, b"\x89PNG", {}, Ellipsis, io.StringIO("text"), "no such file.png", "\0"]
)
def test_what_is_no_picture_is_said(wrong: Any) -> None:
    for function in (aecodec.compress, aecodec.enhance):
        with pytest.raises(ImageError, match=rf"^[ -~{chr(0xFFFD)}]+$"):
            function(wrong)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.png: cannot be read: No such file"):
        aecodec.compress(tmp_path / "absent.png")
    with pytest.raises(AecodecError, match=r"absent\.aec: cannot be read: No such file"):
        aecodec.decompress(tmp_path / "absent.aec")


def test_max_pixels_of_inputs(png: Path) -> None:
    for source in (png, Image.open(png), RGBA):
        with pytest.raises(ImageError, match="over the limit of 62 pixels"):
            aecodec.compress(source, max_pixels=62)
        assert aecodec.compress(source, max_pixels=63, lossless=True)
    for wrong in (0, -1, None, "5", 1.5, float("nan")):
        with pytest.raises(ImageError, match="max_pixels"):
            aecodec.compress(png, max_pixels=wrong)  # type: ignore[arg-type]


class FewBytesAtATime(io.RawIOBase):
    """A file that gives less than it is asked for, as unbuffered pipes do."""

    def __init__(self, path: Path, seekable: bool) -> None:
        self.content, self.can_seek = io.BytesIO(path.read_bytes()), seekable

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.can_seek

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.content.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        part = self.content.read(min(7, len(buffer)))
        buffer[: len(part)] = part
        return len(part)


class ReadAlone:
    """An object that can read and do nothing else."""

    def __init__(self, path: Path) -> None:
        self.read = io.BytesIO(path.read_bytes()).read


def mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


ODD_FILES: dict[str, Callable[[Path], Any]] = {
    "few bytes at a time": partial(FewBytesAtATime, seekable=False),
    "few bytes at a time, seekable": partial(FewBytesAtATime, seekable=True),
    "unbuffered": partial(Path.open, mode="rb", buffering=0),
    "read alone": ReadAlone,
    "mapped": mapped,
}


@pytest.mark.parametrize("form", ODD_FILES)
def test_odd_files_are_read_whole(png: Path, aec: Path, form: str) -> None:
    packed = aec.read_bytes()
    for source, function in ((png, lambda file: aecodec.compress(file, lossless=True)), (aec, repacked)):
        file = ODD_FILES[form](source)
        assert function(file) == packed
        if hasattr(file, "close"):
            file.close()


def repacked(file: Any) -> bytes:
    return aecodec.compress(aecodec.decompress(file), lossless=True)


def test_an_unbuffered_pipe_is_read_whole(png: Path, aec: Path) -> None:
    ends, content = os.pipe(), png.read_bytes()
    with open(ends[0], "rb", buffering=0) as file, ThreadPoolExecutor(1) as pool:
        packed = pool.submit(aecodec.compress, file, lossless=True)
        with open(ends[1], "wb", buffering=0) as pipe:
            for part in (content[:60], content[60:]):
                time.sleep(0.05)
                pipe.write(part)
        assert packed.result() == aec.read_bytes()


def test_a_closed_file_is_told_so(png: Path) -> None:
    file = io.BytesIO(png.read_bytes())
    file.close()
    for function in (aecodec.compress, aecodec.decompress, aecodec.info):
        with pytest.raises(AecodecError, match="cannot be read: I/O operation on closed file"):
            function(file)


@pytest.mark.parametrize("function", [aecodec.compress, aecodec.decompress, aecodec.info])
def test_an_empty_name_is_one_in_the_sentence(function: Callable[[str], Any]) -> None:
    with pytest.raises(AecodecError, match=r"^'': cannot be read"):
        function("")


FILES: dict[str, Callable[[Path], Any]] = {
    "bytes": Path.read_bytes,
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    **{name: PICTURES[name] for name in ("text", "path", "open", "in memory")},
}


@pytest.mark.parametrize("form", FILES)
def test_files_in_any_form_are_one(aec: Path, form: str) -> None:
    for function in (aecodec.decompress, aecodec.info):
        source = FILES[form](aec)
        result = function(source)
        assert result.mode == "RGBA"
        if hasattr(source, "close"):
            source.close()
    assert aecodec.info(aec).size == aec.stat().st_size


def test_an_open_file_is_read_from_its_start() -> None:
    file = io.BytesIO()
    file.write(aecodec.compress(RGBA, lossless=True))
    assert aecodec.decompress(file).size == (9, 7)


@pytest.mark.parametrize("function", [aecodec.compress, aecodec.decompress, aecodec.info])
def test_a_file_that_is_open_for_text_is_told_so(function: Callable[[Any], Any]) -> None:
    with pytest.raises(AecodecError, match="open it in mode 'rb'"):
        function(io.StringIO("text"))


@pytest.mark.parametrize("target", [{"lossless": True}, {"max_bytes": 900}, {"bpp": 1}, {"psnr": 30}])
def test_a_quality_and_a_target_exclude_each_other(target: dict[str, Any]) -> None:
    with pytest.raises(TargetError, match="exclude each other"):
        aecodec.compress(RGBA, 50, **target)


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"effort": 1}])
def test_what_an_encoder_gives_can_be_sent_and_copied(options: dict[str, Any]) -> None:
    encoded = aecodec.encode_image(photograph(64, 48), CompressOptions(**options))
    for other in (pickle.loads(pickle.dumps(encoded)), copy.deepcopy(encoded)):
        assert (other.data, other.psnr) == (encoded.data, encoded.psnr)
        np.testing.assert_array_equal(other.pixels, encoded.pixels)


def test_what_a_stage_notes_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="no noise was measured: left as it is"):
        aecodec.denoise(np.full((40, 40), 128, np.uint8))


@pytest.mark.parametrize("wrong", [None, 5, [1], "no such file.aec", Path("/"), io.StringIO("text")])
def test_what_is_no_file_is_said(wrong: Any) -> None:
    for function in (aecodec.decompress, aecodec.info):
        with pytest.raises(AecodecError, match=r"^[ -~]+$"):
            function(wrong)


@pytest.mark.parametrize(
    "options",
    [
        {"effort": 1.0},
        {"effort": np.int64(1)},
        {"effort": np.float32(1)},
        {"quality": np.float32(40)},
        {"quality": np.uint8(40)},
        {"quality": Decimal(40)},
        {"quality": Fraction(81, 2)},
        {"quality": np.array(40)},
        {"reduce": 2.0},
        {"reduce": np.int8(2)},
        {"lossless": np.True_},
        {"max_bytes": 2000.0},
        {"max_bytes": 10**12},
        {"bpp": 1e308},
        {"bpp": np.float64(2)},
        {"psnr": np.int16(30)},
        {"denoise": np.float32(5)},
        {"denoise": 5},
    ],
    ids=str,
)
def test_numbers_of_any_type_are_taken(options: dict[str, Any]) -> None:
    plain = CompressOptions(**options)
    assert all(type(getattr(plain, name)) in (int, float, bool) for name in options)
    assert aecodec.info(aecodec.compress(photograph(16, 16), **options)).width == 16


ODD = (
    None,
    "50",
    "",
    float("nan"),
    float("inf"),
    float("-inf"),
    b"1",
    [1],
    (),
    {},
    Ellipsis,
    1j,
    np.arange(3),
    True,
)


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("quality", QualityError),
        ("effort", QualityError),
        ("model", QualityError),
        ("tune", QualityError),
        ("lossless", TargetError),
        ("max_bytes", TargetError),
        ("bpp", TargetError),
        ("psnr", TargetError),
        ("denoise", StageError),
        ("enhance", StageError),
        ("reduce", StageError),
    ],
)
def test_options_of_other_types_have_a_sentence(name: str, error: type[AecodecError], value: Any) -> None:
    without = ("model", "tune", "quality", "max_bytes", "bpp", "psnr", "denoise")
    accepted = {None: without, True: ("lossless", "enhance")}
    if value is None or value is True:
        if name in accepted[value]:
            return
    elif name == "model" and isinstance(value, str):
        return  # that no model is called so is said later
    with pytest.raises(error, match=r"^[ -~]+$"):
        aecodec.compress(photograph(16, 16), **{name: value})


@pytest.mark.parametrize("value", [value for value in ODD if value is not None], ids=repr)
def test_arguments_of_stages_and_of_decompress_have_a_sentence(aec: Path, value: Any) -> None:
    with pytest.raises(StageError):
        aecodec.denoise(RGBA, value)
    with pytest.raises(StageError):
        aecodec.denoise(RGBA, 5, value)
    with pytest.raises(StageError):
        aecodec.upscale(RGBA, value)
    with pytest.raises(StageError):
        aecodec.upscale(RGBA, 2, value)
    with pytest.raises(AecodecError):
        aecodec.decompress(aec, max_pixels=value)
    with pytest.raises(StageError):
        aecodec.decompress(aec, upscale=value)
    with pytest.raises(RegionError):
        aecodec.decompress(aec, region=value)
    with pytest.raises(RegionError):
        aecodec.decompress(aec, region=(0, 0, value, 1))
    if value is not True:
        with pytest.raises(StageError):
            aecodec.decompress(aec, enhance=value)


def test_scales_and_regions_of_any_type_of_number(aec: Path) -> None:
    assert aecodec.upscale(RGBA, 2.0, "bicubic").size == (18, 14)  # type: ignore[arg-type]
    region = np.array([1, 2, 3, 4])
    assert aecodec.decompress(aec, region=region, upscale=np.int64(2)).size == (6, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("quality", "50"), ("effort", "2"), ("frame", "1")])
def test_text_in_place_of_a_number_is_refused_without_an_example_of_another_argument(
    name: str, value: str
) -> None:
    with pytest.raises(AecodecError, match=rf"^{name} '{value}' is no number: give one$"):
        aecodec.compress(RGBA, **{name: value})


@pytest.mark.parametrize("background", [3, (255, 255, 255), b"white", "wite", "#12"])
def test_a_background_that_is_no_colour_is_refused(background: Any) -> None:
    data = aecodec.compress(photograph(9, 7))
    with pytest.raises(ImageError, match="is no colour: give a name, #rgb or #rrggbb"):
        aecodec.decompress(data, background=background)
