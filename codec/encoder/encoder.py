"""The encoder of one picture, from the options of `compress` to the file.

options ──► Encoder ──► a lossless candidate, files at one quality or at several ──► the one that serves
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy

import numpy as np

from aecodec.container import (
    CELL,
    QUALITY_UNITS,
    Box,
    Container,
    LearnedHeader,
    Stages,
    hundredths,
    serialise,
)
from aecodec.encoder.clipping import LEAST_SHARE, choose_clipping
from aecodec.encoder.encoded import Encoded
from aecodec.encoder.lossless import (
    LOSSLESS_PROMISING,
    LOSSLESS_WORTH,
    MODERATE,
    POOR_LOSSLESS_WORTH,
    SMALL,
    LosslessCandidate,
    is_poor,
)
from aecodec.encoder.options import DEFAULT_QUALITY, CompressOptions
from aecodec.encoder.quantisation import Quantised, quantised
from aecodec.encoder.rate_control import of_psnr, within_bytes
from aecodec.encoder.refinement import refined
from aecodec.entropy.coder import Latents
from aecodec.errors import AecodecError, TargetError
from aecodec.fields import MAX_FILE
from aecodec.model.registry import model_named
from aecodec.model.tiling import CORE
from aecodec.picture import Picture, check_input, is_achromatic, pure_pixels
from aecodec.picture.alpha import fill_hidden
from aecodec.picture.clipping import ENDS
from aecodec.picture.lossless import fits_lossless
from aecodec.picture.thumbnail import SHARE, WORTH_PIXELS, thumbnails_of
from aecodec.restoration import denoise, networks
from aecodec.restoration.denoising import denoise_measured
from aecodec.restoration.enhancement import NETWORK as ENHANCE
from aecodec.restoration.upscaling import SCALES, downscale, network_name

STATE_KEPT = 2**25  # pixels above which the state of a refinement, 10 bytes a pixel, is not kept
LOADED_ANEW = 2**21  # pixels from which on it pays to load networks for each quality that a search tries
NOISY = 5.0  # of 255: "auto" leaves less noise than this, which photographs may have
HELPS = 0.02  # dB by which a stage must be better than none
DOWNSCALED_BELOW = 10.0  # quality above which "auto" does not try a smaller picture


def encode(picture: Picture, options: CompressOptions, measured: bool = False) -> Encoded:
    """The file of a picture as the options ask for it; raises as `compress`.

    `measured` says that its PSNR will be asked for, so that of a small one a decoder is loaded meanwhile.
    """
    height, width = picture.pixels.shape[:2]
    check_input(width, height, options.max_pixels)
    encoder = Encoder(picture, options)
    quality = DEFAULT_QUALITY if options.quality is None else options.quality
    if options.lossless:
        return encoder.encode_lossless()
    limit = options.max_bytes if options.bpp is None else options.bpp * width * height / 8
    if limit is not None:
        return encoder.encode_within(int(min(limit, MAX_FILE)))
    if options.psnr is not None:
        return encoder.encode_to_psnr(options.psnr)
    if options.reduce == "auto":
        return encoder.encode_downscaled_if_better(quality)
    if measured and width * height <= (CORE * CELL) ** 2:  # one tile
        encoder.model.load_ahead(quality, "synthesis")
    encoded = encoder.encode_at(quality)
    if encoder.scale > 1 or not encoded.container.learned:
        return encoded
    boxes = encoded.container.boxes.items()
    beside = sum(len(data) for box, data in boxes if box is not Box.CLIPPING)  # the same in both files
    lossless = encoder.lossless_within(beside + int(POOR_LOSSLESS_WORTH * (len(encoded.data) - beside)))
    return lossless if lossless and is_poor(quality, encoded.psnr) else encoded


def denoised(picture: Picture, noise: float | str) -> tuple[Picture, float]:
    """The picture without noise of a deviation (of 255), and the deviation that was removed.

    "auto" measures the noise, and leaves as much as a photograph may have.
    """
    if isinstance(noise, str):
        return denoise_measured(picture, least=NOISY)
    return denoise(picture, noise), noise


def stages_of(noise: float, enhance: bool = False, scale: int = 1) -> Stages:
    """What a file says of noise (deviation, of 255) that was removed, and of what its decoder is to do."""
    return Stages(
        noise=min(max(round(4 * noise), 1), 255) if noise else 0,
        enhance=networks.fingerprint(ENHANCE) if enhance else b"",
        upscale=networks.fingerprint(network_name(scale)) if scale > 1 else b"",
        scale=scale,
    )


class Encoder:
    """What is known of a picture while it is encoded: its pixels, its lossless candidate, its last latents.

    `picture` is without noise of the deviation `noise`, of 255. `pixels` (h, w, 3) are those that are coded,
    `scale` times smaller. `keeps_hidden` says whether the colours of invisible ones are coded as they are.
    An RGB picture of three equal channels, `is_gray_as_rgb`, is coded as gray. `thumbnails` are files, the
    best first.
    """

    def __init__(self, picture: Picture, options: CompressOptions) -> None:
        self.options, self.noise = options, 0.0
        self.keeps_hidden = options.exact or options.lossless
        if picture.alpha is not None and not self.keeps_hidden:
            picture = fill_hidden(picture)
        if options.denoise:
            picture, self.noise = denoised(picture, options.denoise)
        self.picture, self.model = picture, model_named(options.model_name)
        limited = options.max_bytes is not None or options.bpp is not None
        searches = limited or options.psnr is not None or options.reduce == "auto"  # among many qualities
        if searches and picture.pixels.size < 3 * LOADED_ANEW:
            self.model = self.model.for_search
        self.scale = 1 if isinstance(options.reduce, str) else int(options.reduce)
        self.pixels = downscale(picture.pixels, self.scale) if self.scale > 1 else picture.pixels
        self.is_gray_as_rgb = not picture.gray and is_achromatic(picture.pixels)
        self.candidate = LosslessCandidate(picture, self.keeps_hidden)
        wanted = picture.pixels.size >= 3 * WORTH_PIXELS and "thumbnail" not in options.strip
        wanted = wanted and not limited  # as pixels need the bytes then
        self.thumbnails = thumbnails_of(picture) if wanted else []
        self.quantised: Quantised | None = None  # of the last rough file

    def downscaled(self, scale: int) -> Encoder:
        """The encoder of the same picture that codes it smaller by a scale."""
        smaller = copy(self)
        smaller.scale, smaller.pixels, smaller.quantised = scale, downscale(self.picture.pixels, scale), None
        return smaller

    def encode_lossless(self) -> Encoded:
        """The file that keeps every pixel."""
        return self.seal(self.candidate.lossless.payload, None, self.candidate.lossless.alpha)

    def lossless_within(self, limit: int) -> Encoded | None:
        """The lossless file if it has at most `limit` bytes, as far as it is tried."""
        candidate, spare = self.candidate, limit - len(self.seal(b"", None, {}).data)
        if candidate.area > SMALL and candidate.quick_try.result() > LOSSLESS_PROMISING * spare:
            return None
        if candidate.lossless.size > spare:
            return None
        encoded = self.encode_lossless()  # with lengths, which take bytes too
        return encoded if len(encoded.data) <= limit else None

    def encode_roughly(self, quality: float) -> Encoded:
        """Much the file at a quality, soon: never refined or lossless, with white and black as they come."""
        large = self.pixels.shape[0] * self.pixels.shape[1] > STATE_KEPT
        self.quantised = None
        quality = hundredths(quality) / QUALITY_UNITS
        unrefined = quantised(self.model, self.pixels, quality, self.options.effort > 0 and not large)
        self.quantised = None if large else unrefined
        coded = self.write(unrefined.latents, checked=False)
        return self.seal(*coded, self.candidate.alpha, self.options.enhance, unrefined.latents)

    def encode_at(self, quality: float, tries_lossless: bool = True) -> Encoded:
        """The file at a quality, 0 to 100; a lossless one if it `tries_lossless` and that is worth having.

        It is enhanced if that was asked for and raises the PSNR.
        """
        quality = hundredths(quality) / QUALITY_UNITS
        unrefined, self.quantised = self.quantised, None  # which is used up
        unrefined = unrefined if unrefined and unrefined.latents.quality == quality else None
        unrefined = unrefined or quantised(self.model, self.pixels, quality, self.options.effort > 0)
        latents = unrefined.latents
        if unrefined.state:
            latents = refined(self.model, self.pixels, latents, unrefined.state, self.options.effort)
        del unrefined  # whose state takes 10 bytes a pixel
        if tries_lossless and SMALL < self.candidate.area <= MODERATE:
            _ = self.candidate.quick_try  # begins now, as networks would miss the core that it takes
        payload, header = self.write(latents)
        alpha = self.candidate.alpha
        encoded = self.seal(payload, header, alpha, latents=latents)
        if tries_lossless and (lossless := self.lossless_within(len(encoded.data) + LOSSLESS_WORTH)):
            return lossless
        if self.options.enhance:
            enhanced = self.seal(payload, header, alpha, True, latents)
            encoded = enhanced if enhanced.psnr >= encoded.psnr + HELPS else encoded
        if not any(pure_pixels(self.picture.pixels, level).mean() >= LEAST_SHARE for level in ENDS):
            return encoded
        if not (clipping := choose_clipping(encoded)):
            return encoded
        enhance = bool(encoded.container.stages.enhance)
        return self.seal(payload, header, {**alpha, Box.CLIPPING: clipping}, enhance, latents)

    def encode_learned(self, quality: float) -> Encoded:
        """The same, never lossless."""
        return self.encode_at(quality, tries_lossless=False)

    def encode_alone(self, quality: float) -> Encoded:
        """The same by networks loaded for this quality, whose last bits differ from those for many."""
        alone = copy(self)
        alone.model, alone.quantised = model_named(self.options.model_name), None
        return alone.encode_learned(quality)

    def encode_to_psnr(self, decibels: float) -> Encoded:
        """The smallest file of at least a PSNR in dB."""
        try:
            return of_psnr(self.encode_at, self.encode_roughly, decibels)
        except TargetError as error:
            if self.keeps_hidden and self.picture.alpha is not None and not self.picture.alpha.all():
                raise TargetError(f"{error}; exact counts invisible pixels too: leave it out") from error
            raise

    def encode_within(self, limit: int) -> Encoded:
        """The best file of at most `limit` bytes: lossless, or at the first of the scales that fits."""
        metadata = sum(map(len, self.picture.metadata.values()))
        if metadata >= max(limit, 1):
            raise TargetError(f"the metadata takes {metadata} of {limit} bytes: --strip, or raise the limit")
        if lossless := self.lossless_within(limit):
            return lossless
        try:
            return self.search_within(limit, SCALES if self.options.reduce == "auto" else ())
        except TargetError as error:
            if metadata:
                raise TargetError(f"{error}, of which the metadata takes {metadata}: --strip") from error
            raise

    def search_within(self, limit: int, scales: Sequence[int] = ()) -> Encoded:
        """The best learned file of at most `limit` bytes, or that of the first of the scales that fits."""
        fixed = len(self.seal(b"", None, self.candidate.alpha).data)
        try:
            varied = self.model is not model_named(self.options.model_name)
            encode_alone = self.encode_alone if varied else self.encode_learned
            return within_bytes(self.encode_learned, self.encode_roughly, encode_alone, limit, fixed)
        except TargetError:
            if not scales:
                raise
            return self.downscaled(scales[0]).search_within(limit, scales[1:])

    def encode_downscaled_if_better(self, quality: float) -> Encoded:
        """The file at a quality, or one of a smaller picture, as large, that comes nearer to the picture."""
        encoded = self.encode_at(quality)
        if quality <= DOWNSCALED_BELOW and encoded.container.learned:
            with suppress(TargetError):
                smaller = self.downscaled(SCALES[0]).search_within(len(encoded.data))
                if smaller.psnr >= encoded.psnr + HELPS:
                    return smaller
        return encoded

    def write(self, latents: Latents, checked: bool = True) -> tuple[bytes, LearnedHeader]:
        """Payload and header of latents.

        Raises AecodecError where a payload that is `checked`, read back, differs from its latents.
        """
        coder, z, quality = self.model.coder, latents.z, latents.quality
        cdf_set = coder.best_cdf_set(z, quality)
        payload = coder.encode(latents, cdf_set)
        if checked:
            read = coder.decode(payload, (z.shape[1], z.shape[2]), quality, cdf_set)
            if not (np.array_equal(read.z, z) and np.array_equal(read.symbols, latents.symbols)):
                raise AecodecError(
                    "the encoder could not read back what it wrote: please report this picture"
                )
        return payload, LearnedHeader(self.model.fingerprint, quality, cdf_set, self.is_gray_as_rgb)

    def seal(
        self,
        payload: bytes,
        header: LearnedHeader | None,
        boxes: Mapping[Box, bytes],
        enhance: bool = False,
        latents: Latents | None = None,
    ) -> Encoded:
        """The file of a payload, with metadata and further boxes; `enhance` is for the decoder to do.

        It holds the best thumbnail that is small beside the payload, if there is one.
        """
        stages = Stages()
        if self.noise or enhance or self.scale > 1:
            stages = stages_of(self.noise, enhance, self.scale) if header else stages_of(self.noise)
        gray = self.picture.gray or bool(header and header.gray_as_rgb)
        height, width = self.picture.pixels.shape[:2]
        tiled = header is None and not fits_lossless(width, height)
        boxes = {**self.picture.metadata, **boxes}
        if small := next((file for file in self.thumbnails if len(file) * SHARE <= len(payload)), None):
            boxes[Box.THUMBNAIL] = small
        container = Container(width, height, gray, payload, header, boxes, stages, tiled=tiled)
        data = serialise(container)
        return Encoded(data, container, latents, self.model, self.picture, self.keeps_hidden)
