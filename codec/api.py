"""Pictures to files and files to pictures: the functions that the package exports."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from codec import pipeline, stages
from codec.bitstream import (
    MAX_PIXELS,
    QUALITY_UNITS,
    Box,
    Container,
    Learned,
    Stages,
    check_size,
    parse,
    serialise,
)
from codec.engine import Window
from codec.entropy import Latents
from codec.errors import ImageError, LimitError, QualityError, RegionError, StageError, TargetError
from codec.image import (
    Picture,
    fits_lossless,
    from_pillow,
    read_lossless,
    to_gray,
    to_pillow,
    write_lossless,
)
from codec.image import psnr as psnr_of
from codec.model import DEFAULT, Model, model_named, model_with
from codec.pipeline import EFFORT
from codec.stages import estimate_noise, networks
from codec.stages.denoising import LARGEST_SIGMA
from codec.stages.enhancement import NETWORK as ENHANCE
from codec.stages.restoration import restored
from codec.stages.upscaling import LEARNED, SCALES, enlarged, network_name, reduced
from codec.targets import of_psnr, within_bytes

DEFAULT_QUALITY = 50.0
MOST_EFFORT = 9
LOSSLESS_WORTH = 32  # bytes that a lossless file may be larger than the learned one
LOSSLESS_PROMISING = 1.5  # times that limit: in a picture that is not small, a quick try above is the last
SMALL = 2**16  # pixels
NOISY = 5.0  # of 255: "auto" leaves less noise than this, which photographs may have
REMOVED = 0.7  # of the noise that "auto" measured must be what is removed, or it was texture
HELPS = 0.02  # dB by which a stage must be better than none
REDUCED_BELOW = 10.0  # quality above which "auto" does not try a reduced picture

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
    noise: float  # deviation, of 255, of the noise that was removed before coding; 0 for none
    enhanced: bool  # whether the decoder removes artefacts
    scale: int  # by which the decoder enlarges the coded picture; 1 for not at all
    size: int  # bytes of the file
    metadata: Mapping[str, int]  # bytes of each kind

    @property
    def bpp(self) -> float:
        """Bits of the whole file per pixel."""
        return 8 * self.size / (self.width * self.height)


@dataclass(frozen=True, slots=True)
class Options:
    """What `compress` is asked for; see there."""

    quality: float = DEFAULT_QUALITY
    model: str = DEFAULT
    effort: int = EFFORT
    lossless: bool = False
    max_bytes: int | None = None
    bpp: float | None = None
    psnr: float | None = None
    denoise: float | str | None = None
    enhance: bool = False
    reduce: int | str = 1

    def check(self) -> None:
        """Raises QualityError, TargetError or StageError for what cannot be asked for."""
        if not 0 <= self.quality <= 100:
            raise QualityError(f"quality {self.quality} is out of range: choose 0 to 100")
        targets = {"max_bytes": self.max_bytes, "bpp": self.bpp, "psnr": self.psnr}
        given = {name: target for name, target in targets.items() if target is not None}
        if self.lossless + len(given) > 1:
            raise TargetError("lossless, max_bytes, bpp and psnr exclude each other: give one")
        if self.lossless and (self.denoise not in (None, 0) or self.enhance or self.reduce != 1):
            raise StageError("lossless coding keeps every pixel: it goes without denoise, enhance and reduce")
        if self.reduce == "auto" and self.psnr is not None:
            raise StageError("reduce auto has no meaning beside a PSNR: choose 1, 2, 3 or 4")
        for name, target in given.items():
            if not 0 < target < math.inf:
                raise TargetError(f"{name} {target} is no target: give a positive number")
        if self.effort not in range(MOST_EFFORT + 1):
            raise QualityError(f"effort {self.effort} is out of range: choose 0 to {MOST_EFFORT}")
        if self.reduce not in ("auto", 1, *SCALES):
            raise StageError(f"pictures cannot be reduced by {self.reduce!r}: choose auto, 1, 2, 3 or 4")


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
    denoise: float | str | None = None,
    enhance: bool = False,
    reduce: int | str = 1,
) -> bytes:
    """Compress a picture into one file.

    `image` is a Pillow image, a Picture, or an array of bytes (H, W) or (H, W, 3). `quality`, 0 to 100,
    rises with size and PSNR. Where lossless coding is seen to serve better, the file is lossless. What is
    converted or left out of a Pillow image is a UserWarning; a Picture has it in its `notes`.

    `effort`, 0 to 9, makes smaller files in more time. Up to 4 it is how often the encoder corrects itself by
    what the decoder would make of its file; from 5 on a gradient search takes minutes a megapixel and torch.

    One of these takes the place of the quality: `lossless`; `max_bytes`, which the file never exceeds;
    `bpp`, the same in bits per pixel; `psnr`, in dB, which it reaches.

    Stages, all off if not asked for: `denoise`, the noise's deviation of 255, or "auto" to measure it and to
    remove it where there is some; `enhance` to have the decoder remove artefacts where that raises the PSNR;
    `reduce`, the scale 2, 3 or 4 by which the coded picture is smaller, which the decoder makes up for, or
    "auto" where, at a low quality, that raises the PSNR at the same size, or is the only way to `max_bytes`.
    A `psnr` beside `denoise` is that to the picture without its noise.

    Raises ImageError for what cannot be coded, QualityError for a quality or effort out of range, StageError
    for what a stage does not offer, TargetError for a target out of reach, UnknownModelError for a model
    that is not installed and MissingExtraError for a search without torch.

    >>> from PIL import Image
    >>> import codec
    >>> data = codec.compress(Image.new("RGB", (64, 48), "teal"), quality=30)
    >>> codec.decompress(data).size
    (64, 48)
    """
    options = Options(quality, model, effort, lossless, max_bytes, bpp, psnr, denoise, enhance, reduce)
    return compress_picture(to_picture(image), options)[1]


def compress_picture(picture: Picture, options: Options) -> tuple[Attempt, bytes]:
    """The file of a picture, and the attempt that made it; raises as `compress`."""
    options.check()
    model, reduce = model_named(options.model), options.reduce
    cleaned, noise = clean(picture, options.denoise)
    scale = 1 if isinstance(reduce, str) else int(reduce)
    attempt = Attempt(cleaned, model, options.effort, noise, options.enhance, scale)
    max_bytes = options.max_bytes if options.bpp is None else int(options.bpp * attempt.pixels / 8)
    if options.lossless:
        return attempt, attempt.losslessly()
    if max_bytes is not None:
        return within(attempt, max_bytes, SCALES if reduce == "auto" else ())
    if options.psnr is not None:
        return attempt, of_psnr(attempt.at, attempt.rough, attempt.psnr, options.psnr)
    if reduce == "auto":
        return reduced_if_better(attempt, options.quality)
    return attempt, attempt.at(options.quality)


def clean(picture: Picture, noise: float | str | None) -> tuple[Picture, float]:
    """The picture without noise of a deviation (of 255), and the deviation that was removed.

    "auto" measures the noise. It leaves as much as a photograph may have, and texture: there the network
    removes far less than was measured. None leaves all.
    """
    if isinstance(noise, str):
        if noise != "auto":
            raise StageError(f"denoise {noise!r} is no noise: give its deviation, or auto")
        noise = min(estimate_noise(picture.pixels), LARGEST_SIGMA)
        if noise < NOISY:
            return picture, 0.0
        cleaned = stages.denoise(picture, noise)
        removed = (picture.pixels.astype(np.int16) - cleaned.pixels).std()
        return (cleaned, noise) if removed >= REMOVED * noise else (picture, 0.0)
    return (stages.denoise(picture, noise), noise) if noise else (picture, 0.0)


def within(attempt: Attempt, limit: int, scales: Sequence[int]) -> tuple[Attempt, bytes]:
    """The best file of at most `limit` bytes, reduced by the first of the scales that it takes, if any."""
    try:
        return attempt, within_bytes(attempt.at, attempt.rough, limit, attempt.fixed)
    except TargetError:
        if not scales:
            raise
        return within(attempt.reduced(scales[0]), limit, scales[1:])


def reduced_if_better(attempt: Attempt, quality: float) -> tuple[Attempt, bytes]:
    """The file at a quality, or a reduced one of its size that comes nearer to the picture."""
    data = attempt.at(quality)
    if quality <= REDUCED_BELOW and info(data).quality is not None:
        smaller = attempt.reduced(SCALES[0])
        with suppress(TargetError):
            other = within_bytes(smaller.at, smaller.rough, len(data), smaller.fixed)
            if attempt.psnr(other) >= attempt.psnr(data) + HELPS:
                return smaller, other
    return attempt, data


class Attempt:
    """The files that a picture may become."""

    def __init__(
        self,
        picture: Picture,
        model: Model,
        effort: int,
        noise: float = 0,
        enhance: bool = False,
        scale: int = 1,
    ) -> None:
        self.picture, self.model, self.effort = picture, model, effort
        self.noise, self.enhance, self.scale = noise, enhance, scale
        self.height, self.width = picture.pixels.shape[:2]
        self.pixels = self.height * self.width
        check_input(self.width, self.height)
        self.latest: tuple[bytes, Latents] | None = None  # the payload that was last read, and what it says
        self.boxes = dict(picture.metadata)
        if picture.alpha is not None:
            self.boxes[Box.ALPHA] = write_lossless(Image.fromarray(picture.alpha))

    def reduced(self, scale: int) -> Attempt:
        """The same for a coded picture that is smaller by a scale."""
        return Attempt(self.picture, self.model, self.effort, self.noise, self.enhance, scale)

    @cached_property
    def coded(self) -> NDArray[np.uint8]:
        """The pixels (h, w, 3) that are coded."""
        return reduced(self.picture.pixels, self.scale) if self.scale > 1 else self.picture.pixels

    def file(self, payload: bytes, learned: Learned | None, enhance: bool = False) -> bytes:
        done = Stages(noise=min(math.ceil(4 * self.noise), 255))
        if learned and enhance:
            done = replace(done, enhance=networks.fingerprint(ENHANCE))
        if learned and self.scale > 1:
            upscale = networks.fingerprint(network_name(self.scale))
            done = replace(done, upscale=upscale, scale=self.scale)
        gray = self.picture.gray
        return serialise(Container(self.width, self.height, gray, payload, learned, self.boxes, done))

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
        """The file at a quality, 0 to 100; a lossless one if it is worth having instead.

        It is enhanced if that was asked for and raises the PSNR.
        """
        units = round(quality * QUALITY_UNITS)
        header, payload, latents = pipeline.encode(self.model, self.coded, units, self.effort)
        self.latest = payload, latents
        if self.lossless_serves(len(payload) + LOSSLESS_WORTH):
            return self.losslessly()
        plain = self.file(payload, header)
        if self.enhance:
            enhanced = self.file(payload, header, enhance=True)
            if self.psnr(enhanced) >= self.psnr(plain) + HELPS:
                return enhanced
        return plain

    def lossless_serves(self, limit: int) -> bool:
        """Whether a lossless payload has at most `limit` bytes; of a large one a quick try may deny it."""
        if not fits_lossless(self.width, self.height):
            return False
        if self.pixels > SMALL and self.quickly_lossless > LOSSLESS_PROMISING * limit:
            return False
        return len(self.lossless) <= limit

    def rough(self, quality: float) -> bytes:
        """About the file at a quality: without correction, and without being read again."""
        latents = pipeline.encode_latents(self.model, self.coded, round(quality * QUALITY_UNITS), 0)
        prior = self.model.coder.best_prior(latents.z, latents.quality)
        payload = self.model.coder.encode(latents, prior)
        return self.file(payload, Learned(self.model.fingerprint, latents.quality, prior), self.enhance)

    def psnr(self, data: bytes) -> float:
        """PSNR in dB of a file's pixels; infinite where they are equal."""
        figure = psnr_of(self.picture.pixels, self.decoded(data))
        return math.inf if figure is None else figure

    def decoded(self, data: bytes) -> NDArray[np.uint8]:
        """The pixels (H, W, 3) of a file; the payload that was last written is not read again."""
        container = parse(data)
        known = self.latest[1] if self.latest and self.latest[0] == container.payload else None
        return decode_pixels(container, pipeline.whole((self.height, self.width)), known)


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
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    region: tuple[int, int, int, int] | None = None,
    enhance: bool = False,
    upscale: int = 1,
) -> Image.Image:
    """The picture in a file: mode L, LA, RGB or RGBA, with ICC profile, EXIF and XMP in `info`.

    `region` (left, top, width, height), in pixels, asks for a part, whose pixels are those of the whole
    within one level. `enhance` removes artefacts of coding, `upscale` (2, 3 or 4) enlarges what comes of it;
    of a region they know no more than the region. `max_pixels` limits the result.

    Raises a BitstreamError that says what is wrong with the data, UnknownModelError, RegionError, StageError.
    """
    if upscale not in (1, *SCALES):
        raise StageError(f"scale {upscale} is not offered: choose 1, 2, 3 or 4")
    about = info(data, max_pixels=max_pixels)
    width, height = region[2:] if region else (about.width, about.height)
    check_size(upscale * width, upscale * height, max_pixels)
    picture = decompress_picture(data, max_pixels, region)
    if enhance and about.quality is not None and not about.enhanced:
        picture = stages.enhance(picture)
    return to_pillow(stages.upscale(picture, upscale) if upscale > 1 else picture)


def denoise(image: ImageLike, sigma: float | None = None, method: str = "learned") -> Image.Image:
    """The picture without noise of deviation `sigma`, of 255, measured if not given.

    `method` is learned, or nlm for non-local means. Raises ImageError, or StageError for what is not offered.
    """
    return to_pillow(stages.denoise(to_picture(image), sigma, method))


def enhance(image: ImageLike) -> Image.Image:
    """The picture without artefacts of JPEG or of our own coding; raises ImageError."""
    return to_pillow(stages.enhance(to_picture(image)))


def upscale(image: ImageLike, scale: int, method: str = "learned") -> Image.Image:
    """The picture 2, 3 or 4 times as wide and as high; `method` is learned, srcnn or bicubic.

    Raises ImageError, or StageError for what is not offered.
    """
    return to_pillow(stages.upscale(to_picture(image), scale, method))


def decompress_picture(
    data: bytes, max_pixels: int = MAX_PIXELS, region: tuple[int, int, int, int] | None = None
) -> Picture:
    """The Picture in a file, or a part of it; raises as `decompress`."""
    container = parse(data, max_pixels)
    size = container.width, container.height
    part = window_of(region or (0, 0, *size), size)
    alpha = None  # read first: what is wrong with it is known sooner than the pixels
    if Box.ALPHA in container.boxes:
        plane = read_lossless(container.boxes[Box.ALPHA], size).getchannel("G")
        alpha = np.asarray(plane)[part]
    pixels = decode_pixels(container, part)
    metadata: dict[Box, bytes] = {k: v for k, v in container.boxes.items() if k != Box.ALPHA}
    return Picture(pixels, container.gray, alpha, metadata)


def decode_pixels(container: Container, part: Window, known: Latents | None = None) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of a part, rows and columns; `known` are the latents if they were read before."""
    if container.learned:
        pixels = decode_learned(container, container.learned, part, known)
    else:
        pixels = np.asarray(read_lossless(container.payload, (container.width, container.height)))[part]
    return to_gray(pixels) if container.gray else pixels[..., :3]


def decode_learned(
    container: Container, learned: Learned, part: Window, known: Latents | None = None
) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of a part, rows and columns, of a learned picture, after its stages."""
    model, wanted, size = model_with(learned.fingerprint), container.stages, container.coded_size
    latents = known or pipeline.read_latents(model, learned, container.payload, size)
    if not (wanted.enhance or wanted.upscale):
        return pipeline.synthesise(model, latents, part)
    enhancer = networks.network_with(ENHANCE, wanted.enhance) if wanted.enhance else None
    if wanted.upscale:
        networks.network_with(network_name(wanted.scale), wanted.upscale)
    pixels = pipeline.synthesise(model, latents, pipeline.whole(size))
    if enhancer:
        pixels = restored(enhancer, pixels)
    if wanted.upscale:
        pixels = enlarged(pixels, wanted.scale, LEARNED)
    return pixels[part]


def window_of(region: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a region (left, top, width, height); raises RegionError outside `size` (W, H)."""
    left, top, width, height = region
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[0] or top + height > size[1]:
        raise RegionError(
            f"region {','.join(map(str, region))} is not inside {size[0]}x{size[1]} pixels: move or shrink it"
        )
    return slice(top, top + height), slice(left, left + width)


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
        noise=container.stages.noise / 4,
        enhanced=bool(container.stages.enhance),
        scale=container.stages.scale,
        size=len(data),
        metadata={box.name.lower(): len(content) for box, content in container.boxes.items()},
    )
