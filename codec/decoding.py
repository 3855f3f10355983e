"""Containers to pictures: pixels by either coding, after the stages that the file asks for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aecodec import pipeline
from aecodec.bitstream import QUALITY_UNITS, Box, Container, Learned
from aecodec.engine import Finish, Window, sharing
from aecodec.entropy import Latents
from aecodec.errors import LimitError, RegionError
from aecodec.model import Model, model_with
from aecodec.picture import Picture, to_gray
from aecodec.picture.clipping import Clipper, read_clipping
from aecodec.picture.lossless import fits_lossless, read_pixels, tiles_have_alpha
from aecodec.picture.metadata import sound
from aecodec.stages import networks
from aecodec.stages.enhancement import NETWORK as ENHANCE
from aecodec.stages.restoration import restored
from aecodec.stages.upscaling import LEARNED, enlarged, network_name

OF_PIXELS = (Box.ALPHA, Box.CLIPPING)  # boxes that are not metadata


def decode_picture(container: Container, region: tuple[int, int, int, int] | None = None) -> Picture:
    """The Picture of a container, or its region (left, top, width, height); its notes say what is not known.

    Raises BitstreamError, UnknownModelError, and RegionError for a region that is not inside.
    """
    size = container.width, container.height
    part = window_of(region or (0, 0, *size), size)
    alpha = None  # read first: what is wrong with it is known sooner than the pixels
    has_alpha(container)
    if Box.ALPHA in container.boxes:
        alpha = read_pixels(container.boxes[Box.ALPHA], size, not fits_lossless(*size), part)[..., 1]
    samples = decode_samples(container, part)
    if samples.shape[2] == 4:
        alpha = samples[..., 3]
    known, notes = sound(container.boxes)
    metadata = {box: data for box, data in known.items() if box not in OF_PIXELS}
    if unknown := ", ".join(map(str, sorted(container.unknown))):
        notes.append(f"its boxes of types {unknown}, of a later release, are left out")
    return Picture(colours(container, samples), container.shown_gray, alpha, metadata, tuple(notes))


def has_alpha(container: Container) -> bool:
    """Whether the picture has alpha; raises BitstreamError where it has two, or a faulty WebP."""
    size = container.width, container.height
    within = container.learned is None and tiles_have_alpha(container.payload, size, container.tiled)
    if within and Box.ALPHA in container.boxes:
        raise LimitError("the WebP inside has alpha, and so has a box: the file is damaged")
    return within or Box.ALPHA in container.boxes


def decode_pixels(
    container: Container, part: Window, known: Latents | None = None, model: Model | None = None
) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of a part, rows and columns.

    `known` are the latents if they were read before, and `model` is that of the file if it is at hand.
    """
    return colours(container, decode_samples(container, part, known, model))


def colours(container: Container, samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) among samples (H, W, 3 or 4)."""
    return to_gray(samples[..., :3]) if container.gray else samples[..., :3]


def decode_samples(
    container: Container, part: Window, known: Latents | None = None, model: Model | None = None
) -> NDArray[np.uint8]:
    """The samples (H, W, 3), or (H, W, 4) where a lossless payload has alpha, of a part."""
    if container.learned:
        return decode_learned(container, container.learned, part, known, model)
    return read_pixels(container.payload, (container.width, container.height), container.tiled, part)


def finish_of(container: Container) -> Finish | None:
    """What a file has done to levels before they are rounded."""
    if Box.CLIPPING not in container.boxes:
        return None
    return Clipper(read_clipping(container.boxes[Box.CLIPPING], (container.width, container.height)))


def decode_learned(
    container: Container,
    learned: Learned,
    part: Window,
    known: Latents | None = None,
    model: Model | None = None,
) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of a part, rows and columns, of a learned picture, after its stages."""
    model, wanted, size = model or model_with(learned.fingerprint), container.stages, container.coded_size
    finish = finish_of(container)
    part_alone = part if not (wanted.enhance or wanted.upscale) else pipeline.whole(size)
    together = sharing(len(pipeline.tiles_of(size, part_alone)))
    model.load_ahead(learned.quality / QUALITY_UNITS, *pipeline.MEANS, "synthesis", together=together)
    latents = known or pipeline.read_latents(model, learned, container.payload, size)
    if not (wanted.enhance or wanted.upscale):
        return pipeline.synthesise(model, latents, part, finish=finish)
    enhancer = networks.network_with(ENHANCE, wanted.enhance) if wanted.enhance else None
    if wanted.upscale:
        networks.network_with(network_name(wanted.scale), wanted.upscale)
    pixels = pipeline.synthesise(model, latents, pipeline.whole(size))
    if enhancer:
        pixels = restored(enhancer, pixels, finish=None if wanted.upscale else finish)
    if wanted.upscale:
        pixels = enlarged(pixels, wanted.scale, LEARNED, finish)
    return pixels[part]


def window_of(region: tuple[int, int, int, int], size: tuple[int, int]) -> Window:
    """Rows and columns of a region (left, top, width, height); raises RegionError outside `size` (W, H)."""
    left, top, width, height = region
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[0] or top + height > size[1]:
        raise RegionError(
            f"region {','.join(map(str, region))} is not inside {size[0]}x{size[1]} pixels: move or shrink it"
        )
    return slice(top, top + height), slice(left, left + width)
