"""Pictures to Pillow images and picture files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

from codec.errors import ImageError
from codec.picture import Picture, code_points
from codec.picture.embedding import embed
from codec.picture.metadata import info_of
from codec.picture.pillow_errors import MALFORMED
from codec.picture.unwarned import unwarned

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
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "JPEG": {"quality": 95, "subsampling": "4:4:4", "optimize": True},
    "WEBP": {"lossless": True, "exact": True},
}


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


def encode_image(image: Image.Image, format: str) -> bytes:
    """The file of an image in a format that FORMATS names, metadata included; raises ImageError."""
    if image.mode in ("LA", "RGBA") and format in OPAQUE_FORMATS:
        raise ImageError(f"the picture has transparency, which {format} cannot hold: choose .png or .webp")
    file = io.BytesIO()
    try:
        with unwarned():  # of odd metadata
            metadata, _ = embed(image, format)
            image.save(file, format, **SAVE_OPTIONS.get(format, {}), **metadata)
    except (*MALFORMED, RuntimeError) as error:
        raise ImageError(f"cannot be written as {format} ({error}): choose .png") from error
    colour = code_points.of_info(image.info) if format == "AVIF" else None
    return code_points.in_avif(file.getvalue(), colour) if colour else file.getvalue()


def notes_of_writing(image: Image.Image, format: str) -> tuple[str, ...]:
    """What a format cannot hold of an image's metadata, each a clause."""
    with unwarned():  # of odd metadata
        return embed(image, format)[1]
