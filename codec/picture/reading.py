"""Picture files and Pillow images to pictures; nothing is lost unsaid."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from codec.bitstream import Box
from codec.errors import ImageError
from codec.picture import Picture, exif
from codec.picture.colour import notes_of_png_colours, rgb_of_cmyk
from codec.picture.leftovers import content_of
from codec.picture.metadata import read_exif, read_metadata, upright
from codec.picture.pillow_errors import MALFORMED

READABLE_SUFFIXES = {
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jif", ".jpe", ".jpeg", ".jpg"),
    *(".jxl", ".png", ".tif", ".tiff", ".webp"),
}
READABLE = ("PNG", "JPEG", "BMP", "GIF", "AVIF", "TIFF", "WEBP")  # those first that Pillow loads at once
AVIF_HEADER = 4096  # bytes at whose start a file says how it is coded
AVIF_DEEP, AVIF_TWELVE = 0x40, 0x20


def read_picture(source: Path | IO[bytes]) -> Picture:
    """The picture in a file, by name or open; raises ImageError where there is none that can be coded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and large pictures
            with Image.open(source, formats=READABLE) as image:
                return from_pillow(image)
    except UnidentifiedImageError as error:
        raise ImageError(
            "not a picture that can be read: give PNG, JPEG, WebP, BMP, TIFF, AVIF or GIF"
        ) from error
    except (*MALFORMED, EOFError, Image.DecompressionBombError) as error:
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def from_pillow(image: Image.Image) -> Picture:
    """An upright Picture of a Pillow image; raises ImageError for modes that would lose something.

    CMYK becomes sRGB, through its ICC profile where it has one; of a camera's MPO the first frame is
    taken; EXIF that cannot be read is kept as it is. The notes say so, and what is left out. Metadata are
    those in `info`, and EXIF as `getexif()` was edited: what was taken out of them does not come back.
    """
    notes = []
    if (frames := getattr(image, "n_frames", 1)) > 1:
        if image.format != "MPO":
            raise ImageError(f"holds {frames} frames: aecodec codes single pictures, extract one first")
        notes.append(f"holds {frames} frames, of which the first is kept")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"):
        raise ImageError(f"has mode {image.mode}, not 8-bit gray, RGB, CMYK or palette: convert it first")
    if (bits := bits_per_sample(image)) > 8:
        raise ImageError(f"has {bits} bits a sample: convert it to 8 bits first")
    content = content_of(image)
    if image.format == "PNG":
        image.load()  # as there may be metadata behind the pixels
    block, readable = read_exif(image)
    metadata, left = read_metadata(image, block, content)
    notes += left if Box.COLOUR in metadata else [*left, *notes_of_png_colours(image)]
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation) in exif.TURNED
        image = ImageOps.exif_transpose(image)  # also of the orientation in XMP
        metadata = upright(metadata) if turned else metadata
    except MALFORMED:
        image.load()
        readable = False
    if not readable:
        notes.append(f"its EXIF cannot be read and is {'kept as it is' if block else 'left out'}")
    if image.mode == "CMYK":
        image, how = rgb_of_cmyk(image)
        metadata.pop(Box.ICC, None)
        notes.append(how)
    gray = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    else:
        alpha = None
    if image.mode != "RGB":
        image = image.convert("RGB")
    return Picture(np.asarray(image), gray, alpha, metadata, tuple(notes))


def bits_per_sample(image: Image.Image) -> int:
    """Bits of each sample in the file, which Pillow may cut to 8 as it decodes."""
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (8,))))
    if image.format == "AVIF":
        return bits_of_avif(image)
    return 16 if any(";16B" in str(tile.args) for tile in getattr(image, "tile", [])) else 8


def bits_of_avif(image: Image.Image) -> int:
    """8, 10 or 12, as the first configuration of a coder says (AV1-ISOBMFF, 2.3.3), or 8 where none does."""
    if (file := getattr(image, "fp", None)) is None or file.closed:
        return 8
    file.seek(0)
    _, found, configuration = file.read(AVIF_HEADER).partition(b"av1C")
    if not found or len(configuration) < 3 or not configuration[2] & AVIF_DEEP:
        return 8
    return 12 if configuration[2] & AVIF_TWELVE else 10
