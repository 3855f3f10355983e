"""Checks for --resume whether an existing output is one that the command would make.

An output that is empty, damaged or made with other options is made again. Any other file stays, and its input
fails with an error.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aecodec.cli.files import error_context, read_bytes

if TYPE_CHECKING:
    from aecodec.container import Box, Container
    from aecodec.encoder.options import CompressOptions
    from aecodec.picture import Picture


def was_compressed_with(target: Path, options: CompressOptions) -> bool:
    """Whether a file holds a picture that was coded with these options, as far as the file can tell.

    Raises AecodecError if it is neither empty nor an .aec file.
    """
    from aecodec import AecodecError, BitstreamError, NotAecodecError
    from aecodec.container import parse, read_file

    with error_context(target):
        data = read_bytes(target, read_file)
    if not data:
        return False
    try:
        container = parse(data)
    except NotAecodecError as error:
        raise AecodecError(f"{target} exists and is no aecodec file: remove it or name another") from error
    except BitstreamError:
        return False
    return (
        coding_matches(container, options)
        and size_matches(container, len(data), options)
        and is_stripped(container.boxes, options.strip)
    )


def coding_matches(container: Container, options: CompressOptions) -> bool:
    """Whether the options ask for the coding and the stages of a file, or may choose them."""
    from aecodec.container import hundredths
    from aecodec.encoder.options import DEFAULT_QUALITY
    from aecodec.model.registry import model_named

    learned, stages = container.learned, container.stages
    if isinstance(options.denoise, str):
        denoised = True  # as the picture has it
    else:
        denoised = stages.noise == min(math.ceil(4 * (options.denoise or 0)), 255)
    if learned is None:  # which any options may come to
        return denoised
    if options.psnr is not None:  # of which a file says nothing
        return False
    quality = DEFAULT_QUALITY if options.quality is None else options.quality
    any_quality = (options.max_bytes, options.bpp) != (None, None)
    return (
        denoised
        and not options.lossless
        and learned.fingerprint == model_named(options.model_name).fingerprint
        and (any_quality or hundredths(learned.quality) == hundredths(quality))
        and (options.enhance or not stages.enhance)
        and options.reduce in ("auto", stages.scale)
    )


def size_matches(container: Container, size: int, options: CompressOptions) -> bool:
    """Whether a file of `size` bytes is within the limits of the options."""
    pixels = container.width * container.height
    limits = (options.max_bytes, None if options.bpp is None else options.bpp * pixels / 8)
    return all(limit is None or size <= limit for limit in limits)


def is_stripped(metadata: Mapping[Box, bytes], kinds: str | Iterable[str]) -> bool:
    """Whether metadata has none of some kinds."""
    from aecodec.picture import Picture
    from aecodec.picture.stripping import strip

    kept = strip(Picture(np.zeros((1, 1, 3), np.uint8), metadata=metadata), kinds).metadata
    return dict(kept) == dict(metadata)


def is_picture(target: Path, make: Callable[[], bytes], max_pixels: int) -> bool:
    """Whether a file is the picture file that `make` makes, or at least its picture within one level.

    A machine of another kind may have made that. False for an empty file; AecodecError for any other.
    """
    from aecodec import AecodecError, ImageError
    from aecodec.options import ReadOptions
    from aecodec.picture.reading import read_picture

    options = ReadOptions(max_pixels=max_pixels)
    try:
        if target.stat().st_size == 0:
            return False
        picture = read_picture(target, options)
    except (OSError, ImageError) as error:
        raise AecodecError(
            f"{target} exists and is no whole picture ({error}): remove it or name another output"
        ) from error
    if reason := difference(picture, read_picture(io.BytesIO(make()), options)):
        raise AecodecError(f"{target} exists and {reason}: remove it or name another output")
    return True


def difference(picture: Picture, expected: Picture) -> str:
    """How a picture differs from the one that is expected, by more than a level; empty if it does not."""
    height, width = picture.pixels.shape[:2]
    if picture.pixels.shape != expected.pixels.shape:
        return f"has {width}x{height} pixels, not {expected.pixels.shape[1]}x{expected.pixels.shape[0]}"
    apart = np.abs(np.subtract(picture.pixels, expected.pixels, dtype=np.int16)).max()
    same_alpha = np.array_equal(picture.alpha, expected.alpha)  # type: ignore[arg-type]
    if apart > 1 or picture.gray != expected.gray or not same_alpha:
        return "shows another picture than would be made"
    return "" if picture.metadata == expected.metadata else "has other metadata than it would get"
