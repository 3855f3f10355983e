"""Small pictures of large files at a fraction of a decode: from a box, or from the low bands of y_hat.

Large files have a thumbnail in a box. A larger one than that is made without most of the synthesis:

    small picture ◄── one matrix ◄── y_hat ◄── means ◄── symbols, z

The synthesis is nearly linear in its low bands: the mean of a patch that it makes, or of a part of that, is
nearly a matrix of the first channels of y_hat at the patch's position. This matrix is fitted to each picture,
by least squares on a few windows that the synthesis really decodes. So it fits every model and quality, and
nothing has to be stored.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from aecodec.arrays import Floats, Pixels
from aecodec.container import CELL, PATCH, Box, Container, LearnedHeader
from aecodec.decoder.decoding import alpha_of, decode_picture, has_alpha, picture_of
from aecodec.decoder.reconstruction import decode_y_of_symbols
from aecodec.entropy.coder import Latents
from aecodec.errors import AecodecError
from aecodec.model.registry import MEANS, Model, model_with
from aecodec.model.tiling import CORE, Tile, cell_grid, scale_window, tiles
from aecodec.parallel import for_each, tiles_at_once
from aecodec.picture import Picture
from aecodec.picture.thumbnail import read_thumbnail, resized, thumbnail_size

FACTORS = (16, 8, 4)  # by which a picture is reduced: a pixel for a patch, or for a part of one
GAP = 2  # times as large as a thumbnail is what it is resized from; with less, mean errors exceed 2 levels
KEPT = 48  # channels of y_hat that are used: the first ones, which are the low bands; 96 gain nothing
MEANS_HALO = 1  # cells; with the 4 of a full decode means take 1.5 times as long
WINDOW = 8  # cells each way of what is synthesised to fit the matrix
WINDOW_HALO = 1  # cell
WINDOWS = 8  # of them: 2 % of a picture of 24 megapixels
RIDGE = 1.0  # squared quantisation steps, by which channels that hardly vary stay without effect
SMALLEST = 1024  # pixels of the shorter side, below which there are not enough windows


def decode_thumbnail(container: Container, limit: int) -> Picture:
    """The Picture of a file with sides of at most `limit` pixels, 1 or more; proportions are kept.

    It is not enlarged. Where it is far smaller than the picture, stages after the coding and drawn white and
    black are left out. Raises as `decode_picture` does.
    """
    width, height = thumbnail_size((container.width, container.height), limit)
    notes: tuple[str, ...] = ()
    try:
        if (stored := stored_thumbnail(container)) and max(stored.pixels.shape) >= max(width, height):
            rows, columns = stored.pixels.shape[:2]
            return resized(stored, (width, height), (columns, rows))
    except AecodecError as error:
        notes = (f"its thumbnail is damaged, and made anew: {error}",)
    picture = decode_small(container, (width, height))
    return replace(picture, notes=(*picture.notes, *notes))


def stored_thumbnail(container: Container) -> Picture | None:
    """The thumbnail that a file holds, if it does, with alpha where the whole picture has it.

    Raises BitstreamError where it is damaged.
    """
    if Box.THUMBNAIL not in container.boxes:
        return None
    image = read_thumbnail(container.boxes[Box.THUMBNAIL], (container.width, container.height))
    samples = np.asarray(image.convert("RGBA"))
    alpha = samples[..., 3] if has_alpha(container) else None
    return picture_of(container, samples, alpha)


def decode_small(container: Container, size: tuple[int, int]) -> Picture:
    """The Picture of a file at a size (width, height) that is not larger, from its payload."""
    width, height = size
    factor = factor_for(container, (GAP * width, GAP * height))
    if factor == 1:
        return resized(decode_picture(container), size, (container.width, container.height))
    rows, columns = container.coded_size
    return resized(decode_reduced(container, factor), size, (columns / factor, rows / factor))


def factor_for(container: Container, size: tuple[int, int]) -> int:
    """The largest of FACTORS by which the picture can be reduced and be as large as `size` (width, height).

    It is 1 where there is none.
    """
    height, width = container.coded_size
    if container.learned is None or min(width, height) < SMALLEST:
        return 1
    fitting = (factor for factor in FACTORS if width >= factor * size[0] and height >= factor * size[1])
    return next(fitting, 1)


def decode_reduced(container: Container, factor: int) -> Picture:
    """The Picture of a learned file, its sides divided by one of FACTORS, rounded up, before its stages."""
    assert container.learned
    height, width = (-(-side // factor) for side in container.coded_size)
    alpha = alpha_of(container, (slice(0, container.height), slice(0, container.width)))
    if alpha is not None:
        alpha = np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.BOX))
    pixels = reduce_learned(container, container.learned, factor)[:height, :width]
    return picture_of(container, pixels, alpha)


def reduce_learned(container: Container, header: LearnedHeader, factor: int) -> Pixels:
    """The pixels (32 h / factor, 32 w / factor, 3) of a picture of (h, w) cells."""
    model, grid = model_with(header.fingerprint), cell_grid(*container.coded_size)
    parts = list(tiles(*grid, CORE, MEANS_HALO))
    model.load_ahead(header.quality, *MEANS, "synthesis", together=tiles_at_once(len(parts)))
    latents = model.coder.decode(container.payload, grid, header.quality, header.cdf_set)
    low = np.empty((KEPT, 2 * grid[0], 2 * grid[1]), np.float32)

    def keep(tile: Tile) -> None:
        y_hat = decode_y_of_symbols(model, latents, tile)
        low[:, *scale_window(tile.place, 2)] = y_hat[:KEPT, *scale_window(tile.inner, 2)]

    for_each("decoding", parts, keep)
    samples = [synthesised(model, latents, tile, factor) for tile in windows_to_fit(low)]
    weights, bias = fit(*map(np.concatenate, zip(*samples, strict=True)))
    side = PATCH // factor
    planes = np.tensordot(weights, low, axes=1) + bias[:, None, None]
    cells = planes.reshape(3, side, side, *low.shape[1:]).transpose(3, 1, 4, 2, 0)
    pixels = cells.reshape(side * low.shape[1], side * low.shape[2], 3)
    return np.asarray(np.rint(np.clip(pixels, 0, 255)), np.uint8)


def windows_to_fit(low: Floats) -> list[Tile]:
    """The windows in which the first channels (C, 2h, 2w) vary most: flat ones say nothing of the matrix."""
    rows, columns = (side // 2 for side in low.shape[1:])
    windows = list(tiles(rows, columns, WINDOW, WINDOW_HALO))
    windows.sort(key=lambda tile: -float(low[:3, *scale_window(tile.place, 2)].var((1, 2)).sum()))
    return windows[:: max(len(windows) // (2 * WINDOWS), 1)][:WINDOWS]  # of the livelier half


def synthesised(model: Model, latents: Latents, tile: Tile, factor: int) -> tuple[Floats, Floats]:
    """y_hat (n, KEPT) of the n patches of a tile, and levels (n, 3 * (16 / factor)**2) of their parts."""
    y_hat = decode_y_of_symbols(model, latents, tile)
    (image,) = model.synthesis(latents.quality, y_hat)
    levels = np.clip(image[:, *scale_window(tile.inner, CELL)], 0, 1) * np.float32(255)
    kept = y_hat[:KEPT, *scale_window(tile.inner, 2)]
    side = PATCH // factor
    parts = levels.reshape(3, kept.shape[1], side, factor, kept.shape[2], side, factor).mean((3, 6))
    return kept.reshape(KEPT, -1).T, parts.transpose(1, 3, 0, 2, 4).reshape(-1, 3 * side**2)


def fit(inputs: Floats, outputs: Floats) -> tuple[Floats, Floats]:
    """The matrix (O, I) and the bias (O,) that bring inputs (n, I) nearest to outputs (n, O)."""
    centre, mean = inputs.mean(0), outputs.mean(0)
    centred = inputs - centre
    squares = centred.T @ centred + RIDGE * np.eye(len(centre), dtype=np.float32)
    weights = np.linalg.solve(squares, centred.T @ (outputs - mean)).T.astype(np.float32)
    return weights, mean - weights @ centre
