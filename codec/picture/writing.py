"""Pictures to Pillow images and picture files."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor

from aecodec.errors import ImageError
from aecodec.picture import Picture, code_points
from aecodec.picture.embedding import embed
from aecodec.picture.metadata import info_of
from aecodec.picture.pillow_errors import MALFORMED, unwarned

FORMATS = {
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
OPAQUE_FORMATS = ("BMP", "JPEG")
LONGEST_SIDES = {"AVIF": 65536, "JPEG": 65500, "WEBP": 16383}  # pixels; that of JPEG is libjpeg's
JPEG_QUALITY = 95  # 1 to 100: above it files grow fast and hardly look better
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "AVIF": {"quality": 95},
    "JPEG": {"subsampling": "4:4:4", "optimize": True},
    "WEBP": {"lossless": True, "exact": True},
}

# 24 megapixels of photographs take zlib 7 s at its level 6. Where it looks for runs alone, they take 1.5 s in
# files 3 % larger. Where it looks for no repetition, they take 1.3 s in files as large: half of them are a
# little smaller. At level 2 they take 1.7 s in files up to 14 % larger, but text and pictures that repeat are
# smaller there, text by a half.
FAST_PNG: tuple[dict[str, Any], ...] = (
    {"compress_level": 1, "compress_type": zlib.Z_HUFFMAN_ONLY},
    {"compress_level": 1, "compress_type": zlib.Z_RLE},
    {"compress_level": 2},
)
SMALL = 2**21  # pixels, of which a PNG at level 6 takes 0.6 s at most
TRIED_ROWS, TRIED_PIXELS = 16, 2**18  # rows at a time, and pixels in all, about, by which the way is chosen


def to_pillow(picture: Picture) -> Image.Image:
    """A Pillow image of mode L, LA, RGB or RGBA, its metadata in `info`."""
    image = Image.fromarray(picture.pixels)
    if picture.gray:
        image = image.getchannel(0)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    image.info.update(info_of(picture.metadata))
    return image


def format_for(path: Path) -> str:
    """Pillow's name of the format that a file's suffix asks for; raises ImageError."""
    if (suffix := path.suffix.lower()) not in FORMATS:
        raise ImageError(f"{path}: unknown suffix {suffix!r}: choose one of {' '.join(FORMATS)}")
    return FORMATS[suffix]


def colour_of(text: str) -> tuple[int, int, int]:
    """Red, green and blue, of 255, of a colour as Pillow's ImageColor reads it; raises ImageError."""
    try:
        colour = ImageColor.getrgb(text)
    except (AttributeError, TypeError, ValueError) as error:  # the first two of what is no text
        raise ImageError(f"background {text!r} is no colour: give a name, #rgb or #rrggbb") from error
    if len(colour) != 3:
        raise ImageError(f"background {text!r} is transparent itself: give a name, #rgb or #rrggbb")
    return colour


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel of an image of mode L, LA, RGB or RGBA is not opaque."""
    return image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema()[0] != 255


def flattened(image: Image.Image, background: str) -> Image.Image:
    """An image of mode L, LA, RGB or RGBA on a background. It has mode L if both are gray, else RGB.

    Raises ImageError for a background that is no colour.
    """
    red, green, blue = colour_of(background)
    if image.mode in ("L", "RGB"):
        return image
    gray = image.mode == "LA" and (red == green == blue or not is_transparent(image))
    background_image = Image.new("RGB", image.size, (red, green, blue)).convert("L" if gray else "RGB")
    background_image.paste(image.convert(background_image.mode), mask=image.getchannel("A"))
    background_image.info = image.info.copy()
    return background_image


def fitted(image: Image.Image, format: str, background: str | None = None) -> Image.Image:
    """The image as a format can hold it: on a background, a colour, if the format has no transparency.

    Raises ImageError for a transparent image without a background, and for a background that is no colour.
    """
    if format not in OPAQUE_FORMATS:
        return image
    if background is None and is_transparent(image):
        remedy = "choose .png or .webp, or --background COLOUR"
        raise ImageError(f"the picture has transparency, which {format} cannot hold: {remedy}")
    return flattened(image, background or "white")


def encode_image(image: Image.Image, format: str, jpeg_quality: int = JPEG_QUALITY) -> bytes:
    """The file of an image in a format that FORMATS names, metadata included; raises ImageError.

    `jpeg_quality` is Pillow's, 1 to 100.
    """
    check_sides(image, format)
    image = fitted(image, format)
    options = SAVE_OPTIONS.get(format, {})
    if format == "JPEG":
        options = {**options, "quality": jpeg_quality}
    elif format == "AVIF":
        options = {**options, "subsampling": "4:0:0" if image.mode in ("L", "LA") else "4:4:4"}
    elif format == "PNG" and image.width * image.height > SMALL:
        options = fast_png(image)
    data = saved(image, format, options)
    colour = code_points.of_cicp(image.info.get("cicp")) if format == "AVIF" else None
    return code_points.in_avif(data, colour) if colour else data


def check_sides(image: Image.Image, format: str) -> None:
    """Raises ImageError for an image with a side that a format does not hold."""
    longest = LONGEST_SIDES.get(format, max(image.size))
    if max(image.size) > longest:
        size = f"{image.width}x{image.height}"
        raise ImageError(f"{size} is too large: {format} holds {longest} pixels a side, choose .png")


def saved(image: Image.Image, format: str, options: dict[str, Any]) -> bytes:
    """The file that Pillow writes with options and the metadata that a format keeps; raises ImageError."""
    file = io.BytesIO()
    try:
        with unwarned():  # of odd metadata
            metadata, _ = embed(image, format)
            image.save(file, format, **options, **metadata)
    except (*MALFORMED, RuntimeError) as error:
        raise ImageError(f"cannot be written as {format} ({error}): choose .png") from error
    return file.getvalue()


def fast_png(image: Image.Image) -> dict[str, Any]:
    """The options of the smaller of fast PNGs, by some rows of the image."""
    sample = some_rows(image)
    return min(FAST_PNG, key=lambda options: len(saved(sample, "PNG", options)))


def some_rows(image: Image.Image) -> Image.Image:
    """TRIED_PIXELS of an image, about: TRIED_ROWS rows at a time, evenly spaced."""
    rows = min(TRIED_ROWS, image.height)
    count = max(1, min(TRIED_PIXELS // image.width, image.height) // rows)
    sample = Image.new(image.mode, (image.width, count * rows))
    for number in range(count):
        top = (image.height - rows) * (2 * number + 1) // (2 * count)
        sample.paste(image.crop((0, top, image.width, top + rows)), (0, number * rows))
    return sample


def notes_of_writing(image: Image.Image, format: str) -> tuple[str, ...]:
    """What a format cannot hold of an image's metadata, each a clause."""
    with unwarned():  # of odd metadata
        return embed(image, format)[1]
