"""aecodec: learned image compression with one quality knob and its weights in the package.

>>> from PIL import Image
>>> import aecodec
>>> data = aecodec.compress(Image.new("L", (100, 80), 128), quality=60)
>>> aecodec.info(data).mode
'L'

The names in `__all__`, `aecodec.pillow`, what the documentation names, and the command are public. What else
can be imported may change.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from aecodec.api import (
        compress,
        decompress,
        denoise,
        encode_image,
        enhance,
        estimate_noise,
        info,
        upscale,
    )
    from aecodec.contents import Info
    from aecodec.encoder.encoded import Encoded
    from aecodec.encoder.options import DEFAULT_QUALITY, CompressOptions

__version__ = "1.0.0"

__all__ = [
    "DEFAULT_QUALITY",
    "AecodecError",
    "BitstreamError",
    "ChecksumError",
    "CompressOptions",
    "Encoded",
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
    "encode_image",
    "enhance",
    "estimate_noise",
    "info",
    "upscale",
]

_LATE = {  # where names are that are loaded when they are first asked for: the command starts without numpy
    "DEFAULT_QUALITY": "aecodec.encoder.options",
    "CompressOptions": "aecodec.encoder.options",
    "Encoded": "aecodec.encoder.encoded",
    "Info": "aecodec.contents",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LATE.get(name, "aecodec.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
