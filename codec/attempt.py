"""Finds the file for a picture: the options, the attempts that they lead to, and the choice between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from codec import descent, pipeline, stages
from codec.background import begin
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
from codec.decoding import decode_pixels
from codec.descent import EFFORT, MOST_EFFORT, Draft
from codec.entropy import Latents
from codec.errors import (
    ImageError,
    LimitError,
    QualityError,
    StageError,
    TargetError,
)
from codec.model import TUNED, Model, model_named
from codec.picture import Picture
from codec.picture import psnr as psnr_of
from codec.picture.lossless import LOSSLESS_EFFORTS, fits_lossless, write_lossless
from codec.stages import estimate_noise, networks
from codec.stages.denoising import LARGEST_SIGMA
from codec.stages.enhancement import NETWORK as ENHANCE
from codec.stages.upscaling import SCALES, network_name, reduced
from codec.targets import of_psnr, within_bytes

DEFAULT_QUALITY = 50.0
LOSSLESS_WORTH = 32  # bytes that a lossless file may be larger than the learned one
LOSSLESS_PROMISING = 1.5  # times that limit: in a picture that is not small, a quick try above is the last
SAMPLED = (8, 64)  # rows of so many
DETAILED = 3  # bits a pixel of a sample above which the rest is taken to be like it
SMALL = 2**16  # pixels
MODERATE = 2**23  # pixels above which lossless coding, at 26 bytes a pixel, does not go beside other work
LARGE = 2**25  # pixels above which no draft is kept, whose descent takes 10 bytes a pixel
NOISY = 5.0  # of 255: "auto" leaves less noise than this, which photographs may have
REMOVED = 0.7  # of the noise that "auto" measured must be what is removed, or it was texture
HELPS = 0.02  # dB by which a stage must be better than none
REDUCED_BELOW = 10.0  # quality above which "auto" does not try a reduced picture


@dataclass(frozen=True, slots=True)
class Options:
    """What `compress` is asked for; see there."""

    quality: float = DEFAULT_QUALITY
    model: str | None = None  # that which is tuned for `tune`
    effort: int = EFFORT
    lossless: bool = False
    max_bytes: int | None = None
    bpp: float | None = None
    psnr: float | None = None
    denoise: float | str | None = None
    enhance: bool = False
    reduce: int | str = 1
    tune: str | None = None  # one of TUNED, or the one that suits the rest

    @property
    def goes_by_psnr(self) -> bool:
        """Whether something is asked for that PSNR decides."""
        return self.psnr is not None or self.enhance or self.reduce == "auto"

    @property
    def model_name(self) -> str:
        if self.model is not None:
            return self.model
        return TUNED[self.tune or ("psnr" if self.goes_by_psnr else "visual")]

    def check(self) -> None:
        """Raises QualityError, TargetError or StageError for what cannot be asked for."""
        if self.tune is not None:
            if self.tune not in TUNED:
                raise QualityError(f"no model is tuned for {self.tune!r}: choose {' or '.join(TUNED)}")
            if self.model is not None:
                raise QualityError(f"tune {self.tune} chooses the model: leave out one of the two")
            if self.tune != "psnr" and (self.enhance or self.reduce == "auto"):
                raise StageError(f"enhance and reduce auto go by PSNR: leave them out with tune {self.tune}")
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


def compress_picture(picture: Picture, options: Options) -> tuple[Attempt, bytes]:
    """The file of a picture, and the attempt that made it; raises as `compress`."""
    options.check()
    model, reduce = model_named(options.model_name), options.reduce
    height, width = picture.pixels.shape[:2]
    check_input(width, height)
    cleaned, noise = clean(picture, options.denoise)
    scale = 1 if isinstance(reduce, str) else int(reduce)
    attempt = Attempt(Kept(cleaned), model, options.effort, noise, options.enhance, scale)
    max_bytes = options.max_bytes if options.bpp is None else int(options.bpp * width * height / 8)
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
    """The best file of at most `limit` bytes: lossless, or reduced by the first of the scales that fits."""
    if lossless := attempt.lossless_within(limit):
        return attempt, lossless
    try:
        return attempt, within_bytes(attempt.at, attempt.rough, limit, attempt.fixed)
    except TargetError:
        if not scales:
            raise
        return within(attempt.reduced(scales[0]), limit, scales[1:])


def reduced_if_better(attempt: Attempt, quality: float) -> tuple[Attempt, bytes]:
    """The file at a quality, or a reduced one of its size that comes nearer to the picture."""
    data = attempt.at(quality)
    if quality <= REDUCED_BELOW and parse(data).learned:
        smaller = attempt.reduced(SCALES[0])
        with suppress(TargetError):
            other = within_bytes(smaller.at, smaller.rough, len(data), smaller.fixed)
            if attempt.psnr(other) >= attempt.psnr(data) + HELPS:
                return smaller, other
    return attempt, data


@dataclass(frozen=True, slots=True)
class Lossless:
    """A lossless WebP, and the box of alpha where that is not in it."""

    payload: bytes
    alpha: dict[Box, bytes]

    @property
    def size(self) -> int:
        return len(self.payload) + sum(map(len, self.alpha.values()))


class Kept:
    """What files of a picture keep exactly, coded once for all attempts."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.height, self.width = picture.pixels.shape[:2]
        self.alpha: dict[Box, bytes] = {}  # beside a learned payload
        if picture.alpha is not None:
            self.alpha[Box.ALPHA] = write_lossless(Image.fromarray(picture.alpha))

    @cached_property
    def lossless(self) -> Lossless:
        """The pixels, and alpha with them or beside them, as takes fewer bytes."""
        return self.losslessly(LOSSLESS_EFFORTS)

    @cached_property
    def quick_try(self) -> Future[int]:
        """About the bytes of pixels and alpha at little effort; work begins as this is first asked for."""
        return begin(self.quickly)

    def quickly(self) -> int:
        """Bytes of pixels and alpha at little effort: by a sample of rows if it is full of detail.

        Rows that occur again, of which a sample knows nothing, are taken to cost nothing.
        """
        sample = self.sample()
        distinct = len({crc32(row.tobytes()) for row in self.picture.pixels})
        size: int = sample.losslessly((0,)).size * distinct // sample.height
        detailed = 8 * size > DETAILED * self.width * self.height
        return size if detailed else self.losslessly((0,)).size

    def sample(self) -> Kept:
        """Some rows of each part of the picture, in places that no pattern is likely to share."""
        rows, of = SAMPLED
        starts = np.arange(0, self.height, of)
        starts += np.random.default_rng(0).integers(0, of - rows, len(starts), endpoint=True)
        places = np.minimum(starts, max(self.height - rows, 0))[:, None] + np.arange(rows)
        chosen = np.unique(places[places < self.height])
        alpha = None if self.picture.alpha is None else self.picture.alpha[chosen]
        return Kept(replace(self.picture, pixels=self.picture.pixels[chosen], alpha=alpha))

    def begin_quick_try(self) -> None:
        """Have it done in the background where it will be needed and two at a time fit into memory."""
        if fits_lossless(self.width, self.height) and SMALL < self.width * self.height <= MODERATE:
            _ = self.quick_try

    def losslessly(self, efforts: Sequence[int]) -> Lossless:
        image = Image.fromarray(self.picture.pixels)
        apart = Lossless(write_lossless(image, efforts), self.alpha)
        if self.picture.alpha is None:
            return apart
        image.putalpha(Image.fromarray(self.picture.alpha))
        return min(Lossless(write_lossless(image, efforts), {}), apart, key=lambda found: found.size)

    def lossless_serves(self, limit: int) -> bool:
        """Whether pixels and alpha have at most `limit` bytes; a quick try may deny it of many."""
        if not fits_lossless(self.width, self.height):
            return False
        if self.width * self.height > SMALL and self.quick_try.result() > LOSSLESS_PROMISING * limit:
            return False
        return self.lossless.size <= limit


class Attempt:
    """The files that a picture may become."""

    def __init__(
        self, kept: Kept, model: Model, effort: int, noise: float = 0, enhance: bool = False, scale: int = 1
    ) -> None:
        self.kept, self.picture, self.model, self.effort = kept, kept.picture, model, effort
        self.noise, self.enhance, self.scale = noise, enhance, scale
        self.latest: tuple[bytes, Latents] | None = None  # the last payload, and what it says
        self.drafted: Draft | None = None  # of the last rough file

    def reduced(self, scale: int) -> Attempt:
        """The same for a coded picture that is smaller by a scale."""
        return Attempt(self.kept, self.model, self.effort, self.noise, self.enhance, scale)

    @cached_property
    def coded(self) -> NDArray[np.uint8]:
        """The pixels (h, w, 3) that are coded."""
        return reduced(self.picture.pixels, self.scale) if self.scale > 1 else self.picture.pixels

    def file(
        self, payload: bytes, learned: Learned | None, alpha: Mapping[Box, bytes], enhance: bool = False
    ) -> bytes:
        done = Stages(noise=min(math.ceil(4 * self.noise), 255))
        if learned and enhance:
            done = replace(done, enhance=networks.fingerprint(ENHANCE))
        if learned and self.scale > 1:
            upscale = networks.fingerprint(network_name(self.scale))
            done = replace(done, upscale=upscale, scale=self.scale)
        kept, gray, boxes = self.kept, self.picture.gray, {**self.picture.metadata, **alpha}
        return serialise(Container(kept.width, kept.height, gray, payload, learned, boxes, done))

    @property
    def fixed(self) -> int:
        """Bytes of a file that do not depend on quality."""
        return len(self.file(b"", None, self.kept.alpha))

    def losslessly(self) -> bytes:
        """The file that keeps every pixel."""
        return self.file(self.kept.lossless.payload, None, self.kept.lossless.alpha)

    def lossless_within(self, limit: int) -> bytes | None:
        """The lossless file if it has at most `limit` bytes, as far as it is tried."""
        if not self.kept.lossless_serves(limit - len(self.file(b"", None, {}))):
            return None
        data = self.losslessly()  # with lengths, which take bytes too
        return data if len(data) <= limit else None

    def at(self, quality: float) -> bytes:
        """The file at a quality, 0 to 100; a lossless one if it is worth having instead.

        It is enhanced if that was asked for and raises the PSNR.
        """
        units = round(quality * QUALITY_UNITS)
        given = self.model, self.coded, units, self.effort
        latents = descent.encode_latents(*given, drafted=self.take_draft(units))
        self.kept.begin_quick_try()  # now, as networks would miss the core that it takes
        size = self.coded.shape[0], self.coded.shape[1]
        header, payload, latents = pipeline.write_checked(self.model, latents, size)
        self.latest = payload, latents
        plain = self.file(payload, header, self.kept.alpha)
        if lossless := self.lossless_within(len(plain) + LOSSLESS_WORTH):
            return lossless
        if self.enhance:
            enhanced = self.file(payload, header, self.kept.alpha, enhance=True)
            if self.psnr(enhanced) >= self.psnr(plain) + HELPS:
                return enhanced
        return plain

    def rough(self, quality: float) -> bytes:
        """About the file at a quality: without effort, and without being read again."""
        self.drafted = None  # two at a time may not fit into memory
        large = self.coded.size > 3 * LARGE
        descends = self.effort > 0 and not large
        drafted = descent.draft(self.model, self.coded, round(quality * QUALITY_UNITS), descends)
        header, payload = pipeline.write_latents(self.model, drafted.latents)
        self.latest = payload, drafted.latents
        self.drafted = None if large else drafted
        return self.file(payload, header, self.kept.alpha, self.enhance)

    def take_draft(self, units: int) -> Draft | None:
        """The last rough file's draft if it is at this quality in hundredths; not kept, as it is used up."""
        drafted, self.drafted = self.drafted, None
        return drafted if drafted and drafted.latents.quality == units else None

    def psnr(self, data: bytes) -> float:
        """PSNR in dB of a file's pixels; infinite where they are equal."""
        figure = psnr_of(self.picture.pixels, self.decoded(data))
        return math.inf if figure is None else figure

    def decoded(self, data: bytes) -> NDArray[np.uint8]:
        """The pixels (H, W, 3) of a file; the payload that was last written is not read again."""
        container = parse(data)
        known = self.latest[1] if self.latest and self.latest[0] == container.payload else None
        return decode_pixels(container, pipeline.whole((container.height, container.width)), known)


def check_input(width: int, height: int) -> None:
    """Raises ImageError for a picture that no reader accepts."""
    try:
        check_size(width, height, MAX_PIXELS)
    except LimitError as error:
        raise ImageError(f"cannot be coded: {error}") from error
