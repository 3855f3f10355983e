"""Textures with defects drawn into them, by which detectors of anomalies are measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from aecodec.signatures import READABLE_SUFFIXES

Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]
TILE = 128
KINDS = ("scratch", "spot", "blur", "swap")
REPEATS = 2  # defects of each kind in each tile
VISIBLE = 12.0  # root of the mean squared change, of 255, that a defect has, unless 30 draws have less
CHANGED = 5  # levels from which on a pixel counts as changed


@dataclass(frozen=True, slots=True)
class Texture:
    """Tiles of a texture: to fit on, good ones to test, and bad ones with where they are bad."""

    name: str
    fit: list[Pixels]
    good: list[Pixels]
    bad: list[tuple[str, Pixels, NDArray[np.bool_]]]


def pictures_in(folders: list[Path]) -> list[Path]:
    return sorted(p for folder in folders for p in folder.iterdir() if p.suffix.lower() in READABLE_SUFFIXES)


def textures(folders: list[Path]) -> Iterator[Texture]:
    """The textures of scikit-image and of folders."""
    import skimage.data

    textures_by_name = {name: getattr(skimage.data, name)() for name in ("brick", "grass", "gravel")}
    textures_by_name = {
        name: np.repeat(plane[:, :, None], 3, axis=2) for name, plane in textures_by_name.items()
    }
    for path in pictures_in(folders):
        with Image.open(path) as image:
            textures_by_name[path.stem] = np.asarray(image.convert("RGB"))
    for seed, (name, pixels) in enumerate(textures_by_name.items()):
        others = [other_pixels for other, other_pixels in textures_by_name.items() if other != name]
        yield cut(name, pixels, others, np.random.default_rng(seed))


def cut(name: str, pixels: Pixels, others: list[Pixels], random: np.random.Generator) -> Texture:
    """A texture as a chessboard of tiles."""
    texture = Texture(name, [], [], [])
    for row in range(pixels.shape[0] // TILE):
        for column in range(pixels.shape[1] // TILE):
            tile = pixels[row * TILE :, column * TILE :][:TILE, :TILE]
            if (row + column) % 2 == 0:
                texture.fit.append(tile)
                continue
            texture.good.append(tile)
            for kind in KINDS * REPEATS:
                other = others[random.integers(len(others))]
                texture.bad.append((kind, *visible_defect(tile, kind, other, random)))
    return texture


def visible_defect(
    tile: Pixels, kind: str, other: Pixels, random: np.random.Generator
) -> tuple[Pixels, NDArray[np.bool_]]:
    """A tile with a defect that can be seen, and where it changed the tile."""
    best = 0.0
    for _ in range(30):
        blended, inside = defect(tile.astype(np.float32), kind, other, random)
        drawn = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
        change = drawn.astype(np.float32) - tile
        size = float(np.sqrt(np.square(change[inside]).mean()))
        if size > best:
            best, defective, changed = size, drawn, inside & (np.abs(change).max(2) >= CHANGED)
        if size >= VISIBLE:
            break
    return defective, dilated(changed)


def dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where more than a fifth of 5x5 pixels are set: without single ones, without single gaps."""
    padded = np.pad(mask, 2)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).mean((2, 3)) > 0.2)


def defect(tile: Map, kind: str, other: Pixels, random: np.random.Generator) -> tuple[Map, NDArray[np.bool_]]:
    """A tile (128, 128, 3) with a defect, and where it is."""
    y, x = np.mgrid[:TILE, :TILE].astype(np.float32)
    if kind == "swap":
        side = int(random.integers(28, 44))
        top, left = random.integers(8, TILE - side - 8, 2)
        above, before = (int(random.integers(length - side)) for length in other.shape[:2])
        inside = (y >= top) & (y < top + side) & (x >= left) & (x < left + side)
        swapped = tile.copy()
        swapped[inside] = other[above : above + side, before : before + side].reshape(-1, 3)
        return swapped, inside
    row, column = random.uniform(0.25, 0.75, 2) * TILE
    if kind == "scratch":
        angle, length, width = random.uniform(0, np.pi), random.uniform(40, 80), random.uniform(2, 4)
        along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
        across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle) + 6 * np.sin(along / 15)
        inside = (np.abs(along) < length / 2) & (np.abs(across) < width / 2 + 0.5)
        opacity, colour = 0.85 * inside, random.choice([15, 240]) * np.ones(3)
        return blend(tile, opacity, colour), inside
    if kind == "spot":
        radius, flat = random.uniform(8, 16), random.uniform(0.6, 1)
        distance = np.square((y - row) / radius) + np.square((x - column) / (radius * flat))
        colour = random.uniform(0, 255) * np.ones(3) if random.random() < 0.5 else random.uniform(0, 255, 3)
        mean = tile.mean((0, 1))
        if np.abs(colour - mean).mean() < 60:
            colour = np.where(mean > 128, mean - 90, mean + 90)
        return blend(tile, 0.9 * np.clip((1.15 - distance) * 3, 0, 1), colour), distance < 1
    distance = (np.square(y - row) + np.square(x - column)) / random.uniform(16, 28) ** 2
    image = Image.fromarray(tile.astype(np.uint8)).filter(ImageFilter.GaussianBlur(3))
    return blend(tile, np.clip((1.2 - distance) * 4, 0, 1), np.asarray(image, np.float32)), distance < 1


def blend(tile: Map, opacity: NDArray[np.float64], colour: NDArray[np.float64]) -> Map:
    share = opacity[:, :, None]
    return np.asarray(tile * (1 - share) + share * colour, np.float32)
