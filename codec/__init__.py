"""aecodec: learned image compression with one quality knob and its weights in the package.

>>> from PIL import Image
>>> import aecodec
>>> data = aecodec.compress(Image.new("L", (100, 80), 128), quality=60)
>>> aecodec.info(data).mode
'L'
"""

from __future__ import annotations

from aecodec.api import Info, compress, decompress, denoise, enhance, estimate_noise, info, upscale
from aecodec.attempt import DEFAULT_QUALITY
from aecodec.errors import (
    AecodecError,
    BitstreamError,
    ChecksumError,
    ImageError,
    LimitError,
    MetadataError,
    MissingExtraError,
    ModelError,
    NotAecodecError,
    QualityError,
    RegionError,
    StageError,
    TargetError,
    TrailingDataError,
    TruncatedError,
    UnknownModelError,
    VersionError,
)

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_QUALITY",
    "AecodecError",
    "BitstreamError",
    "ChecksumError",
    "ImageError",
    "Info",
    "LimitError",
    "MetadataError",
    "MissingExtraError",
    "ModelError",
    "NotAecodecError",
    "QualityError",
    "RegionError",
    "StageError",
    "TargetError",
    "TrailingDataError",
    "TruncatedError",
    "UnknownModelError",
    "VersionError",
    "__version__",
    "compress",
    "decompress",
    "denoise",
    "enhance",
    "estimate_noise",
    "info",
    "upscale",
]
