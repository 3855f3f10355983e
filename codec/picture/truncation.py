"""Files that end too early, or are damaged: what is there of the picture, and how much is missing.

A file is decoded over black and over white, with different made-up endings in place of the missing one.
Pixels that differ were not in the file. (Pillow has a switch for such files, but it is one for the whole
process.)
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from aecodec.errors import ImageError
from aecodec.picture import jpeg, png
from aecodec.picture.boxes import boxes_of
from aecodec.picture.depth import bits_of
from aecodec.picture.frames import at_frame
from aecodec.picture.opening import HEAD, format_of, open_image
from aecodec.picture.pillow_errors import MALFORMED

FILLERS = (255, 85, 170, 1, 16, 128, 200)  # bytes; a decoder of AVIF refuses most endings, by chance
LAST, FIRST = 8, 4  # zeros at the end of a made-up ending, which AVIF asks for; bytes of a short one before
MOST_MISSING = 32  # times what is there of a file may be made up
RIFF_HEADER = 8  # bytes that the length in it does not count
IN_BOXES = ("AVIF", "HEIF")
AT_ONCE = (*IN_BOXES, "WEBP")  # formats of which Pillow gives all pixels or none
UNIT = {"AVIF": 64, "JPEG": 16}  # rows that are usually coded together, from the top
LOWEST_SHARE = 0.01  # that is said to be missing where something is


@dataclass(frozen=True, slots=True)
class Remains:
    """The part of a picture that a damaged file still holds."""

    image: Image.Image  # its pixels loaded
    missing: float  # share of the pixels, 0 to 1, that are not as they were, about
    cut: bool  # whether the file ends early, rather than being damaged within

    @property
    def has_all_pixels(self) -> bool:
        """Whether only what follows the pixels is missing."""
        return self.cut and not self.missing


def remains_of(data: bytes, frame: int | None, max_pixels: int) -> Remains | None:
    """The part of the picture that a damaged file still holds; None where it holds none."""
    format_name = format_of(data[:HEAD])
    images = decoded_variously(data, format_name, frame, max_pixels)
    if len(images) < 2:
        return None
    first, *others = (np.asarray(image) for image in images)
    if any(other.shape != first.shape for other in others):
        return None
    differ = np.zeros(first.shape[:2], bool)
    for other in others:
        differ |= (first != other).reshape(*differ.shape, -1).any(2)
    if format_name == "GIF":
        differ |= untouched(images[0], first)
    if format_name in UNIT:
        differ = all_below(differ, UNIT[format_name])
    missing = float(differ.mean())
    if format_name == "JPEG" and not missing and not jpeg.has_all_scans(data):
        missing = 1.0
    if differ.all() and format_name != "JPEG":  # which may be there as a whole, but coarse
        return None
    if not missing and (format_name in IN_BOXES or len(images) < len(backgrounds_for(format_name))):
        missing = LOWEST_SHARE  # as a few endings that agree are no proof
    return Remains(images[0], missing, is_cut(data, format_name))


def decoded_variously(
    data: bytes, format: str | None, frame: int | None, max_pixels: int
) -> list[Image.Image]:
    """Images of a file, two of different backgrounds or three of different endings, if it can be decoded."""
    decoded: list[Image.Image] = []
    backgrounds = backgrounds_for(format)
    data = data.rstrip(b"\xff") if format == "JPEG" else data  # half a marker, which an ending would complete
    for ending in endings(data, format, max_pixels):
        try:
            image = open_image(io.BytesIO(data + ending), max_pixels)
            with at_frame(image, frame):
                load_over(backgrounds[len(decoded)], image)
        except MemoryError:
            raise
        except Exception:  # libraries raise errors of any type on damaged data
            continue
        decoded.append(image)
        if len(decoded) == len(backgrounds):
            break
    return decoded


def backgrounds_for(format: str | None) -> tuple[int, ...]:
    """The values of all bands of the backgrounds. Where endings differ, a third guards against chance."""
    return (0, 255, 0) if format in (*AT_ONCE, "JPEG") else (0, 255)


def endings(data: bytes, format: str | None, max_pixels: int) -> Iterator[bytes]:
    """Made-up endings, at least two, for the missing end of a file."""
    if format == "JPEG":
        with suppress(*MALFORMED, ImageError):
            yield from jpeg.endings(data, open_image(io.BytesIO(data), max_pixels).size)
    elif count := missing_bytes(data, format):
        zeros = bytes(count)
        if format == "WEBP":
            yield from (zeros, made_up := Random(0).randbytes(count), bytes(255 - byte for byte in made_up))
            return
        long = [(bytes([filler]) * max(count - LAST, 0) + zeros)[:count] for filler in FILLERS]
        short = [(bytes([filler]) * FIRST + zeros)[:count] for filler in FILLERS]
        yield from dict.fromkeys((zeros, *long, *short))
    else:
        yield from (b"", b"")


def load_over(background: int, image: Image.Image) -> None:
    """Load the pixels that a file holds. Missing pixels get the background in each band."""
    bands = len(image.getbands())
    colour = background if bands == 1 else (background,) * bands
    image.im = Image.new(image.mode, image.size, colour).im
    bits_of(image)  # as long as its file is known
    try:
        image.load()
    except MALFORMED:
        if image.format in AT_ONCE:
            raise
        if isinstance(image, PngImagePlugin.PngImageFile) and image.png:
            image._text = image.png.im_text  # those before the pixels
    image.tile = []  # type: ignore[attr-defined]  # so that Pillow takes it for loaded
    image.load()  # as a palette may be damaged, too


def untouched(image: Image.Image, pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mask (H, W) of the rows of a GIF that are transparent throughout, as all are before decoding."""
    mask = np.zeros(pixels.shape[:2], bool)
    if isinstance(key := image.info.get("transparency"), int) and pixels.ndim == 2:
        mask[(pixels == key).all(1)] = True
    return mask


def all_below(differ: NDArray[np.bool_], unit: int) -> NDArray[np.bool_]:
    """Mask (H, W) of pixels that differ and of all below the first `unit` rows with such pixels.

    Made-up data may end early, as at a restart of a JPEG, and rows after it may be equal by chance.
    """
    mask = differ.copy()
    if differ.any():
        mask[int(differ.any(1).argmax()) + unit :] = True
    return mask


def missing_bytes(data: bytes, format: str | None) -> int:
    """The bytes that a file lacks according to its start, up to the most that may be made up."""
    if format == "WEBP":
        end = RIFF_HEADER + int.from_bytes(data[4:8], "little")
    elif format in IN_BOXES:
        end = max((place.stop for _, place in boxes_of(io.BytesIO(data))), default=0)
    else:
        end = 0
    return min(max(end - len(data), 0), MOST_MISSING * len(data))


def is_cut(data: bytes, format: str | None) -> bool:
    """Whether a file ends before the end mark or the length of its format."""
    if format == "JPEG":
        return jpeg.is_cut(data)
    if format == "PNG":
        return png.outline_of(io.BytesIO(data)).cut
    if format == "GIF":
        return not data.rstrip(b"\0").endswith(b";")
    return missing_bytes(data, format) > 0
