"""The file of a detector (.aea): data alone, under a checksum.

    89 'AEA' | format, 1 byte | CRC-32 of the rest, 4 bytes | length of the head, 4 bytes | head | arrays

Integers are little endian. The head is JSON: numbers, and the shapes of the arrays, which follow as float32,
little endian, in the order of ARRAYS.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import numpy as np

from aecodec.errors import (
    BitstreamError,
    ChecksumError,
    LimitError,
    NotAecodecError,
    TruncatedError,
    VersionError,
)
from aecodec.uses.anomaly import Detector
from aecodec.uses.cells import FEATURES

MAGIC = b"\x89AEA"
FORMAT = 2  # another one for other features; 1 held those of latents
PREFIX = 13  # bytes before the head
SUFFIX = ".aea"
ARRAYS = ("mean", "deviation", "whitening", "bank", "spread")
NUMBERS = {"threshold": float, "fpr": float, "held_out": int}


def to_bytes(detector: Detector) -> bytes:
    """The file of a detector."""
    head = {name: getattr(detector, name) for name in NUMBERS}
    head["shapes"] = [getattr(detector, name).shape for name in ARRAYS]
    text = json.dumps(head).encode()
    arrays = [np.asarray(getattr(detector, name), "<f4").tobytes() for name in ARRAYS]
    body = b"".join([len(text).to_bytes(4, "little"), text, *arrays])
    return MAGIC + bytes([FORMAT]) + zlib.crc32(body).to_bytes(4, "little") + body


def from_bytes(data: bytes) -> Detector:
    """The detector in a file; raises a BitstreamError that says what is wrong with it."""
    if data[:4] != MAGIC:
        raise NotAecodecError("is no detector: give a file that `aecodec anomaly fit` wrote")
    if len(data) < PREFIX:
        raise TruncatedError(f"ends after {len(data)} bytes: copy it anew")
    if data[4] != FORMAT:
        raise VersionError(f"has format {data[4]}, and this release reads {FORMAT}: fit it anew")
    if zlib.crc32(data[9:]) != int.from_bytes(data[5:9], "little"):
        raise ChecksumError("was changed or cut after it was written: copy it anew, or fit it anew")
    end = PREFIX + int.from_bytes(data[9:13], "little")
    try:
        head = json.loads(data[PREFIX:end])
        numbers: dict[str, Any] = {name: number_type(head[name]) for name, number_type in NUMBERS.items()}
        shapes = [tuple(map(int, shape)) for shape in head["shapes"]]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BitstreamError(f"has no sound head ({type(error).__name__}): fit it anew") from error
    if not (math.isfinite(numbers["threshold"]) and numbers["threshold"] > 0):
        raise LimitError(f"has a threshold of {numbers['threshold']}, which is no distance: fit it anew")
    return Detector(*arrays_of(data[end:], shapes), **numbers)


def arrays_of(data: bytes, shapes: list[tuple[int, ...]]) -> list[Any]:
    """The arrays of these shapes; raises LimitError where they do not fit each other or the data."""
    features = shapes[0][0] if shapes and len(shapes[0]) == 1 else -1
    bank = shapes[-1][0] if len(shapes) == len(ARRAYS) and len(shapes[-1]) == 1 else -1
    expected = [(features,), (features,), (features, features), (bank, features), (bank,)]
    if shapes != expected or features != FEATURES or bank < 1:
        raise LimitError(
            f"has arrays of shapes {shapes}, which are not those of {FEATURES} features: fit it anew"
        )
    sizes = [math.prod(shape) for shape in shapes]
    if len(data) != 4 * sum(sizes):
        raise LimitError(f"has {len(data)} bytes of arrays, not {4 * sum(sizes)}: fit it anew")
    values, ends = np.frombuffer(data, "<f4").astype(np.float32), np.cumsum(sizes)[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(values, ends), shapes, strict=True)]
