"""Containers to pictures: pixels by either coding, after the restoration that the file asks for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aecodec.arrays import Window
from aecodec.container import Box, Container
from aecodec.decoder.reconstruction import reconstruct
from aecodec.entropy.coder import Latents
from aecodec.errors import LimitError, RegionError
from aecodec.model.registry import MEANS, Model, model_with
from aecodec.model.tiling import cell_grid, decoder_tiles
from aecodec.parallel import tiles_at_once
from aecodec.picture import Picture, to_gray
from aecodec.picture.clipping import Clipper, read_clipping
from aecodec.picture.lossless import fits_lossless, read_pixels, tiles_have_alpha
from aecodec.picture.metadata import sound
from aecodec.restoration import networks
from aecodec.restoration.enhancement import NETWORK as ENHANCE
from aecodec.restoration.filtering import restored
from aecodec.restoration.upscaling import LEARNED, enlarged, network_name

OF_PIXELS = (Box.ALPHA, Box.CLIPPING, Box.THUMBNAIL)  # boxes that are not metadata


def decode_picture(container: Container, region: tuple[int, int, int, int] | None = None) -> Picture:
    """The Picture of a container, or of a region (left, top, width, height). Notes tell of unknown boxes.

    Raises BitstreamError, UnknownModelError, and RegionError for a region that is not inside.
    """
    size = container.width, container.height
    window = window_of(region or (0, 0, *size), size)
    alpha = alpha_of(container, window)  # first: what is wrong with it is known sooner than the pixels
    samples = decode_samples(container, window)
    if samples.shape[2] == 4:
        alpha = samples[..., 3]
    return picture_of(container, samples, alpha)


def alpha_of(container: Container, window: Window) -> NDArray[np.uint8] | None:
    """The plane (H, W) of the box for alpha under a window; raises BitstreamError."""
    size = container.width, container.height
    has_alpha(container)
    if Box.ALPHA not in container.boxes:
        return None
    return read_pixels(container.boxes[Box.ALPHA], size, not fits_lossless(*size), window)[..., 1]


def picture_of(container: Container, samples: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> Picture:
    """The Picture of samples (H, W, 3 or 4) and alpha (H, W), with the container's metadata and notes."""
    boxes, notes = sound(container.boxes)
    metadata = {box: data for box, data in boxes.items() if box not in OF_PIXELS}
    left_out = {"boxes": container.unknown, "stages": dict(container.stages.unknown)}
    for what, unknown in left_out.items():
        if unknown:
            types = ", ".join(map(str, sorted(unknown)))
            notes.append(f"its {what} of types {types}, of a later release, are left out")
    pixels = to_gray(samples[..., :3]) if container.gray else samples[..., :3]
    return Picture(pixels, container.shown_gray, alpha, metadata, tuple(notes))


def has_alpha(container: Container) -> bool:
    """Whether the picture has alpha; raises BitstreamError where it has two, or a faulty WebP."""
    size = container.width, container.height
    within = container.learned is None and tiles_have_alpha(container.payload, size, container.tiled)
    if within and Box.ALPHA in container.boxes:
        raise LimitError("the WebP inside has alpha, and so has a box: the file is damaged")
    return within or Box.ALPHA in container.boxes


def decode_samples(
    container: Container, window: Window, latents: Latents | None = None, model: Model | None = None
) -> NDArray[np.uint8]:
    """The samples (H, W, 3), or (H, W, 4) where a lossless payload has alpha, under a window, after stages.

    Those of a gray picture may differ. A caller that has already read `latents` and `model` passes them.
    """
    header, stages, size = container.learned, container.stages, container.coded_size
    if header is None:
        return read_pixels(container.payload, (container.width, container.height), container.tiled, window)
    model = model or model_with(header.fingerprint)
    finish = clipper_of(container) if Box.CLIPPING in container.boxes else None
    full_window = slice(0, size[0]), slice(0, size[1])
    staged = bool(stages.enhance or stages.upscale)
    together = tiles_at_once(len(decoder_tiles(size, full_window if staged else window)))
    model.load_ahead(header.quality, *MEANS, "synthesis", together=together)
    if latents is None:
        latents = model.coder.decode(container.payload, cell_grid(*size), header.quality, header.cdf_set)
    if not staged:
        return reconstruct(model, latents, window, finish=finish)
    enhancer = networks.network_with(ENHANCE, stages.enhance) if stages.enhance else None
    if stages.upscale:
        networks.network_with(network_name(stages.scale), stages.upscale)
    pixels = reconstruct(model, latents, full_window)
    if enhancer:
        pixels = restored(enhancer, pixels, finish=None if stages.upscale else finish)
    if stages.upscale:
        pixels = enlarged(pixels, stages.scale, LEARNED, finish)
    return pixels[window]


def clipper_of(container: Container) -> Clipper:
    """What draws the white and black of a picture, before its levels are rounded."""
    return Clipper(read_clipping(container.boxes[Box.CLIPPING], (container.width, container.height)))


def window_of(region: tuple[int, int, int, int], size: tuple[int, int]) -> Window:
    """Rows and columns of a region (left, top, width, height); raises RegionError outside `size` (W, H)."""
    left, top, width, height = region
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[0] or top + height > size[1]:
        raise RegionError(
            f"region {','.join(map(str, region))} is not inside {size[0]}x{size[1]} pixels: move or shrink it"
        )
    return slice(top, top + height), slice(left, left + width)
