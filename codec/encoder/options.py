"""What `compress` can be asked for. Light to import: the command reads its options here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aecodec.errors import ImageError, QualityError, StageError, TargetError
from aecodec.options import ReadOptions, number, option, true_or_false, whole_number

DEFAULT_QUALITY = 50.0  # where none is given, and no target
MOST_EFFORT = 9
TUNED = {"visual": "visual", "psnr": "base"}  # our models by what their pictures are best by


def check_quality(name: str, value: Any) -> float:
    """A quality, 0 to 100."""
    if not 0 <= (quality := number(name, value, QualityError)) <= 100:
        raise QualityError(f"{name} {quality} is out of range: choose 0 to 100")
    return quality


def check_target(name: str, value: Any) -> float:
    """A number of bytes, of bits a pixel or of dB."""
    if not 0 < (target := number(name, value, TargetError)) < math.inf:
        raise TargetError(f"{name} {target} is no target: give a positive number")
    return target


def check_effort(name: str, value: Any) -> int:
    """An effort, 0 to 9."""
    if (effort := whole_number(name, value, QualityError)) not in range(MOST_EFFORT + 1):
        raise QualityError(f"{name} {effort} is out of range: choose 0 to {MOST_EFFORT}")
    return effort


def check_noise(name: str, value: Any) -> float | str:
    """A deviation of noise that can be removed, or auto."""
    if isinstance(value, str):
        if value != "auto":
            raise StageError(f"denoise {value!r} is no noise: give its deviation, or auto")
        return value
    from aecodec.restoration.denoising import LARGEST_SIGMA

    if not 0 <= (noise := number(name, value, StageError)) <= LARGEST_SIGMA:
        raise StageError(f"{name} {noise:g} is out of range: choose 0 to {LARGEST_SIGMA:g}, or auto")
    return noise


def check_downscaling(name: str, value: Any) -> int | str:
    """A scale at which a picture may be coded, or auto."""
    if isinstance(value, str) and value == "auto":
        return value
    from aecodec.restoration.upscaling import SCALES

    if (scale := whole_number(name, value, StageError)) not in (1, *SCALES):
        raise StageError(f"pictures cannot be reduced by {scale!r}: choose auto, 1, 2, 3 or 4")
    return scale


def check_tune(name: str, value: Any) -> str:
    """What a model of ours is tuned for."""
    if not isinstance(value, str) or value not in TUNED:
        raise QualityError(f"no model is tuned for {value!r}: choose {' or '.join(TUNED)}")
    return value


def check_model(name: str, value: Any) -> str:
    """A name."""
    if not isinstance(value, str):
        raise QualityError(f"{name} {value!r} is no name: give that of an installed model")
    return value


def check_strip(name: str, value: Any) -> tuple[str, ...]:
    """Kinds of metadata."""
    from aecodec.picture.stripping import kinds_of

    return kinds_of(value)


@dataclass(frozen=True, kw_only=True)
class CompressOptions(ReadOptions):
    """The options of `compress`. The command has an option for each field, of the same name.

    When the object is made, QualityError, TargetError, StageError, ImageError or MetadataError is raised for
    a value that is not offered, and for options that exclude each other.
    """

    quality: float | None = option(
        None, "Higher is better and larger, 0 to 100. Default: 50.", check_quality, short="-q"
    )
    max_bytes: float | None = option(
        None,
        "As good as fits these bytes, as 20k or 1.5M.",
        check_target,
        metavar="BYTES",
        parse="bytes_of",
    )
    bpp: float | None = option(None, "As good as fits these bits a pixel.", check_target)
    psnr: float | None = option(None, "As small as this PSNR in dB allows.", check_target)
    lossless: bool = option(
        False, "Keep every pixel as it is, invisible ones too.", true_or_false(TargetError)
    )
    exact: bool = option(False, "Keep the colours of invisible pixels.", true_or_false(ImageError))
    denoise: float | str | None = option(
        None,
        "Remove noise first: off, auto, or its deviation of 255.",
        check_noise,
        metavar="NOISE",
        parse="noise_of",
    )
    enhance: bool = option(
        False, "Have artefacts removed on decoding, where that helps.", true_or_false(StageError)
    )
    reduce: int | str = option(
        1,
        "Code a smaller picture, enlarged on decoding: off, auto, 2, 3 or 4.",
        check_downscaling,
        metavar="SCALE",
        parse="downscaling_of",
    )
    strip: str | Iterable[str] = option(
        (),
        "Metadata to leave out: exif, gps (coordinates in EXIF, XMP and text), icc, xmp (which may hold GPS "
        "too), text (comments, IPTC, resolution), thumbnail or all. Several with commas, or again.",
        check_strip,
        metavar="KINDS",
        repeats=True,
    )
    effort: int = option(
        0, "Smaller files, 0 to 9; from 3 on each step up takes twice the time.", check_effort, short="-e"
    )
    tune: str | None = option(
        None,
        "Best to the eye (visual) or by PSNR (psnr). Default: visual; psnr with what goes by it.",
        check_tune,
    )
    model: str | None = option(
        None, "An installed model, see `aecodec models`, in place of --tune's.", check_model
    )

    def check_together(self) -> None:
        """Raises QualityError, StageError or TargetError for options that exclude each other."""
        if self.tune is not None:
            if self.model is not None:
                raise QualityError(f"tune {self.tune} chooses the model: leave out one of the two")
            if self.tune != "psnr" and (self.enhance or self.reduce == "auto"):
                raise StageError(f"enhance and reduce auto go by PSNR: leave them out with tune {self.tune}")
        if (self.quality is not None) + self.lossless + len(self.targets) > 1:
            raise TargetError("quality, lossless, max_bytes, bpp and psnr exclude each other: give one")
        if self.lossless and (self.denoise not in (None, 0) or self.enhance or self.reduce != 1):
            raise StageError("lossless coding keeps every pixel: it goes without denoise, enhance and reduce")
        if self.reduce == "auto" and self.psnr is not None:
            raise StageError("reduce auto has no meaning beside a PSNR: choose 1, 2, 3 or 4")

    @property
    def model_name(self) -> str:
        """The name of the chosen model; by default that of the model which fits the other options."""
        if self.model is not None:
            return self.model
        by_psnr = self.psnr is not None or self.enhance or self.reduce == "auto"
        return TUNED[self.tune or ("psnr" if by_psnr else "visual")]

    @property
    def targets(self) -> dict[str, float]:
        """The targets that are not None, by name."""
        every = {"max_bytes": self.max_bytes, "bpp": self.bpp, "psnr": self.psnr}
        return {name: target for name, target in every.items() if target is not None}
