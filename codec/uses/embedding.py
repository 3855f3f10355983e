"""Vectors by which near duplicates are found: rescaled, recompressed, cropped, brighter, blurred, gray.

latents ──► colours of 16x16 patches ──► luma of 16x16 cells ──► DCT ──► 63 numbers, of length 1

Colours of patches are a linear map of the first latents. It is fitted at each quality of each model, on a
picture of coloured noise, so that vectors of models and qualities can be compared. That takes a third of a
second, once. Each picture also has the vectors of 18 crops, which are compared with whole pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aecodec.api import ImageLike, decompress_picture
from aecodec.arrays import Floats
from aecodec.model.registry import model_with
from aecodec.picture import Picture, Pixels
from aecodec.picture.alpha import fill_hidden
from aecodec.plain_reading import read_plainly, without_options
from aecodec.progress import track
from aecodec.uses.latents import STRIDE, PictureLatents, of_file, of_pixels

QUALITY = 50.0  # of the analysis of pictures, the default of `compress`
LEADING = 24  # latents that colours of patches are fitted on: what they miss is 0.7 % of the range
NOISE_SIDE = 384  # pixels of the picture that the fit sees: 576 patches
NOISE_SLOPE = 1.2  # its amplitudes fall as frequency to this power, as those of photographs do
ROUNDING = 1 / 12  # squared steps: variance of the latents' rounding, which the fit expects
CELLS = 16  # of luma, each way, of which the DCT is taken
KEPT = 8  # frequencies of the DCT, each way: with 12 crops differ less from other pictures
SIZE = KEPT * KEPT - 1  # numbers of a vector; the mean luma is none of them
CROPS = (0.95, 0.9)  # sides of crops, of 1
THUMBNAIL = 32  # pixels each way of the thumbnail that latents give
LEAST_SIDE, MOST_SIDE = 256, 512  # pixels of the shorter side, between which pictures are brought
LONGEST = 2048  # pixels of the longer side
FLAT = 0.02  # deviation of luma, of 1, below which there is nothing to compare: flat blue has 0.012
SIMILAR = 0.72  # cosine from which on two pictures are near duplicates. On 32 photographs in 13 variants each
# those of one are at 0.79 or more, those of different ones at 0.65 or less: docs/uses.md
COMPONENTS = 31  # in the bound of a cosine, which has 32 numbers: docs/uses.md has 15 to 47
TILE = 1000, 500  # vectors and crops that are compared at once: 2 MB of bounds, which stay in the cache
TOLERANCE = 1e-5  # more than what sums of 63 products of float32 are off, which must not hide a pair

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True, slots=True)
class Embedding:
    """What is compared of a picture.

    vector: (63,), of length 1, or all zeros for a picture that is flat.
    crops: (18, 63), the vectors of its crops.
    thumbnail: (32, 32, 3), the picture as its latents show it, stretched.
    """

    vector: Floats
    crops: Floats
    thumbnail: Pixels


def embed(image: ImageLike) -> Embedding:
    """The embedding of a picture, which is as `aecodec.compress` takes it; raises ImageError."""
    return of_latents(of_pixels(resized(read_plainly(image)), QUALITY))


def embed_compressed(data: bytes) -> Embedding:
    """The embedding of a file (.aec): no pixels are decoded, unless it is lossless and has no latents.

    Raises a BitstreamError that says what is wrong with the data, UnknownModelError.
    """
    with without_options():
        latents = of_file(data)
        return of_latents(latents) if latents else embed(decompress_picture(data))


def resized(picture: Picture) -> Pixels:
    """The pixels of a picture that is neither so small that patches show little, nor larger than helps."""
    pixels = fill_hidden(picture).pixels
    height, width = pixels.shape[:2]
    scale = float(np.clip(1, LEAST_SIDE / min(height, width), MOST_SIDE / min(height, width)))
    if scale > 1:
        scale = LEAST_SIDE / min(height, width)
    size = min(round(width * scale), LONGEST), min(round(height * scale), LONGEST)
    if size == (width, height):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))


def of_latents(latents: PictureLatents) -> Embedding:
    """The embedding of a picture by its latents."""
    colours = patch_colours(latents)
    luma = colours @ LUMA
    vector, *crops = (layout(luma, box) for box in boxes(*luma.shape))
    thumbnail = np.stack([resampled(colours[..., c], THUMBNAIL) for c in range(3)], axis=2)
    levels = np.rint(255 * np.clip(thumbnail, 0, 1)).astype(np.uint8)
    return Embedding(vector, np.stack(crops), levels)


def patch_colours(latents: PictureLatents) -> Floats:
    """The mean colours (h, w, 3) of patches, about [0, 1]."""
    leading = latents.y[:LEADING].astype(np.float32)
    weights = weights_at(latents.model.fingerprint, latents.quality)
    flat = leading.reshape(LEADING, -1).T @ weights[:-1] + weights[-1]
    return np.ascontiguousarray(flat.reshape(*leading.shape[1:], 3), np.float32)


@lru_cache(maxsize=64)
def weights_at(fingerprint: bytes, quality: float) -> Floats:
    """The linear map (25, 3) from the leading latents and 1 to colours of patches: ridge regression."""
    model = model_with(fingerprint)
    pixels = coloured_noise()
    patches = NOISE_SIDE // STRIDE
    colours = pixels.reshape(patches, STRIDE, patches, STRIDE, 3).mean((1, 3)).reshape(-1, 3) / 255
    leading = of_pixels(pixels, quality, model).y[:LEADING].reshape(LEADING, -1).T
    inputs = np.concatenate([leading, np.ones((len(leading), 1))], axis=1).astype(np.float64)
    ridge = np.diag([*[ROUNDING * len(inputs)] * LEADING, 0])
    return np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ colours).astype(np.float32)


def coloured_noise() -> Pixels:
    """A picture (384, 384, 3) of noise whose spectrum is like that of photographs, the same in every run."""
    random, side = np.random.default_rng(0), NOISE_SIDE
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = 1
    spectra = np.fft.rfft2(random.normal(size=(3, side, side))) / frequency**NOISE_SLOPE
    luma, red, blue = (plane / plane.std() for plane in np.fft.irfft2(spectra, (side, side)))
    colours = np.stack([luma + 0.3 * red, luma - 0.15 * (red + blue), luma + 0.3 * blue], axis=2)
    pixels: Pixels = np.clip(128 + 50 * colours, 0, 255).astype(np.uint8)
    return pixels


def boxes(height: int, width: int) -> Iterator[tuple[float, float, float, float] | None]:
    """The whole (None), then crops (left, top, right, bottom) in the middle, at sides and in corners."""
    yield None
    for side in CROPS:
        rest = 1 - side
        for x in (0, 0.5, 1):
            for y in (0, 0.5, 1):
                left, top = width * x * rest, height * y * rest
                yield left, top, left + width * side, top + height * side


def resampled(plane: Floats, side: int, box: tuple[float, float, float, float] | None = None) -> Floats:
    """A box of a plane (h, w), stretched to (side, side)."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box), np.float32)


def layout(luma: Floats, box: tuple[float, float, float, float] | None) -> Floats:
    """The vector (63,) of a box of luma (h, w): its lowest frequencies, the higher ones raised.

    As spectra fall with frequency, each coefficient is multiplied by its frequency plus 1.
    """
    cells = resampled(luma, CELLS, box)
    if cells.std() < FLAT:
        return np.zeros(SIZE, np.float32)
    transform, weights = cosines()
    coefficients = (transform @ cells @ transform.T * weights).reshape(-1)[1:]
    return np.asarray(coefficients / np.linalg.norm(coefficients), np.float32)


@lru_cache(maxsize=1)
def cosines() -> tuple[Floats, Floats]:
    """The first rows (8, 16) of the DCT-II, whose scale is of no account, and the weights (8, 8)."""
    row, place = np.arange(KEPT)[:, None], np.arange(CELLS)
    transform = np.cos(np.pi * (place + 0.5) * row / CELLS)
    transform[0] /= np.sqrt(2)
    weights = np.hypot(row, row.T) + 1
    return transform.astype(np.float32), weights.astype(np.float32)


def similar_pairs(vectors: Floats, crops: Floats, least: float = SIMILAR) -> list[tuple[int, int, float]]:
    """Pairs (i < j) of N pictures whose cosine is at least `least`, with the cosine, the most similar first.

    The cosine of a pair is the largest among that of the two vectors (N, 63) and those of either vector with
    the crops (N, 18, 63) of the other picture. Vectors have length 1, or 0.

    The search is exact. Only where `bounded` allows `least` are all 63 numbers multiplied.
    """
    others = np.concatenate([vectors[:, None], crops], axis=1, dtype=np.float32)  # (N, 19, 63)
    views, others = others.shape[1], others.reshape(-1, others.shape[2])
    axes = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors).eigenvectors[:, : -COMPONENTS - 1 : -1]
    rows, columns = bounded(vectors, axes), bounded(others, axes)
    pairs = [(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32))]
    for row in track("comparing", range(0, len(rows), TILE[0])):
        for column in range(0, len(columns), TILE[1]):
            bounds = rows[row : row + TILE[0]] @ columns[column : column + TILE[1]].T
            possible = np.flatnonzero(bounds >= least - TOLERANCE)
            first, view = row + possible // bounds.shape[1], column + possible % bounds.shape[1]
            cosines = np.einsum("ij,ij->i", vectors[first], others[view])
            kept = (cosines >= least) & (first != view // views)
            if kept.any():
                pairs.append((first[kept], view[kept] // views, cosines[kept]))
    first, second, cosines = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    low, high = np.minimum(first, second), np.maximum(first, second)
    order = np.argsort(-cosines, kind="stable")
    _, best = np.unique((low * len(vectors) + high)[order], return_index=True)  # of each pair the first
    chosen = order[np.sort(best)]
    return list(zip(low[chosen].tolist(), high[chosen].tolist(), cosines[chosen].tolist(), strict=True))


def bounded(vectors: Floats, axes: NDArray[np.float64]) -> Floats:
    """Vectors (N, 63) as 32 numbers, whose products are never less than those of the vectors.

    They are the components along the axes (63, 31), which are orthonormal, and the length of the rest, by the
    inequality of Cauchy and Schwarz.
    """
    leading = vectors @ axes.astype(np.float32)
    rest = np.einsum("ij,ij->i", vectors, vectors) - np.einsum("ij,ij->i", leading, leading)
    return np.column_stack([leading, np.sqrt(np.maximum(rest, 0) + TOLERANCE)])


def groups(count: int, pairs: Iterable[tuple[int, int, float]]) -> list[list[int]]:
    """Groups of two or more of `count` pictures, each joined to another of its group by a pair."""
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = item = parent[parent[item]]
        return item

    for first, second, _ in pairs:
        parent[root(max(first, second))] = root(min(first, second))
    members_by_root: dict[int, list[int]] = {}
    for item in range(count):
        members_by_root.setdefault(root(item), []).append(item)
    return [members for members in members_by_root.values() if len(members) > 1]


def in_two_dimensions(thumbnails: NDArray[np.uint8]) -> Floats:
    """Positions (N, 2), in [0, 1], of pictures on a map, from their thumbnails (N, 32, 32, 3).

    They are the two principal components of the colours of 4x4 cells. Pictures of like colours in like places
    lie together.
    """
    side = THUMBNAIL // 4
    cells = thumbnails.reshape(len(thumbnails), 4, side, 4, side, 3).mean((2, 4)).reshape(len(thumbnails), -1)
    centred = cells - cells.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    positions = np.zeros((len(centred), 2))
    positions[:, : min(2, len(axes))] = centred @ axes[:2].T
    low, span = positions.min(0), np.ptp(positions, axis=0)
    return np.asarray((positions - low) / np.where(span > 0, span, 1), np.float32)
