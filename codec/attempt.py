"""Finds the file for a picture: the options, the attempts that they lead to, and the choice between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from aecodec import descent, pipeline, stages
from aecodec.arguments import number, truth, whole_number
from aecodec.bitstream import (
    ANY_SIZE,
    MAX_FILE,
    MAX_PIXELS,
    QUALITY_UNITS,
    Box,
    Container,
    Learned,
    Stages,
    parse,
    serialise,
)
from aecodec.clipping_choice import choose_clipping, has_clipped
from aecodec.decoding import decode_pixels, finish_of
from aecodec.descent import EFFORT, MOST_EFFORT, Draft
from aecodec.entropy import Latents
from aecodec.errors import ImageError, QualityError, StageError, TargetError
from aecodec.fidelity import MEASURED_WHOLE, Fidelity, sampled_psnr
from aecodec.lossless_candidate import LosslessCandidate
from aecodec.model import TUNED, Model, model_named
from aecodec.picture import Picture, is_achromatic
from aecodec.picture import psnr as psnr_of
from aecodec.picture.alpha import blacken_hidden, fill_hidden
from aecodec.picture.lossless import fits_lossless
from aecodec.picture.opening import check_input
from aecodec.stages import networks
from aecodec.stages.denoising import LARGEST_SIGMA, denoise_measured
from aecodec.stages.enhancement import NETWORK as ENHANCE
from aecodec.stages.upscaling import SCALES, network_name, reduced
from aecodec.targets import of_psnr, within_bytes

DEFAULT_QUALITY = 50.0
LOSSLESS_WORTH = 32  # bytes that a lossless file may be larger than the learned one
# (quality, dB), linear in between: what all of 32 validation photographs exceed, and scanned text does not.
POOR_BELOW = ((0.0, 15.0), (20.0, 23.9), (50.0, 30.3), (80.0, 34.2), (100.0, 36.0))
POOR_LOSSLESS_WORTH = 2  # times as large a lossless file is taken instead of a poor one
LARGE = 2**25  # pixels above which neither drafts, 10 bytes a pixel for a descent, nor pixels are kept
LOADED_ANEW = 2**21  # pixels from which on it pays to load networks for each quality that a search tries
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
    max_bytes: float | None = None
    bpp: float | None = None
    psnr: float | None = None
    denoise: float | str | None = None
    enhance: bool = False
    reduce: int | str = 1
    tune: str | None = None  # one of TUNED, or the one that suits the rest
    exact: bool = False

    @property
    def goes_by_psnr(self) -> bool:
        """Whether something is asked for that PSNR decides."""
        return self.psnr is not None or self.enhance or self.reduce == "auto"

    @property
    def model_name(self) -> str:
        if self.model is not None:
            return self.model
        return TUNED[self.tune or ("psnr" if self.goes_by_psnr else "visual")]

    @property
    def keeps_hidden(self) -> bool:
        """Whether the colours of invisible pixels are coded as they are."""
        return self.exact or self.lossless

    @property
    def targets(self) -> dict[str, float]:
        """Those that are given, by name."""
        every = {"max_bytes": self.max_bytes, "bpp": self.bpp, "psnr": self.psnr}
        return {name: target for name, target in every.items() if target is not None}

    @property
    def searches(self) -> bool:
        """Whether many qualities will be tried."""
        return self.reduce == "auto" or bool(self.targets)

    def check(self) -> Options:
        """The same with plain numbers; raises QualityError, TargetError or StageError for what is none."""
        plain = self.plain()
        plain.check_choices()
        plain.check_ranges()
        return plain

    def plain(self) -> Options:
        """The same with plain numbers, texts and truth values; raises as `check` for what is none."""
        if self.tune is not None and (not isinstance(self.tune, str) or self.tune not in TUNED):
            raise QualityError(f"no model is tuned for {self.tune!r}: choose {' or '.join(TUNED)}")
        if self.model is not None and not isinstance(self.model, str):
            raise QualityError(f"model {self.model!r} is no name: give that of an installed model")
        targets = {name: number(name, target, TargetError) for name, target in self.targets.items()}
        noise = self.denoise
        if noise is not None and not isinstance(noise, str):
            noise = number("denoise", noise, StageError)
        return replace(
            self,
            quality=number("quality", self.quality, QualityError),
            effort=whole_number("effort", self.effort, QualityError),
            lossless=truth("lossless", self.lossless, TargetError),
            enhance=truth("enhance", self.enhance, StageError),
            exact=truth("exact", self.exact, ImageError),
            max_bytes=targets.get("max_bytes"),
            bpp=targets.get("bpp"),
            psnr=targets.get("psnr"),
            denoise=noise,
            reduce="auto" if is_auto(self.reduce) else whole_number("reduce", self.reduce, StageError),
        )

    def check_choices(self) -> None:
        """Raises as `check` for what excludes each other."""
        if self.tune is not None:
            if self.model is not None:
                raise QualityError(f"tune {self.tune} chooses the model: leave out one of the two")
            if self.tune != "psnr" and (self.enhance or self.reduce == "auto"):
                raise StageError(f"enhance and reduce auto go by PSNR: leave them out with tune {self.tune}")
        if self.lossless + len(self.targets) > 1:
            raise TargetError("lossless, max_bytes, bpp and psnr exclude each other: give one")
        if self.lossless and (self.denoise not in (None, 0) or self.enhance or self.reduce != 1):
            raise StageError("lossless coding keeps every pixel: it goes without denoise, enhance and reduce")
        if self.reduce == "auto" and self.psnr is not None:
            raise StageError("reduce auto has no meaning beside a PSNR: choose 1, 2, 3 or 4")

    def check_ranges(self) -> None:
        """Raises as `check` for numbers that are not offered."""
        if not 0 <= self.quality <= 100:
            raise QualityError(f"quality {self.quality} is out of range: choose 0 to 100")
        for name, target in self.targets.items():
            if not 0 < target < math.inf:
                raise TargetError(f"{name} {target} is no target: give a positive number")
        if self.effort not in range(MOST_EFFORT + 1):
            raise QualityError(f"effort {self.effort} is out of range: choose 0 to {MOST_EFFORT}")
        if self.reduce not in ("auto", 1, *SCALES):
            raise StageError(f"pictures cannot be reduced by {self.reduce!r}: choose auto, 1, 2, 3 or 4")
        check_noise(self.denoise)


def is_auto(value: object) -> bool:
    return isinstance(value, str) and value == "auto"


def check_noise(noise: float | str | None) -> None:
    """Raises StageError for a noise that cannot be removed."""
    if isinstance(noise, str) and noise != "auto":
        raise StageError(f"denoise {noise!r} is no noise: give its deviation, or auto")
    if isinstance(noise, float) and not 0 <= noise <= LARGEST_SIGMA:
        raise StageError(f"denoise {noise:g} is out of range: choose 0 to {LARGEST_SIGMA:g}, or auto")


def compress_picture(
    picture: Picture, options: Options, max_pixels: int = MAX_PIXELS
) -> tuple[Attempt, bytes]:
    """The file of a picture, and the attempt that made it; raises as `compress`."""
    options = options.check()
    model, reduce = model_named(options.model_name), options.reduce
    height, width = picture.pixels.shape[:2]
    check_input(width, height, max_pixels)
    exact = options.keeps_hidden
    cleaned, noise = clean(picture if exact else fill_hidden(picture), options.denoise)
    candidate = LosslessCandidate(cleaned if exact else blacken_hidden(cleaned))
    scale = 1 if isinstance(reduce, str) else int(reduce)
    if options.searches and width * height < LOADED_ANEW:
        model = model.for_search
    attempt = Attempt(cleaned, candidate, model, options, noise, scale)
    max_bytes = options.max_bytes if options.bpp is None else options.bpp * width * height / 8
    if options.lossless:
        return attempt, attempt.losslessly()
    if max_bytes is not None:
        limit = int(min(max_bytes, MAX_FILE))
        check_metadata(cleaned, limit)
        return within(attempt, limit, SCALES if reduce == "auto" else ())
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
    if quality <= REDUCED_BELOW and parse(data, ANY_SIZE).learned:
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
        self.shown: tuple[bytes, NDArray[np.uint8]] | None = None  # the file last decoded, its pixels

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
        header, payload = pipeline.write_checked(self.model, latents, size)
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
        if self.scale > 1 or not parse(data, ANY_SIZE).learned:
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

    def fidelity(self, data: bytes, exact: bool = False) -> Fidelity:
        """How near a file comes to the picture, of a large one by a sample unless it is to be exact."""
        known = self.latents_of(container := parse(data, ANY_SIZE))
        staged = container.stages.enhance or self.scale > 1
        weighted = self.picture.alpha is not None and not self.options.keeps_hidden
        small = self.picture.pixels.size <= 3 * MEASURED_WHOLE
        if exact or known is None or staged or weighted or small:
            return Fidelity(self.psnr(data), sampled=False)
        given = self.model, known, self.picture.pixels, self.picture.gray
        return Fidelity(sampled_psnr(*given, finish_of(container)), sampled=True)

    def latents_of(self, container: Container) -> Latents | None:
        """What the payload says if it is the one that was last written."""
        return self.latest[1] if self.latest and self.latest[0] == container.payload else None

    def decoded(self, data: bytes) -> NDArray[np.uint8]:
        """The pixels (H, W, 3) of a file; the payload that was last written is not read again.

        Nor is the file that was last decoded, whose pixels may not be changed.
        """
        if self.shown and self.shown[0] == data:
            return self.shown[1]
        container = parse(data, ANY_SIZE)
        known = self.latents_of(container)
        size = container.height, container.width
        pixels = decode_pixels(container, pipeline.whole(size), known, self.model)
        self.shown = None if pixels.size > 3 * LARGE else (data, pixels)
        return pixels
