"""Whether an output that an earlier run left is what this command would make, so that --resume may leave it.

What is empty or an unfinished, damaged or differently made file of ours is made again. What is anything else
stays: it is the failure of its input.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aecodec.cli.files import concerning, read_bytes

if TYPE_CHECKING:
    from aecodec.container import Box, Container
    from aecodec.encoder.options import CompressOptions


def compressed_so(target: Path, options: CompressOptions) -> bool:
    """Whether a file holds a picture that was coded with these options, as far as it says.

    Raises AecodecError where it is neither empty nor a file of ours.
    """
    from aecodec import AecodecError, BitstreamError, NotAecodecError
    from aecodec.container import parse, read_file

    with concerning(target):
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
        agrees(container, options)
        and within(container, len(data), options)
        and is_stripped(container.boxes, options.strip)
    )


def agrees(container: Container, options: CompressOptions) -> bool:
    """Whether the coding of a file and its stages are those that the options ask for, or may choose."""
    from aecodec.container import hundredths
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
    free = (options.max_bytes, options.bpp) != (None, None)
    return (
        denoised
        and not options.lossless
        and learned.fingerprint == model_named(options.model_name).fingerprint
        and (free or hundredths(learned.quality) == hundredths(options.own_quality))
        and (options.enhance or not stages.enhance)
        and options.reduce in ("auto", stages.scale)
    )


def within(container: Container, size: int, options: CompressOptions) -> bool:
    """Whether a file has as few bytes as the options allow."""
    pixels = container.width * container.height
    limits = (options.max_bytes, None if options.bpp is None else options.bpp * pixels / 8)
    return all(limit is None or size <= limit for limit in limits)


def is_stripped(metadata: Mapping[Box, bytes], kinds: str | Iterable[str]) -> bool:
    """Whether taking out some kinds of metadata would change nothing."""
    from aecodec.picture import Picture
    from aecodec.picture.stripping import strip

    kept = strip(Picture(np.zeros((1, 1, 3), np.uint8), metadata=metadata), kinds).metadata
    return dict(kept) == dict(metadata)


def is_picture_of(target: Path, width: int, height: int, strip: Collection[str] = ()) -> bool:
    """Whether a file is a whole picture of this size; False for an empty one, AecodecError for any other."""
    from aecodec import AecodecError, ImageError
    from aecodec.picture.reading import read_picture

    try:
        if target.stat().st_size == 0:
            return False
        picture = read_picture(target)
    except (OSError, ImageError) as error:
        raise AecodecError(
            f"{target} exists and is no whole picture ({error}): remove it or name another output"
        ) from error
    found = picture.pixels.shape[:2]
    if found != (height, width):
        raise AecodecError(
            f"{target} exists and has {found[1]}x{found[0]} pixels, not {width}x{height}: "
            "remove it or name another output"
        )
    if not is_stripped(picture.metadata, strip):
        raise AecodecError(
            f"{target} exists and holds metadata that --strip names: remove it or name another output"
        )
    return True
