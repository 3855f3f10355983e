"""Opens picture files: their format by their first bytes, the reader for it alone, and a limit of pixels.

Pillow's own `open` also knows a limit, of the whole process; here it is an argument.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from PIL import Image, PngImagePlugin

from aecodec.container import MAX_PIXELS
from aecodec.errors import ImageError, MissingExtraError
from aecodec.picture import bmp, check_input, tiff
from aecodec.picture.pillow_errors import MALFORMED
from aecodec.picture.png_file import PNG_SIGNATURE, PngFile
from aecodec.signatures import is_bmp, is_dib

HEAD = 512  # bytes that tell the format, brands of ISO media files included
SIGNATURES = {
    PNG_SIGNATURE: "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\xff\x0a": "JXL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JXL",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+"), "TIFF"),
}
AV1_BRANDS = {b"avif", b"avis", b"MA1A", b"MA1B"}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
PLUGINS = {
    "AVIF": "PIL.AvifImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "DIB": "PIL.BmpImagePlugin",
    "GIF": "PIL.GifImagePlugin",
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
}
MARKS = {  # how files of formats begin whose content is looked into, and where they do
    "GIF": (b"GIF8", 0),
    "PNG": (PNG_SIGNATURE, 0),
    "JPEG": (b"\xff\xd8", 0),
    "MPO": (b"\xff\xd8", 0),
    "WEBP": (b"RIFF", 0),
    "AVIF": (b"ftyp", 4),
    "HEIF": (b"ftyp", 4),
}


def format_of(head: bytes) -> str | None:
    """Pillow's name of the format of a file, by its first HEAD bytes; None for a format that is not read."""
    for signature, format_name in SIGNATURES.items():
        if head.startswith(signature):
            return format_name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return format_of_brands(head)
    if is_bmp(head):
        return "BMP"
    return "DIB" if is_dib(head) else None


def format_of_brands(head: bytes) -> str | None:
    """The format of an ISO media file (ISO/IEC 14496-12, 4.3) by all of its brands."""
    end = min(int.from_bytes(head[:4]), len(head))
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, end, 4))}
    if brands & AV1_BRANDS:
        return "AVIF"
    return "HEIF" if brands & HEIF_BRANDS else None


def open_image(file: IO[bytes], max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image in a file, read from its start, as Pillow opens it: pixels are decoded later.

    That of a PNG has an `outline`. Raises ImageError for a file that is no picture or has too many pixels,
    and MissingExtraError. Errors of Pillow on a damaged file pass through.
    """
    file.seek(0)
    format_name = format_of(file.read(HEAD))
    file.seek(0)
    if format_name is None:
        readable = "PNG, JPEG, WebP, BMP, TIFF, AVIF, GIF, HEIC or JPEG XL"
        raise ImageError(f"not a picture that can be read: give {readable}")
    if format_name == "JXL":
        from aecodec.picture.jpeg_xl import open_jpeg_xl

        return open_jpeg_xl(file.read(), max_pixels)
    if format_name == "HEIF":
        image = open_heif(file)
    elif format_name == "PNG":
        from aecodec.picture.png import outline_of  # of a module that needs this one

        outline = outline_of(file)
        image = PngImagePlugin.PngImageFile(file, "") if outline.bare else PngFile(file, "")
        image.outline = outline  # type: ignore[attr-defined]
    elif format_name == "TIFF":
        image = open_tiff(file)
    else:
        importlib.import_module(PLUGINS[format_name])
        image = Image.OPEN[format_name][0](file, "")
    if format_name in ("BMP", "DIB"):
        file.seek(0)
        if bmp.has_bit_of_alpha(file):
            bmp.read_bit_of_alpha(image)
    check_input(*image.size, max_pixels)
    return image


def open_heif(file: IO[bytes]) -> Image.Image:
    """The image in a HEIC file; raises MissingExtraError where its reader is not installed."""
    try:
        opened: Image.Image = importlib.import_module("pillow_heif").HeifImageFile(file, "")
    except ImportError as error:
        raise MissingExtraError("HEIC needs pip install 'aecodec[more]'") from error
    return opened


def open_tiff(file: IO[bytes]) -> Image.Image:
    """The image in a TIFF; raises ImageError for one of a kind that Pillow does not know."""
    if file.read(4) == tiff.BIG_ENDIAN_BIG_TIFF:
        raise ImageError("is a big-endian BigTIFF, which Pillow does not know: save it as little-endian")
    file.seek(0)
    try:
        return tiff.TiffFile(file, "")
    except MALFORMED as error:
        clause = None
        with suppress(*MALFORMED):
            clause = tiff.what_is_unknown(tiff.first_tags(file), error)
        if clause:
            raise ImageError(clause) from error
        raise


@contextmanager
def file_of(image: Image.Image) -> Iterator[IO[bytes] | None]:
    """The file that an image was opened from, at its start, and later where it was; None where it is gone."""
    file = next((held for name in ("fp", "_fp") if is_open(held := getattr(image, name, None))), None)
    if file is not None:
        position = file.tell()
        file.seek(0)
        try:
            yield file
        finally:
            file.seek(position)
        return
    try:
        reopened = open(getattr(image, "filename", ""), "rb")  # noqa: SIM115  closed below
    except OSError:
        yield None
        return
    with reopened:
        yield reopened


def content_of(image: Image.Image) -> bytes:
    """The file that an image was opened from, if it is of a format that is looked into, and can be read."""
    if image.format not in MARKS:
        return b""
    mark, place = MARKS[image.format]
    with file_of(image) as file:
        data = file.read() if file else b""
    if not data.startswith(mark, place) and (name := getattr(image, "filename", "")):
        try:  # as Pillow may have put pixels in the place of the file
            data = Path(os.fsdecode(name)).read_bytes()
        except (OSError, ValueError):
            data = b""
    return data if data.startswith(mark, place) else b""


def is_open(file: Any) -> bool:
    """Whether an object is an open, seekable file."""
    try:
        return not file.closed and bool(file.seekable())
    except (AttributeError, ValueError):  # of Pillow's stand-in for a file that it has closed
        return False
