"""Checks for --resume whether an existing output is one that the command would make.

An output that is empty, damaged or made with other options is made again. Any other file stays, and its input
fails with an error.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aecodec.cli.files import error_context, read_bytes

if TYPE_CHECKING:
    from aecodec.container import Container
    from aecodec.encoder.options import CompressOptions
    from aecodec.picture import Picture


def was_compressed_with(
    target: Path, picture: Picture, options: CompressOptions, same_command: bool = False
) -> bool:
    """Whether a file holds a picture, coded with these options, as far as the file can tell.

    It does not tell effort, `exact` and how the picture was read. Of learned coding no pixels are compared.
    What the encoder may have chosen by a measurement counts as made with other options, as that leaves no
    trace. With `same_command` an earlier try of this very job wrote the file, and options are not compared.
    Raises AecodecError if the file is neither empty nor an .aec file.
    """
    from aecodec import AecodecError, BitstreamError, NotAecodecError
    from aecodec.container import parse, read_file

    with error_context(target):
        data = read_bytes(target, read_file)
    if not data:
        return False
    try:
        container = parse(data, options.max_pixels)
        same_options = same_command or (
            coding_matches(container, options)
            and size_matches(container, len(data), options)
            and stages_match(container, picture, options)
        )
        return same_options and picture_matches(container, picture, options)
    except NotAecodecError as error:
        raise AecodecError(f"{target} exists and is no aecodec file: remove it or name another") from error
    except BitstreamError:
        return False


def coding_matches(container: Container, options: CompressOptions) -> bool:
    """Whether the options ask for the coding of a file, and leave the encoder no choice of another."""
    from aecodec.container import hundredths
    from aecodec.encoder.encoder import DOWNSCALED_BELOW
    from aecodec.encoder.options import DEFAULT_QUALITY
    from aecodec.model.registry import model_named

    learned, sized = container.learned, is_sized(options)
    quality = DEFAULT_QUALITY if options.quality is None else options.quality
    if options.psnr is not None:
        return False
    if learned is None:
        return options.lossless or sized  # which takes what is lossless wherever it fits
    return (
        not options.lossless
        and learned.fingerprint == model_named(options.model_name).fingerprint
        and (sized or hundredths(learned.quality) == hundredths(quality))
        and (sized or options.reduce != "auto" or quality > DOWNSCALED_BELOW)
    )


def is_sized(options: CompressOptions) -> bool:
    """Whether a number of bytes is the target."""
    return (options.max_bytes, options.bpp) != (None, None)


def size_matches(container: Container, size: int, options: CompressOptions) -> bool:
    """Whether a file of `size` bytes is within the limits of the options, and no better one would be."""
    from aecodec.encoder.rate_control import WELL_USED

    if not is_sized(options):
        return True
    pixels = container.width * container.height
    limit = int(options.bpp * pixels / 8 if options.bpp is not None else options.max_bytes or 0)
    best = container.learned is None or container.learned.quality == 100
    return size <= limit and (best or size >= WELL_USED * limit)


def stages_match(container: Container, picture: Picture, options: CompressOptions) -> bool:
    """Whether the options ask for the stages of a file; "auto" for the noise that is measured."""
    from aecodec.encoder.encoder import NOISY, stages_of
    from aecodec.restoration.denoising import denoise_measured

    noise = options.denoise or 0.0
    if isinstance(noise, str):
        _, noise = denoise_measured(picture, least=NOISY)
    if container.learned is None:
        return container.stages == stages_of(noise)
    scale = 1 if options.reduce == "auto" else int(options.reduce)
    return container.stages == stages_of(noise, options.enhance, scale)


def picture_matches(container: Container, picture: Picture, options: CompressOptions) -> bool:
    """Whether a file is of a picture: by size, mode and metadata, and by pixels if these are kept exactly."""
    from aecodec.container import Box
    from aecodec.decoder.decoding import OF_PIXELS, decode_picture, has_alpha
    from aecodec.picture.alpha import blacken_hidden

    metadata = {box: content for box, content in container.boxes.items() if box not in OF_PIXELS}
    if (
        (container.height, container.width) != picture.pixels.shape[:2]
        or (container.shown_gray, has_alpha(container)) != (picture.gray, picture.alpha is not None)
        or metadata != picture.metadata
        or (Box.THUMBNAIL in container.boxes and "thumbnail" in options.strip)
    ):
        return False
    if container.learned or options.denoise:
        return True
    expected = picture if options.lossless or options.exact else blacken_hidden(picture)
    decoded = decode_picture(container)
    same_alpha = np.array_equal(decoded.alpha, picture.alpha)  # type: ignore[arg-type]
    return same_alpha and np.array_equal(decoded.pixels, expected.pixels)


def is_picture(target: Path, make: Callable[[], bytes], max_pixels: int) -> bool:
    """Whether a picture file shows, within one level, the picture of the file that `make` makes.

    False for an empty file; raises AecodecError for any other file.
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
