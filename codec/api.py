"""Pictures to files and files to pictures: the functions that the package exports."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from codec import pipeline
from codec.bitstream import MAX_PIXELS, QUALITY_UNITS, Box, Container, Learned, check_size, parse, serialise
from codec.errors import ImageError, LimitError, QualityError, RegionError, TargetError
from codec.image import (
    Picture,
    fits_lossless,
    from_pillow,
    read_lossless,
    to_pillow,
    write_lossless,
)
from codec.image import psnr as psnr_of
from codec.model import DEFAULT, Model, model_named, model_with
from codec.pipeline import EFFORT
from codec.targets import of_psnr, within_bytes

DEFAULT_QUALITY = 50.0
MOST_EFFORT = 9
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


def compress(
    image: ImageLike,
    quality: float = DEFAULT_QUALITY,
    *,
    model: str = DEFAULT,
    effort: int = EFFORT,
    lossless: bool = False,
    max_bytes: int | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
) -> bytes:
    """Compress a picture into one file.

    `image` is a Pillow image, a Picture, or an array of bytes (H, W) or (H, W, 3). `quality`, 0 to 100,
    rises with size and PSNR. Where lossless coding is seen to serve better, the file is lossless. What is
    converted or left out of a Pillow image is a UserWarning; a Picture has it in its `notes`.

    `effort`, 0 to 9, is how often the encoder corrects itself by what the decoder would make of its file:
    each time takes longer and gains less.

    One of these takes the place of the quality: `lossless`; `max_bytes`, which the file never exceeds;
    `bpp`, the same in bits per pixel; `psnr`, in dB, which it reaches.

    Raises ImageError for what cannot be coded, QualityError for a quality or effort out of range,
    TargetError for a target out of reach and UnknownModelError for a model that is not installed.

    >>> from PIL import Image
    >>> import codec
    >>> data = codec.compress(Image.new("RGB", (64, 48), "teal"), quality=30)
    >>> codec.decompress(data).size
    (64, 48)
    """
    if not 0 <= quality <= 100:
        raise QualityError(f"quality {quality} is out of range: choose 0 to 100")
    if sum((lossless, max_bytes is not None, bpp is not None, psnr is not None)) > 1:
        raise TargetError("lossless, max_bytes, bpp and psnr exclude each other: give one")
    for name, target in (("max_bytes", max_bytes), ("bpp", bpp), ("psnr", psnr)):
        if target is not None and not 0 < target < math.inf:
            raise TargetError(f"{name} {target} is no target: give a positive number")
    if effort not in range(MOST_EFFORT + 1):
        raise QualityError(f"effort {effort} is out of range: choose 0 to {MOST_EFFORT}")
    attempt = Attempt(to_picture(image), model_named(model), effort)
    if lossless:
        return attempt.losslessly()
    if bpp is not None:
        max_bytes = int(bpp * attempt.pixels / 8)
    if max_bytes is not None:
        return within_bytes(attempt.at, attempt.rough_size, max_bytes, attempt.fixed)
    if psnr is not None:
        return of_psnr(attempt.at, attempt.psnr, attempt.rough_psnr, psnr)
    return attempt.at(quality)


class Attempt:
    """The files that a picture may become."""

    def __init__(self, picture: Picture, model: Model, effort: int) -> None:
        self.picture, self.model, self.effort = picture, model, effort
        self.height, self.width = picture.pixels.shape[:2]
        self.pixels = self.height * self.width
        check_input(self.width, self.height)
        self.boxes = dict(picture.metadata)
        if picture.alpha is not None:
            self.boxes[Box.ALPHA] = write_lossless(Image.fromarray(picture.alpha))

    def file(self, payload: bytes, learned: Learned | None) -> bytes:
        picture = self.picture
        return serialise(Container(self.width, self.height, picture.gray, payload, learned, self.boxes))

    @property
    def fixed(self) -> int:
        """Bytes of a file that do not depend on quality."""
        return len(self.file(b"", None))

    @cached_property
    def lossless(self) -> bytes:
        """A lossless WebP of the pixels."""
        return write_lossless(Image.fromarray(self.picture.pixels))

    @cached_property
    def quickly_lossless(self) -> int:
        """Bytes of a lossless WebP that took little effort."""
        return len(write_lossless(Image.fromarray(self.picture.pixels), efforts=(0,)))

    def losslessly(self) -> bytes:
        """The file that keeps every pixel."""
        return self.file(self.lossless, None)

    def at(self, quality: float) -> bytes:
        """The file at a quality, 0 to 100; a lossless one if it is worth having instead."""
        header, payload = pipeline.encode(self.model, self.picture.pixels, units_of(quality), self.effort)
        if self.lossless_serves(len(payload) + LOSSLESS_WORTH):
            return self.losslessly()
        return self.file(payload, header)

    def lossless_serves(self, limit: int) -> bool:
        """Whether a lossless payload has at most `limit` bytes; of a large one a quick try may deny it."""
        if not fits_lossless(self.width, self.height):
            return False
        if self.pixels > SMALL and self.quickly_lossless > LOSSLESS_PROMISING * limit:
            return False
        return len(self.lossless) <= limit

    def rough_size(self, quality: float) -> int:
        """About the bytes of the file at a quality: without correction, and without reading it again."""
        latents = pipeline.encode_latents(self.model, self.picture.pixels, units_of(quality), 0)
        prior = self.model.coder.best_prior(latents.z, latents.quality)
        return self.fixed + len(self.model.coder.encode(latents, prior))

    def rough_psnr(self, quality: float) -> float:
        """About the PSNR in dB of the file at a quality: that without correction."""
        latents = pipeline.encode_latents(self.model, self.picture.pixels, units_of(quality), 0)
        decoded = pipeline.synthesise(self.model, latents, pipeline.whole((self.height, self.width)))
        figure = psnr_of(self.picture.pixels, decoded)
        return math.inf if figure is None else figure

    def psnr(self, data: bytes) -> float:
        """PSNR in dB of a file's pixels; infinite where they are equal."""
        figure = psnr_of(self.picture.pixels, decompress_picture(data).pixels)
        return math.inf if figure is None else figure


def units_of(quality: float) -> int:
    """A quality in hundredths."""
    return round(quality * QUALITY_UNITS)


def to_picture(image: ImageLike) -> Picture:
    """The Picture of what `compress` takes; warns of what is not kept of a Pillow image."""
    if isinstance(image, Picture):
        return image
    if isinstance(image, Image.Image):
        picture = from_pillow(image)
        for note in picture.notes:
            warnings.warn(note, stacklevel=3)
        return picture
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


def decompress(
    data: bytes, *, max_pixels: int = MAX_PIXELS, region: tuple[int, int, int, int] | None = None
) -> Image.Image:
    """The picture in a file: mode L, LA, RGB or RGBA, with ICC profile, EXIF and XMP in `info`.

    `region` (left, top, width, height), in pixels, asks for a part, whose pixels are those of the whole
    within one level.

    Raises a BitstreamError that says what is wrong with the data, UnknownModelError, or RegionError.
    """
    return to_pillow(decompress_picture(data, max_pixels, region))


def decompress_picture(
    data: bytes, max_pixels: int = MAX_PIXELS, region: tuple[int, int, int, int] | None = None
) -> Picture:
    """The Picture in a file, or a part of it; raises as `decompress`."""
    container = parse(data, max_pixels)
    size = container.width, container.height
    part = window_of(region or (0, 0, *size), size)
    if container.learned:
        model = model_with(container.learned.fingerprint)
        pixels = pipeline.decode(model, container.learned, container.payload, size[::-1], part)
    else:
        pixels = np.asarray(read_lossless(container.payload, size).convert("RGB"))[part]
    if container.gray:
        pixels = np.repeat(luminance(pixels)[:, :, None], 3, axis=2)
    alpha = None
    if Box.ALPHA in container.boxes:
        plane = read_lossless(container.boxes[Box.ALPHA], size).convert("RGB").getchannel("G")
        alpha = np.asarray(plane)[part]
    metadata: dict[Box, bytes] = {k: v for k, v in container.boxes.items() if k != Box.ALPHA}
    return Picture(pixels, container.gray, alpha, metadata)


def window_of(region: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a region (left, top, width, height); raises RegionError outside `size` (W, H)."""
    left, top, width, height = region
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[0] or top + height > size[1]:
        raise RegionError(
            f"region {','.join(map(str, region))} is not inside {size[0]}x{size[1]} pixels: move or shrink it"
        )
    return slice(top, top + height), slice(left, left + width)


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The rounded mean of three channels that are meant to be equal."""
    return np.asarray((pixels.astype(np.uint16).sum(2) + 1) // 3, np.uint8)


def mode_of(container: Container) -> str:
    """L, LA, RGB or RGBA."""
    return ("L" if container.gray else "RGB") + "A" * (Box.ALPHA in container.boxes)


def info(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Info:
    """What a file holds, without decoding it; raises a BitstreamError if it is not sound."""
    container = parse(data, max_pixels)
    learned = container.learned
    return Info(
        width=container.width,
        height=container.height,
        mode=mode_of(container),
        coding=container.coding.name.lower(),
        quality=learned.quality / QUALITY_UNITS if learned else None,
        model=learned.fingerprint.hex() if learned else None,
        size=len(data),
        metadata={box.name.lower(): len(content) for box, content in container.boxes.items()},
    )
