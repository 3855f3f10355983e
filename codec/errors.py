"""Every error this library raises on purpose, under one root.

AecodecError
 ├─ ImageError            the input is no image, or not one that can be coded
 ├─ BitstreamError        the data are not a sound aecodec file
 │   ├─ NotAecodecError   they do not begin with the magic bytes
 │   ├─ VersionError      a version of the format that this release does not know
 │   ├─ TruncatedError    they end too early
 │   ├─ TrailingDataError they go on after the end
 │   ├─ ChecksumError     they were changed after they were written
 │   └─ LimitError        dimensions or lengths out of bounds
 ├─ QualityError          the quality is out of range; also a ValueError
 ├─ MetadataError         a kind of metadata that there is not; also a ValueError
 ├─ RegionError           the region is not inside the picture; also a ValueError
 ├─ StageError            a sigma, scale or method that a stage does not offer; also a ValueError
 ├─ TargetError           the size or PSNR that was asked for is out of reach, or no target
 ├─ UnknownModelError     the file was written with a model that is not installed
 ├─ ModelError            a model directory is incomplete or was changed
 └─ MissingExtraError     a feature needs an extra that is not installed
"""

from __future__ import annotations


class AecodecError(Exception):
    """The root of all errors raised on purpose; its text says what was wrong and what to do."""


class ImageError(AecodecError):
    """The input is no image, or not one that can be coded."""


class BitstreamError(AecodecError):
    """The data are not a sound aecodec file."""


class NotAecodecError(BitstreamError):
    """The data do not begin with the magic bytes."""


class VersionError(BitstreamError):
    """The format version is not known to this release."""


class TruncatedError(BitstreamError):
    """The data end too early."""


class TrailingDataError(BitstreamError):
    """The data go on after the end of the file."""


class ChecksumError(BitstreamError):
    """The data were changed after they were written."""


class LimitError(BitstreamError):
    """Dimensions or lengths are out of bounds."""


class QualityError(AecodecError, ValueError):
    """A quality, effort or tune is not offered."""


class MetadataError(AecodecError, ValueError):
    """A kind of metadata is named that there is not."""


class RegionError(AecodecError, ValueError):
    """The region is not inside the picture."""


class StageError(AecodecError, ValueError):
    """A stage does not offer what was asked of it."""


class TargetError(AecodecError):
    """The size or PSNR that was asked for is out of reach, or no target at all."""


class UnknownModelError(AecodecError):
    """The file was written with a model that is not installed."""


class ModelError(AecodecError):
    """A model directory is incomplete or was changed."""


class MissingExtraError(AecodecError):
    """A feature needs an extra that is not installed."""


def one_line(text: object) -> str:
    """Text as it can stand in a line of an error, whatever bytes of a file a library has put into it."""
    words = " ".join(str(text).split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words)
