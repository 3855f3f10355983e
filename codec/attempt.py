"""Finds the file for a picture: the options, the attempts that they lead to, and the choice between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codec import descent, pipeline, stages
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
from codec.clipping_choice import choose_clipping, has_clipped
from codec.decoding import decode_pixels
from codec.descent import EFFORT, MOST_EFFORT, Draft
from codec.entropy import Latents
from codec.errors import ImageError, LimitError, QualityError, StageError, TargetError
from codec.lossless_candidate import LosslessCandidate
from codec.model import TUNED, Model, model_named
from codec.picture import Picture, is_achromatic
from codec.picture import psnr as psnr_of
from codec.picture.alpha import blacken_hidden, fill_hidden
from codec.picture.lossless import fits_lossless
from codec.stages import networks
from codec.stages.denoising import denoise_measured
from codec.stages.enhancement import NETWORK as ENHANCE
from codec.stages.upscaling import SCALES, network_name, reduced
from codec.targets import of_psnr, within_bytes

DEFAULT_QUALITY = 50.0
LOSSLESS_WORTH = 32  # bytes that a lossless file may be larger than the learned one
# (quality, dB), linear in between: what all of 32 validation photographs exceed, and scanned text does not.
POOR_BELOW = ((0.0, 15.0), (20.0, 23.9), (50.0, 30.3), (80.0, 34.2), (100.0, 36.0))
POOR_LOSSLESS_WORTH = 2  # times as large a lossless file is taken instead of a poor one
LARGE = 2**25  # pixels above which no draft is kept, whose descent takes 10 bytes a pixel
NOISY = 5.0  # of 255: "auto" leaves less noise than this, which photographs may have
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
    tune: str = "psnr"
    exact: bool = False

    @property
    def model_name(self) -> str:
        return TUNED[self.tune] if self.model is None else self.model

    @property
    def keeps_hidden(self) -> bool:
        """Whether the colours of invisible pixels are coded as they are."""
        return self.exact or self.lossless

    def check(self) -> None:
        """Raises QualityError, TargetError or StageError for what cannot be asked for."""
        if self.tune not in TUNED:
            raise QualityError(f"no model is tuned for {self.tune!r}: choose {' or '.join(TUNED)}")
        if self.tune != "psnr":
            if self.model is not None:
                raise QualityError(f"tune {self.tune} chooses the model: leave out one of the two")
            if self.enhance or self.reduce == "auto":
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
    exact = options.keeps_hidden
    cleaned, noise = clean(picture if exact else fill_hidden(picture), options.denoise)
    candidate = LosslessCandidate(cleaned if exact else blacken_hidden(cleaned))
    scale = 1 if isinstance(reduce, str) else int(reduce)
    attempt = Attempt(cleaned, candidate, model, options, noise, scale)
    max_bytes = options.max_bytes if options.bpp is None else int(options.bpp * width * height / 8)
    if options.lossless:
        return attempt, attempt.losslessly()
    if max_bytes is not None:
        check_metadata(cleaned, max_bytes)
        return within(attempt, max_bytes, SCALES if reduce == "auto" else ())
    if options.psnr is not None:
        return attempt, of_psnr(attempt.at, attempt.rough, attempt.psnr, options.psnr)
    if reduce == "auto":
        return reduced_if_better(attempt, options.quality)
    return attempt, attempt.at_or_lossless(options.quality)


def check_metadata(picture: Picture, limit: int) -> None:
    """Raises TargetError where metadata alone take all the bytes that a file may have."""
    if (size := size_of_metadata(picture)) >= limit:
        raise TargetError(f"the metadata takes {size} of {limit} bytes: --strip, or raise the limit")


def size_of_metadata(picture: Picture) -> int:
    """Bytes in the boxes of metadata."""
    return sum(map(len, picture.metadata.values()))


def clean(picture: Picture, noise: float | str | None) -> tuple[Picture, float]:
    """The picture without noise of a deviation (of 255), and the deviation that was removed.

    "auto" measures the noise, and leaves as much as a photograph may have. None leaves all.
    """
    if isinstance(noise, str):
        if noise != "auto":
            raise StageError(f"denoise {noise!r} is no noise: give its deviation, or auto")
        return denoise_measured(picture, least=NOISY)
    return (stages.denoise(picture, noise), noise) if noise else (picture, 0.0)


def within(attempt: Attempt, limit: int, scales: Sequence[int]) -> tuple[Attempt, bytes]:
    """The best file of at most `limit` bytes: lossless, or reduced by the first of the scales that fits."""
    if lossless := attempt.lossless_within(limit):
        return attempt, lossless
    try:
        return attempt, within_bytes(attempt.at, attempt.rough, limit, attempt.fixed)
    except TargetError as error:
        if not scales:
            if size := size_of_metadata(attempt.picture):
                raise TargetError(f"{error}, of which the metadata takes {size}: --strip") from error
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


class Attempt:
    """The files that a picture may become."""

    def __init__(
        self,
        picture: Picture,
        candidate: LosslessCandidate,
        model: Model,
        options: Options,
        noise: float = 0,
        scale: int = 1,
    ) -> None:
        self.picture, self.candidate, self.model, self.options = picture, candidate, model, options
        self.noise, self.scale = noise, scale
        self.latest: tuple[bytes, Latents] | None = None  # the last payload, and what it says
        self.drafted: Draft | None = None  # of the last rough file

    def reduced(self, scale: int) -> Attempt:
        """The same for a coded picture that is smaller by a scale."""
        return Attempt(self.picture, self.candidate, self.model, self.options, self.noise, scale)

    @cached_property
    def coded(self) -> NDArray[np.uint8]:
        """The pixels (h, w, 3) that are coded."""
        return reduced(self.picture.pixels, self.scale) if self.scale > 1 else self.picture.pixels

    @cached_property
    def is_clipped(self) -> bool:
        """Whether the picture has areas of pure white or black."""
        return has_clipped(self.picture.pixels)

    @cached_property
    def is_gray_as_rgb(self) -> bool:
        """Whether the picture is RGB of three equal channels, which are coded as gray."""
        return not self.picture.gray and is_achromatic(self.picture.pixels)

    def file(
        self, payload: bytes, learned: Learned | None, extra: Mapping[Box, bytes], enhance: bool = False
    ) -> bytes:
        done = Stages(noise=min(math.ceil(4 * self.noise), 255))
        if learned and enhance:
            done = replace(done, enhance=networks.fingerprint(ENHANCE))
        if learned and self.scale > 1:
            upscale = networks.fingerprint(network_name(self.scale))
            done = replace(done, upscale=upscale, scale=self.scale)
        gray, boxes = self.picture.gray, {**self.picture.metadata, **extra}
        if learned and self.is_gray_as_rgb:
            gray, learned = True, replace(learned, gray_as_rgb=True)
        height, width = self.picture.pixels.shape[:2]
        tiled = learned is None and not fits_lossless(width, height)
        return serialise(Container(width, height, gray, payload, learned, boxes, done, tiled=tiled))

    @property
    def fixed(self) -> int:
        """Bytes of a file that do not depend on quality."""
        return len(self.file(b"", None, self.candidate.alpha))

    def losslessly(self) -> bytes:
        """The file that keeps every pixel."""
        return self.file(self.candidate.lossless.payload, None, self.candidate.lossless.alpha)

    def lossless_within(self, limit: int) -> bytes | None:
        """The lossless file if it has at most `limit` bytes, as far as it is tried."""
        if not self.candidate.serves(limit - len(self.file(b"", None, {}))):
            return None
        data = self.losslessly()  # with lengths, which take bytes too
        return data if len(data) <= limit else None

    def at(self, quality: float) -> bytes:
        """The file at a quality, 0 to 100; a lossless one if it is worth having instead.

        It is enhanced if that was asked for and raises the PSNR.
        """
        units = round(quality * QUALITY_UNITS)
        given = self.model, self.coded, units, self.options.effort
        latents = descent.encode_latents(*given, drafted=self.take_draft(units))
        self.candidate.begin_quick_try()  # now, as networks would miss the core that it takes
        size = self.coded.shape[0], self.coded.shape[1]
        header, payload, latents = pipeline.write_checked(self.model, latents, size)
        self.latest = payload, latents
        plain = self.file(payload, header, self.candidate.alpha)
        if lossless := self.lossless_within(len(plain) + LOSSLESS_WORTH):
            return lossless
        enhance = False
        if self.options.enhance:
            enhanced = self.file(payload, header, self.candidate.alpha, enhance=True)
            enhance = self.psnr(enhanced) >= self.psnr(plain) + HELPS
            plain = enhanced if enhance else plain
        if not self.is_clipped or not (box := self.clipping(plain)):
            return plain
        return self.file(payload, header, {**self.candidate.alpha, Box.CLIPPING: box}, enhance)

    def at_or_lossless(self, quality: float) -> bytes:
        """The file at a quality, or the lossless one where that is poor and not much smaller."""
        data = self.at(quality)
        if self.scale > 1 or not parse(data).learned:
            return data
        lossless = self.lossless_within(POOR_LOSSLESS_WORTH * len(data))
        qualities, decibels = zip(*POOR_BELOW, strict=True)
        if lossless and self.psnr(data) < float(np.interp(quality, qualities, decibels)):
            return lossless
        return data

    def clipping(self, data: bytes) -> bytes:
        """The box by which a file keeps white and black; empty where it is not worth its bytes."""
        return choose_clipping(self.picture.pixels, self.decoded(data), len(data))

    def rough(self, quality: float) -> bytes:
        """About the file at a quality: without effort, and without being read again."""
        self.drafted = None  # two at a time may not fit into memory
        large = self.coded.size > 3 * LARGE
        descends = self.options.effort > 0 and not large
        drafted = descent.draft(self.model, self.coded, round(quality * QUALITY_UNITS), descends)
        header, payload = pipeline.write_latents(self.model, drafted.latents)
        self.latest = payload, drafted.latents
        self.drafted = None if large else drafted
        return self.file(payload, header, self.candidate.alpha, self.options.enhance)

    def take_draft(self, units: int) -> Draft | None:
        """The last rough file's draft if it is at this quality in hundredths; not kept, as it is used up."""
        drafted, self.drafted = self.drafted, None
        return drafted if drafted and drafted.latents.quality == units else None

    def psnr(self, data: bytes) -> float:
        """PSNR in dB of a file's pixels, weighted by alpha unless exact; infinite where they are equal."""
        alpha = None if self.options.keeps_hidden else self.picture.alpha
        figure = psnr_of(self.picture.pixels, self.decoded(data), alpha)
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
