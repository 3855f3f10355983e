"""Pictures to files and files to pictures: the functions that the package exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from codec import pipeline
from codec.bitstream import MAX_PIXELS, QUALITY_UNITS, Box, Container, check_size, parse, serialise
from codec.errors import ImageError, LimitError, QualityError
from codec.image import (
    Picture,
    fits_lossless,
    from_pillow,
    read_lossless,
    to_pillow,
    write_lossless,
)
from codec.model import DEFAULT, model_named, model_with

DEFAULT_QUALITY = 50.0
LOSSLESS_WORTH = 32  # bytes that a lossless file may be larger than the learned one
LOSSLESS_PROMISING = 1.5  # times that limit: in a picture that is not small, a quick try above is the last
SMALL = 2**16  # pixels

ImageLike: TypeAlias = Image.Image | NDArray[np.uint8] | Picture


@dataclass(frozen=True, slots=True)
class Info:
    """What a file holds, without decoding it."""

    width: int
    height: int
    mode: str  # L, LA, RGB or RGBA
    coding: str  # learned or lossless
    quality: float | None  # 0 to 100; None for lossless
    model: str | None  # fingerprint of the model, hexadecimal; None for lossless
    size: int  # bytes of the file
    metadata: Mapping[str, int]  # bytes of each kind

    @property
    def bpp(self) -> float:
        """Bits of the whole file per pixel."""
        return 8 * self.size / (self.width * self.height)


def compress(image: ImageLike, quality: float = DEFAULT_QUALITY, *, model: str = DEFAULT) -> bytes:
    """Compress a picture into one file.

    `image` is a Pillow image, a Picture, or an array of bytes (H, W) or (H, W, 3). `quality`, 0 to 100,
    rises with size and PSNR. Where lossless coding is seen to serve better, the file is lossless.

    Raises ImageError for what cannot be coded, QualityError for a quality out of range and
    UnknownModelError for a model that is not installed.

    >>> from PIL import Image
    >>> import codec
    >>> data = codec.compress(Image.new("RGB", (64, 48), "teal"), quality=30)
    >>> codec.decompress(data).size
    (64, 48)
    """
    if not 0 <= quality <= 100:
        raise QualityError(f"quality {quality} is out of range: choose 0 to 100")
    picture = to_picture(image)
    height, width = picture.pixels.shape[:2]
    check_input(width, height)
    boxes = dict(picture.metadata)
    if picture.alpha is not None:
        boxes[Box.ALPHA] = write_lossless(Image.fromarray(picture.alpha))
    header, payload = pipeline.encode(model_named(model), picture.pixels, round(quality * QUALITY_UNITS))
    if (lossless := lossless_instead(len(payload), picture)) is not None:
        return serialise(Container(width, height, picture.gray, lossless, None, boxes))
    return serialise(Container(width, height, picture.gray, payload, header, boxes))


def to_picture(image: ImageLike) -> Picture:
    if isinstance(image, Picture):
        return image
    if isinstance(image, Image.Image):
        return from_pillow(image)
    if not isinstance(image, np.ndarray):
        raise ImageError(f"{type(image).__name__} is no picture: give a Pillow image or an array")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ImageError(f"array of {image.dtype} {image.shape}: expected bytes of shape (H, W) or (H, W, 3)")
    gray = image.ndim == 2
    return Picture(np.repeat(image[:, :, None], 3, axis=2) if gray else image, gray)


def check_input(width: int, height: int) -> None:
    """Raises ImageError for a picture that no reader accepts."""
    try:
        check_size(width, height, MAX_PIXELS)
    except LimitError as error:
        raise ImageError(f"cannot be coded: {error}") from error


def lossless_instead(size: int, picture: Picture) -> bytes | None:
    """A lossless WebP of the picture without alpha, if it is worth having in place of `size` bytes."""
    image = Image.fromarray(picture.pixels)
    limit = size + LOSSLESS_WORTH
    if not fits_lossless(*image.size):
        return None
    if image.width * image.height > SMALL and len(write_lossless(image, 0)) > LOSSLESS_PROMISING * limit:
        return None
    data = write_lossless(image)
    return data if len(data) <= limit else None


def decompress(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The picture in a file: mode L, LA, RGB or RGBA, with ICC profile, EXIF and XMP in `info`.

    Raises a BitstreamError that says what is wrong with the data, or UnknownModelError.
    """
    return to_pillow(decompress_picture(data, max_pixels))


def decompress_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """The Picture in a file; raises as `decompress`."""
    container = parse(data, max_pixels)
    size = container.width, container.height
    if container.learned:
        model = model_with(container.learned.fingerprint)
        pixels = pipeline.decode(model, container.learned, container.payload, size[::-1])
    else:
        pixels = np.asarray(read_lossless(container.payload, size).convert("RGB"))
    if container.gray:
        pixels = np.repeat(luminance(pixels)[:, :, None], 3, axis=2)
    alpha = None
    if Box.ALPHA in container.boxes:
        alpha = np.asarray(read_lossless(container.boxes[Box.ALPHA], size).convert("RGB").getchannel("G"))
    metadata: dict[Box, bytes] = {k: v for k, v in container.boxes.items() if k != Box.ALPHA}
    return Picture(pixels, container.gray, alpha, metadata)


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The rounded mean of three channels that are meant to be equal."""
    return np.asarray((pixels.astype(np.uint16).sum(2) + 1) // 3, np.uint8)


def info(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Info:
    """What a file holds, without decoding it; raises a BitstreamError if it is not sound."""
    container = parse(data, max_pixels)
    learned = container.learned
    return Info(
        width=container.width,
        height=container.height,
        mode=("L" if container.gray else "RGB") + "A" * (Box.ALPHA in container.boxes),
        coding=container.coding.name.lower(),
        quality=learned.quality / QUALITY_UNITS if learned else None,
        model=learned.fingerprint.hex() if learned else None,
        size=len(data),
        metadata={box.name.lower(): len(content) for box, content in container.boxes.items()},
    )
