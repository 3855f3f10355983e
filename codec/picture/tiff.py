"""What Pillow misreads of TIFF files (TIFF 6.0, and DNG 1.7): it is put right or refused."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from aecodec.errors import ImageError

NEW_SUBFILE_TYPE, SUB_IFDS, DNG_VERSION = 254, 330, 50706  # tags
COLOR_MAP, EXTRA_SAMPLES, SAMPLE_FORMAT = 320, 338, 339
BIG_TIFF = 43  # a byte of the head, as Pillow asks for it
BIG_ENDIAN_BIG_TIFF = b"MM\0+"
NATIVE_ORDER = b"II" if sys.byteorder == "little" else b"MM"
REDUCED = 1  # a bit of NewSubfileType: the picture is another one at a lower resolution
CANON_RAW = slice(8, 10), b"CR"  # where a CR2 says what it is
SEPARATE, UNCOMPRESSED = 2, 1  # a PlanarConfiguration; a Compression
OPTIONAL = (34925, 50000, 50001)  # Compressions that libtiff may be built without: LZMA, Zstandard, WebP
WHITE_IS_ZERO, SENSOR = 0, (32803, 34892)  # PhotometricInterpretations, those of a camera's raw samples
FIRST_BIT_HIGHEST, PREMULTIPLIED = 1, 1  # a FillOrder; an ExtraSamples
UNKNOWN_UNIT, INCH, CENTIMETRE = 1, 2, 3  # ResolutionUnits
SIGNED, FLOAT = 2, 3  # SampleFormats
SAMPLE_FORMAT_NAMES = {SIGNED: "signed ", FLOAT: "float "}
UNREADABLE = ("unknown pixel mode", "Invalid value for samples per pixel")  # as Pillow says it
NATIVE = {  # Pillow's raw modes, and those of the same samples in the machine's order of bytes
    **dict.fromkeys(("I;16S", "I;16BS"), "I;16NS"),
    **dict.fromkeys(("I;32S", "I;32BS"), "I;32NS"),
    **dict.fromkeys(("F;32F", "F;32BF"), "F;32NF"),
}
IN_PLANES = "in planes apart, which Pillow misreads: interleave them"
DEVELOP = "develop it first, or take the preview with --frame 0 (frame=0 in Python)"


class TiffFile(TiffImagePlugin.TiffImageFile):
    """A TIFF as Pillow opens it, but for the order of bytes of compressed signed integers and floats.

    libtiff gives these in the machine's order, where Pillow takes them to be in that of the file.
    """

    def _setup(self) -> None:
        super()._setup()
        if self.use_load_libtiff:
            tile: Any = self.tile[0]
            raw_mode, *others = tile.args
            self.tile = [tile._replace(args=(NATIVE.get(raw_mode, raw_mode), *others))]


@contextmanager
def unmapped(image: Image.Image) -> Iterator[None]:
    """Within, Pillow reads the pixels of a TIFF from its open file.

    Pillow maps a file of which it has the name, and there takes the size of an image that its orientation
    turns for that of the samples.
    """
    if image.format != "TIFF" or not getattr(image, "filename", ""):
        yield
        return
    opened: Any = image
    name, opened.filename = opened.filename, ""
    try:
        yield
    finally:
        opened.filename = name


def refuse_previews(image: Image.Image, file: IO[bytes] | None) -> None:
    """Raise ImageError for a camera's raw file, whose first picture is but a preview of that in its SubIFDs.

    The SubIFDs of other files are smaller ones of the first picture. `file` is the image's, at its start.
    """
    tags, (place, mark) = getattr(image, "tag_v2", {}), CANON_RAW
    preview = tags.get(NEW_SUBFILE_TYPE, 0) & REDUCED or DNG_VERSION in tags
    if (SUB_IFDS in tags and preview) or (file is not None and file.read(place.stop)[place] == mark):
        raise ImageError(f"is a camera's raw file, of which only a preview can be read: {DEVELOP}")


def refuse_misread(image: Image.Image) -> None:
    """Raise ImageError where Pillow decodes the samples of the current page wrongly."""
    tags: Any = getattr(image, "tag_v2", {})
    compression = tags.get(ExifTags.Base.Compression, UNCOMPRESSED)
    if compression in OPTIONAL and not is_known(compression):
        raise ImageError(unknown_compression(compression))
    if compression != UNCOMPRESSED and is_swapped(image, tags):
        order = {b"II": "little", b"MM": "big"}[tags.prefix]
        what = f"compressed {order}-endian samples, whose bytes Pillow swaps"
        raise ImageError(f"has {what}: give its file, not the image that Pillow opened")
    if max(tags.get(SAMPLE_FORMAT, (1,))) == SIGNED and image.mode == "L":
        raise ImageError(
            "has signed samples of 8 bits, which Pillow misreads: convert them to 0 to 255 first"
        )
    if tags.get(ExifTags.Base.PlanarConfiguration) == SEPARATE and not planes_are_read(image.mode, tags):
        raise ImageError(f"has {bits_of(tags)} bits a sample {IN_PLANES}")


def is_swapped(image: Image.Image, tags: Any) -> bool:
    """Whether Pillow takes the bytes of compressed samples in the wrong order, as 13.0 was found to."""
    return image.mode in ("F", "I") and tags.prefix != NATIVE_ORDER and not isinstance(image, TiffFile)


def with_right_palette(image: Image.Image) -> Image.Image:
    """The image, or where its file has colours of 8 bits in place of 16, a copy with these.

    Pillow takes the upper 8 bits. As libtiff does, colours are taken for bytes if all of them fit.
    """
    colours = getattr(image, "tag_v2", {}).get(COLOR_MAP)
    if image.mode not in ("P", "PA") or not colours or not 0 < max(colours) < 256:
        return image
    if any(image.getpalette() or ()):  # which the caller has put right
        return image
    right = image.copy()
    right.putpalette(np.reshape(colours, (3, -1)).T.astype(np.uint8).tobytes())
    right.format = image.format
    return right


def planes_are_read(mode: str, tags: Any) -> bool:
    """Whether Pillow reads planes right, as 13.0 was found to by comparing with interleaved samples."""
    extra = tags.get(EXTRA_SAMPLES, ())
    if tags.get(ExifTags.Base.Compression, UNCOMPRESSED) != UNCOMPRESSED:
        return mode not in ("LA", "PA") and (mode != "RGBA" or len(extra) == 1)
    if mode in ("F", "I"):  # of one plane
        return bool(tags.prefix == NATIVE_ORDER)
    return (
        mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB")
        and (mode == "1" or bits_of(tags) == 8)
        and tags.get(ExifTags.Base.PhotometricInterpretation) != WHITE_IS_ZERO
        and tags.get(ExifTags.Base.FillOrder, FIRST_BIT_HIGHEST) == FIRST_BIT_HIGHEST
        and PREMULTIPLIED not in extra
        and tags.get(ExifTags.Base.SamplesPerPixel, 1) == Image.getmodebands(mode)
    )


def forget_other_pages(image: Image.Image) -> None:
    """Take out of `info` what Pillow leaves there of other pages, all of which it visits to count them."""
    tags, info = getattr(image, "tag_v2", {}), image.info
    known = all(tags.get(tag, 1) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution))
    unit = tags.get(ExifTags.Base.ResolutionUnit) if known else UNKNOWN_UNIT
    if ExifTags.Base.InterColorProfile not in tags:
        info.pop("icc_profile", None)
    if unit not in (None, INCH, CENTIMETRE):
        info.pop("dpi", None)
    if unit in (INCH, CENTIMETRE) or not known:
        info.pop("resolution", None)


def bits_of(tags: Any) -> int:
    return int(max(tags.get(ExifTags.Base.BitsPerSample, (1,))))


def first_tags(file: IO[bytes]) -> Any:
    """The tags of a file's first directory; raises errors of many types where there are none."""
    file.seek(0)
    head = file.read(16)
    head = head if head[2] == BIG_TIFF else head[:8]
    tags = TiffImagePlugin.ImageFileDirectory_v2(head)
    file.seek(tags.next)
    tags.load(file)
    return tags


def what_is_unknown(tags: Any, error: Exception) -> str | None:
    """A clause of what a directory has that Pillow does not know; None where the error is of another kind."""
    compression = tags.get(ExifTags.Base.Compression, UNCOMPRESSED)
    if compression not in TiffImagePlugin.COMPRESSION_INFO:
        return unknown_compression(compression)
    photometric = tags.get(ExifTags.Base.PhotometricInterpretation)
    if photometric in SENSOR:
        return "is a camera's raw file: develop it first"
    if tags.get(ExifTags.Base.PlanarConfiguration) == SEPARATE and "index out of range" in str(error):
        return f"has {bits_of(tags)} bits a sample {IN_PLANES}"
    if str(error) not in UNREADABLE:
        return None
    sample_format = SAMPLE_FORMAT_NAMES.get(max(tags.get(SAMPLE_FORMAT, (1,))), "")
    channels = tags.get(ExifTags.Base.SamplesPerPixel, 1)
    return (
        f"has {sample_format}samples of {bits_of(tags)} bits, {channels} a pixel (PhotometricInterpretation "
        f"{photometric}), which Pillow does not know: convert it to gray, RGB or CMYK of 8 bits first"
    )


def unknown_compression(compression: int) -> str:
    return f"has compression {compression}, which Pillow does not know: save it with LZW or with none"


@cache
def is_known(compression: int) -> bool:
    """Whether libtiff was built with a compression, which Pillow tells only by an error as it writes one."""
    name = TiffImagePlugin.COMPRESSION_INFO[compression]
    try:
        Image.new("RGB", (1, 1)).save(io.BytesIO(), "TIFF", compression=name)
    except OSError:
        return False
    return True
