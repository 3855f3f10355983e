"""Picture files and Pillow images <-> pixels, gray or not, alpha and metadata; nothing is lost unsaid."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from codec.bitstream import Box
from codec.errors import ImageError

Pixels = NDArray[np.uint8]  # (H, W, 3)

WEBP_MAX_SIDE = 16383
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
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "WEBP": {"lossless": True},
}
METADATA = {Box.ICC: "icc_profile", Box.EXIF: "exif", Box.XMP: "xmp"}
XMP_IN_PNG = "XML:com.adobe.xmp"


@dataclass(frozen=True, slots=True)
class Picture:
    """One upright picture, 8 bits a sample; gray pixels have three equal channels."""

    pixels: Pixels
    gray: bool = False
    alpha: NDArray[np.uint8] | None = None  # (H, W)
    metadata: Mapping[Box, bytes] = field(default_factory=dict)


def read_picture(source: Path) -> Picture:
    """The picture in a file; raises ImageError where there is none or not one that can be coded."""
    try:
        with Image.open(source) as image:
            image.load()
            return from_pillow(image)
    except UnidentifiedImageError as error:
        raise ImageError(f"{source}: not a picture that can be read: give a PNG, JPEG, WebP, …") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{source}: {error}") from error
    except (SyntaxError, ValueError, EOFError, OSError) as error:
        raise ImageError(f"{source}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def from_pillow(image: Image.Image) -> Picture:
    """An upright Picture of a Pillow image; raises ImageError for modes that would lose something."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise ImageError(f"holds {frames} frames: aecodec codes single pictures, extract one first")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise ImageError(f"has mode {image.mode}, not 8-bit gray, RGB or palette: convert it first")
    image = ImageOps.exif_transpose(image)
    gray = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    else:
        alpha = None
    return Picture(np.asarray(image.convert("RGB")), gray, alpha, read_metadata(image))


def read_metadata(image: Image.Image) -> dict[Box, bytes]:
    """ICC profile, EXIF and XMP that a Pillow image carries."""
    found = {box: image.info.get(key) for box, key in METADATA.items()}
    found[Box.XMP] = found[Box.XMP] or image.info.get(XMP_IN_PNG)
    exif = image.getexif()
    found[Box.EXIF] = exif.tobytes() if len(exif) else None
    raw = {box: data.encode() if isinstance(data, str) else data for box, data in found.items()}
    return {box: bytes(data) for box, data in raw.items() if data}


def to_pillow(picture: Picture) -> Image.Image:
    """A Pillow image of mode L, LA, RGB or RGBA, its metadata in `info`."""
    image = Image.fromarray(picture.pixels)
    if picture.gray:
        image = image.getchannel(0)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    image.info.update({METADATA[box]: data for box, data in picture.metadata.items() if box in METADATA})
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
    metadata = {key: image.info[key] for key in METADATA.values() if key in image.info}
    if format == "PNG" and (xmp := metadata.pop("xmp", None)):
        metadata["pnginfo"] = PngImagePlugin.PngInfo()
        metadata["pnginfo"].add_itxt(XMP_IN_PNG, xmp.decode("utf-8", "replace"))
    if format == "BMP":
        metadata = {}
    file = io.BytesIO()
    image.save(file, format, **SAVE_OPTIONS.get(format, {}), **metadata)
    return file.getvalue()


def write_lossless(image: Image.Image, effort: int = 4) -> bytes:
    """A lossless WebP of an image, `effort` 0 to 6; raises ImageError over WEBP_MAX_SIDE."""
    if max(image.size) > WEBP_MAX_SIDE:
        raise ImageError(
            f"{image.width}x{image.height} is too large to store losslessly: {WEBP_MAX_SIDE} at most"
        )
    file = io.BytesIO()
    quality = 75 if effort else 0  # of a lossless WebP: more effort, not more loss
    image.save(file, "WEBP", lossless=True, method=effort, quality=quality, exact=True)
    return file.getvalue()


def read_lossless(data: bytes, size: tuple[int, int]) -> Image.Image:
    """The image in a WebP file of `size` (width, height); raises ImageError."""
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            if image.size != size:
                raise ImageError(
                    f"the WebP inside is {image.size}, the header says {size}: the file is damaged"
                )
            image.load()
            return image.copy()
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"the WebP inside cannot be read ({error}): the file is damaged") from error


def psnr(reference: Pixels, decoded: Pixels) -> float | None:
    """Peak signal-to-noise ratio in dB of 8-bit pictures of one shape; None where they are equal."""
    error = 0.0
    for row, other in zip(reference, decoded, strict=True):
        error += float(np.square(row.astype(np.float64) - other).sum())
    return None if error == 0 else float(10 * np.log10(255**2 * reference.size / error))
