"""TIFFs that Pillow misreads are read right or refused, and what is left out of them is said."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from aecodec.container import Box
from aecodec.errors import ImageError
from aecodec.options import ReadOptions
from aecodec.picture import Picture, tiff
from aecodec.picture.reading import from_pillow, read_picture
from tests.common import METADATA, make_icc, photograph, picture_of_mode

SUB = {"photometric": "rgb", "metadata": None}
GRAY = np.random.default_rng(0).integers(0, 256, (18, 29), dtype=np.uint8)


def read(data: bytes, options: ReadOptions = ReadOptions()) -> Picture:  # noqa: B008  frozen
    return read_picture(io.BytesIO(data), options)


def tiff_of(strip: bytes, mark: bytes = b"", order: str = "<", **tags: tuple[int, ...]) -> bytes:
    """A TIFF of 29x18 pixels in a strip, 8-bit gray but for `tags`: numbers of 16 bits, by t and tag."""
    start = 8 + len(mark)
    plain = {"t256": (29,), "t257": (18,), "t258": (8,), "t259": (1,), "t262": (1,), "t277": (1,)}
    all_tags = {**plain, "t273": (start,), "t278": (18,), "t279": (len(strip),), **tags}
    entries, values, place = b"", b"", start + len(strip)
    for name, numbers in sorted(all_tags.items(), key=lambda item: int(item[0][1:])):
        value = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(value) > 4:
            value, values = struct.pack(order + "I", place + len(values)), values + value
        entries += struct.pack(order + "HHI", int(name[1:]), 3, len(numbers)) + value.ljust(4, b"\0")
    directory = struct.pack(order + "H", len(all_tags)) + entries + bytes(4)
    head = struct.pack(order + "2sHI", {"<": b"II", ">": b"MM"}[order], 42, place + len(values))
    return head + mark + strip + values + directory


@pytest.mark.parametrize(
    "first",
    [{"subfiletype": 1}, {"extratags": [(50706, 1, 4, (1, 4, 0, 0), True)]}],
    ids=["NEF", "DNG"],
)
def test_the_preview_of_a_raw_file_is_not_taken_for_the_picture(first: dict[str, Any]) -> None:
    file, pixels = io.BytesIO(), photograph(64, 48)
    with tifffile.TiffWriter(file) as writer:
        writer.write(pixels[::4, ::4], subifds=1, **SUB, **first)
        writer.write(pixels, **SUB)
    with pytest.raises(ImageError, match=r"a camera's raw file.*only a preview.*: develop it first"):
        read(file.getvalue())
    np.testing.assert_array_equal(read(file.getvalue(), ReadOptions(frame=0)).pixels, pixels[::4, ::4])


def test_the_preview_of_a_cr2_is_not_taken_for_the_picture() -> None:
    data = tiff_of(GRAY.tobytes(), mark=b"CR\2\0\0\0\0\0")
    with pytest.raises(ImageError, match="a camera's raw file"):
        read(data)
    assert read(data, ReadOptions(frame=0)).gray


def test_smaller_pictures_in_subifds_do_not_make_a_raw_file() -> None:
    file, pixels = io.BytesIO(), photograph(64, 48)
    with tifffile.TiffWriter(file) as writer:
        writer.write(pixels, subifds=2, **SUB)
        writer.write(pixels[::2, ::2], subfiletype=1, **SUB)
        writer.write(pixels[::4, ::4], subfiletype=1, **SUB)
    np.testing.assert_array_equal(read(file.getvalue()).pixels, pixels)


# Layouts


UNCOMPRESSED, DEFLATED, PACK_BITS, WEBP = 1, 8, 32773, 50001
PILLOW = tuple(map(int, PIL.__version__.split(".")[:2]))
KNOWN_SINCE = {"gray and more": (13, 0), "RGB and more": (12, 2)}  # releases of Pillow
PLANES: dict[str, tuple[dict[str, tuple[int, ...]], int, tuple[int, ...]]] = {
    # tags, channels, and compressions with which Pillow reads planes right
    "gray": ({}, 1, (UNCOMPRESSED, DEFLATED)),
    "gray, white is zero": ({"t262": (0,)}, 1, (DEFLATED,)),
    "gray, bits reversed": ({"t266": (2,)}, 1, ()),
    "gray and alpha": ({"t338": (2,)}, 2, ()),
    "gray and more": ({"t338": (0,)}, 2, (DEFLATED,)),
    "RGB": ({"t262": (2,)}, 3, (UNCOMPRESSED, DEFLATED)),
    "RGB, bits reversed": ({"t262": (2,), "t266": (2,)}, 3, ()),
    "RGBA": ({"t262": (2,), "t338": (2,)}, 4, (UNCOMPRESSED, DEFLATED)),
    "RGBA, premultiplied": ({"t262": (2,), "t338": (1,)}, 4, (DEFLATED,)),
    "RGBA, unsaid": ({"t262": (2,)}, 4, (UNCOMPRESSED,)),
    "RGB and more": ({"t262": (2,), "t338": (0,)}, 4, (DEFLATED,)),
    "RGBA and more": ({"t262": (2,), "t338": (2, 0)}, 5, ()),
    "CMYK": ({"t262": (5,)}, 4, (UNCOMPRESSED, DEFLATED)),
}


@pytest.mark.parametrize(
    ("name", "compression"),
    [
        (name, one)
        for name in PLANES
        for one in (UNCOMPRESSED, DEFLATED)
        if one == 1 or "reversed" not in name
    ],
)
def test_planes_are_read_right_or_refused(name: str, compression: int) -> None:
    tags, channels, right = PLANES[name]
    tags = {**tags, "t258": (8,) * channels, "t277": (channels,), "t259": (compression,)}
    samples = np.random.default_rng(1).integers(0, 256, (channels, 18, 29), dtype=np.uint8)
    pack = zlib.compress if compression == DEFLATED else bytes
    planes = [pack(plane.tobytes()) for plane in samples]
    starts = tuple(8 + sum(map(len, planes[:n])) for n in range(channels))
    planar = tiff_of(b"".join(planes), **tags, t284=(2,), t273=starts, t279=tuple(map(len, planes)))
    if KNOWN_SINCE.get(name, PILLOW) > PILLOW:
        with suppress(ImageError):
            colours = read(planar).pixels[:, :, : channels - 1]
            np.testing.assert_array_equal(colours, np.moveaxis(samples[:-1], 0, 2))
    elif compression in right:
        picture, expected = read(planar), read(tiff_of(pack(np.moveaxis(samples, 0, 2).tobytes()), **tags))
        np.testing.assert_array_equal(picture.pixels, expected.pixels)
        np.testing.assert_array_equal(picture.alpha, expected.alpha)
    else:
        with pytest.raises(ImageError, match="has 8 bits a sample in planes apart, which Pillow misreads"):
            read(planar)


def test_planes_of_16_bits_are_refused() -> None:
    planes = np.random.default_rng(1).integers(0, 2**16, (3, 18, 29), dtype=np.uint16)
    file = io.BytesIO()
    tifffile.imwrite(file, planes, photometric="rgb", planarconfig="separate")
    for options in (ReadOptions(), ReadOptions(depth=8)):
        with pytest.raises(ImageError, match="has 16 bits a sample in planes apart, which Pillow misreads"):
            read(file.getvalue(), options)


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        (
            {"t259": (34712,)},
            "has compression 34712, which Pillow does not know: save it with LZW or with none",
        ),
        ({"t262": (34892,)}, "is a camera's raw file: develop it first"),
        (
            {"t258": (32, 32, 32), "t277": (3,), "t262": (2,), "t339": (3, 3, 3)},
            r"has float samples of 32 bits, 3 a pixel \(PhotometricInterpretation 2\), which Pillow does not",
        ),
        ({"t258": (16, 16), "t277": (2,), "t338": (2,)}, "has samples of 16 bits, 2 a pixel"),
        ({"t258": (8,) * 5, "t277": (5,), "t262": (5,), "t338": (2,)}, "has samples of 8 bits, 5 a pixel"),
    ],
)
def test_kinds_that_pillow_does_not_know_are_named(tags: dict[str, tuple[int, ...]], sentence: str) -> None:
    with pytest.raises(ImageError, match=f"^{sentence}"):
        read(tiff_of(GRAY.tobytes(), **tags))


def test_a_later_page_of_a_kind_that_pillow_does_not_know_is_named() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(photograph(16, 12), **SUB)
        writer.write(photograph(16, 12).astype(np.float64), **SUB)
    for options in (ReadOptions(), ReadOptions(frame=1)):
        with pytest.raises(ImageError, match="has a page that has float samples of 64 bits, 3 a pixel"):
            read(file.getvalue(), options)
    first = read(file.getvalue(), ReadOptions(frame=0))
    np.testing.assert_array_equal(first.pixels, photograph(16, 12))


def test_a_compression_that_libtiff_was_built_without_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiff_of(GRAY.tobytes() * 3, t258=(8,) * 3, t262=(2,), t277=(3,), t259=(WEBP,))
    image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    monkeypatch.setattr(tiff, "is_known", lambda _: False)
    for reading in (lambda: read(data), lambda: from_pillow(image)):
        with pytest.raises(ImageError, match=f"^has compression {WEBP}, which Pillow does not know: save it"):
            reading()


@pytest.mark.parametrize("compression", tiff.OPTIONAL)
def test_compressions_are_known_by_whether_they_can_be_written(compression: int) -> None:
    file, name = io.BytesIO(), TiffImagePlugin.COMPRESSION_INFO[compression]
    try:
        Image.fromarray(photograph(29, 18)).save(file, "TIFF", compression=name)
    except OSError:
        assert not tiff.is_known(compression)
    else:
        assert tiff.is_known(compression)
        assert not read(file.getvalue()).gray


def test_a_big_endian_big_tiff_is_named() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, GRAY, bigtiff=True, byteorder=">")
    with pytest.raises(ImageError, match="is a big-endian BigTIFF, which Pillow does not know: "):
        read(file.getvalue())


EXTRA = [  # photometric, colours, ExtraSamples, and channels that are left out
    pytest.param(
        (1, 1, (0,), 1),
        marks=pytest.mark.skipif(KNOWN_SINCE["gray and more"] > PILLOW, reason="refused before Pillow 13"),
    ),
    (2, 3, (0,), 1),
    (2, 3, (0, 0), 2),
    (2, 3, (2, 0, 0), 2),
    (5, 4, (0,), 1),
    (2, 3, (2,), 0),
    (2, 3, (), 0),
    (5, 4, (), 0),
]


@pytest.mark.parametrize("case", EXTRA)
def test_extra_channels_are_noted(case: tuple[int, int, tuple[int, ...], int]) -> None:
    photometric, colours, extra, left = case
    channels = colours + len(extra)
    tags = {"t262": (photometric,), "t277": (channels,), "t258": (8,) * channels}
    notes = read(tiff_of(GRAY.tobytes() * channels, **tags, **({"t338": extra} if extra else {}))).notes
    of_extra = [note for note in notes if "extra" in note]
    expected = {0: [], 1: ["its extra channel is left out"], 2: ["its 2 extra channels are left out"]}
    assert of_extra == expected[left]


def test_an_extra_channel_of_16_bits_is_noted() -> None:
    tags = {"t262": (2,), "t277": (4,), "t258": (16,) * 4, "t338": (0,)}
    assert read(tiff_of(GRAY.tobytes() * 8, **tags), ReadOptions(depth=8)).notes == (
        "has 16 bits a sample, rounded to 8",
        "its extra channel is left out",
    )


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_palette_of_bytes_is_not_black(orientation: int) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (3, 256))
    tags = {"t262": (3,), "t274": (orientation,)}
    narrow, wide = (
        read(tiff_of(GRAY.tobytes(), **tags, t320=tuple(map(int, values.ravel()))))
        for values in (colours, colours * 257)
    )
    np.testing.assert_array_equal(narrow.pixels, wide.pixels)
    assert narrow.metadata == wide.metadata
    expected = colours.T[GRAY].astype(np.uint8)
    np.testing.assert_array_equal(narrow.pixels, np.rot90(expected, -1) if orientation == 6 else expected)


def test_floats_whose_white_is_zero() -> None:
    floats = GRAY.astype("<f4") / 255
    data = tiff_of(floats.tobytes(), t258=(32,), t339=(3,), t262=(0,))
    np.testing.assert_array_equal(read(data, ReadOptions(depth=8)).pixels[:, :, 0], 255 - GRAY)


def test_signed_bytes_are_refused() -> None:
    with pytest.raises(ImageError, match="has signed samples of 8 bits, which Pillow misreads: convert them"):
        read(tiff_of(GRAY.tobytes(), t339=(2,)))


# Orders of bytes

FOREIGN_ORDER = ">" if sys.byteorder == "little" else "<"
DEEP = {"f4": (3, GRAY / 255), "i2": (2, GRAY * 128.0), "i4": (2, GRAY * 257.0)}  # SampleFormat, samples


def deep_tiff(kind: str, order: str, compression: int, predictor: int = 1) -> bytes:
    """GRAY as samples of a kind, big-endian for the order >."""
    sample_format, values = DEEP[kind]
    samples = values.astype(order + kind)
    rows = samples.view(np.uint8)
    if predictor == 2:
        integers = samples.view(f"{order}u{kind[1]}")
        rows = np.diff(integers, axis=1, prepend=integers[:, :1] * 0).astype(integers.dtype).view(np.uint8)
    elif predictor == 3:  # of floats: the highest bytes of a row come first, in files of both orders
        highest_first = values.astype(">" + kind).view(np.uint8).reshape(18, 29, -1)
        rows = np.diff(highest_first.transpose(0, 2, 1).reshape(18, -1), axis=1, prepend=np.uint8(0))
    pack = {UNCOMPRESSED: bytes, DEFLATED: zlib.compress, PACK_BITS: packed_bits}[compression]
    bits = 8 * samples.itemsize
    tags = {"t258": (bits,), "t259": (compression,), "t317": (predictor,), "t339": (sample_format,)}
    return tiff_of(pack(rows.tobytes()), order=order, **tags)


def packed_bits(data: bytes) -> bytes:
    """Bytes as PackBits writes those that do not repeat; 29 fit into any row of these samples."""
    return b"".join(bytes([28]) + data[place : place + 29] for place in range(0, len(data), 29))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("kind", "compression", "predictor"),
    [
        *((kind, compression, 1) for kind in DEEP for compression in (UNCOMPRESSED, DEFLATED, PACK_BITS)),
        *((kind, DEFLATED, 2) for kind in DEEP),
        ("f4", DEFLATED, 3),
    ],
)
def test_signed_integers_and_floats_of_both_orders(
    kind: str, compression: int, predictor: int, order: str
) -> None:
    data = deep_tiff(kind, order, compression, predictor)
    expected = (GRAY * 128.0 * 255 / 65535 if kind == "i2" else GRAY).round()
    for frame in (None, 0):
        picture = read(data, ReadOptions(depth=8, frame=frame))
        np.testing.assert_array_equal(picture.pixels[:, :, 0], expected)


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("loaded", [False, True])
def test_what_pillow_swaps_is_refused(kind: str, loaded: bool) -> None:
    for order in "<>":
        for compression in (UNCOMPRESSED, DEFLATED):
            with Image.open(io.BytesIO(deep_tiff(kind, order, compression))) as image:
                if loaded:
                    image.load()
                if (order, compression) == (FOREIGN_ORDER, DEFLATED):
                    with pytest.raises(ImageError, match="-endian samples, whose bytes Pillow swaps: give"):
                        from_pillow(image, ReadOptions(depth=8))
                else:
                    assert from_pillow(image, ReadOptions(depth=8)).gray


# Pages


def bare_page() -> dict[str, Any]:
    return {}


def rich_page() -> dict[str, Any]:
    tags = Image.Exif()
    tags[271] = "maker"
    tags[700], tags[33723] = METADATA[Box.XMP], b"\x1c\x02\x05\0\2ab"
    return {"exif": tags, "icc_profile": make_icc(), "dpi": (600, 300)}


def page_without_unit() -> dict[str, Any]:
    return {"resolution_unit": 1, "x_resolution": 5, "y_resolution": 3}


PAGES = [bare_page, rich_page, page_without_unit]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("other", PAGES)
def test_a_page_has_nothing_of_other_pages(page: Any, other: Any) -> None:
    image, alone, file = Image.fromarray(photograph(29, 18)), io.BytesIO(), io.BytesIO()
    image.save(alone, "TIFF", **page())
    with TiffImagePlugin.AppendingTiffWriter(file) as writer:
        for kind in (page, other, page):
            image.save(writer, "TIFF", **kind())
            writer.newFrame()
    expected = read(alone.getvalue())
    for frame in (0, 2):
        picture = read(file.getvalue(), ReadOptions(frame=frame))
        assert (picture.metadata, picture.notes) == (expected.metadata, expected.notes)
    with Image.open(io.BytesIO(file.getvalue())) as opened:
        read_of_image = from_pillow(opened, ReadOptions(frame=1))
        assert from_pillow(opened, ReadOptions(frame=0)).metadata == expected.metadata
    other_alone = io.BytesIO()
    image.save(other_alone, "TIFF", **other())
    assert read_of_image.metadata == read(other_alone.getvalue()).metadata


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "I;16", "RGBA", "CMYK"])
def test_an_image_by_name_is_turned_as_its_file_is(tmp_path: Path, mode: str, orientation: int) -> None:
    path = tmp_path / "a.tif"
    image = Image.fromarray(GRAY.astype(np.uint16) * 257) if mode == "I;16" else picture_of_mode(mode, 29, 18)
    image.save(path, tiffinfo={274: orientation})
    expected = read_picture(path, ReadOptions(depth=8))
    with Image.open(path) as opened:
        picture = from_pillow(opened, ReadOptions(depth=8))
        assert opened.filename == str(path)
    np.testing.assert_array_equal(picture.pixels, expected.pixels)
    np.testing.assert_array_equal(picture.alpha, expected.alpha)


def test_a_palette_that_the_caller_has_put_stays() -> None:
    narrow = tiff_of(GRAY.tobytes(), t262=(3,), t320=tuple(range(256)) * 3)
    with Image.open(io.BytesIO(narrow)) as image:
        image.load()
        image.putpalette([255 - level for level in range(256) for _ in range(3)])
        np.testing.assert_array_equal(from_pillow(image).pixels[:, :, 0], 255 - GRAY)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_one_plane_is_no_plane_apart(mode: str) -> None:
    file = io.BytesIO()
    Image.fromarray(GRAY).convert(mode).save(file, "TIFF", tiffinfo={284: 2})
    assert read(file.getvalue(), ReadOptions(depth=8)).gray
