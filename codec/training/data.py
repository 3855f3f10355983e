"""Photographs for training: they are read once, kept as bytes, and cut into random crops."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from aecodec.errors import AecodecError

SUFFIXES = {".avif", ".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}

Pixels = NDArray[np.uint8]  # (H, W, 3)


def encoded_images(sources: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every image in folders (searched deeply), tar archives and single files."""
    for source in sources:
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.suffix.lower() in SUFFIXES and path.is_file():
                    yield str(path), path.read_bytes()
        elif tarfile.is_tarfile(source):
            with tarfile.open(source) as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    if file and Path(member.name).suffix.lower() in SUFFIXES:
                        yield f"{member.name} in {source}", file.read()
        else:
            yield str(source), source.read_bytes()


def decode(named: tuple[str, bytes]) -> Pixels:
    """An image file, with its name, as RGB; raises AecodecError where it is none."""
    name, data = named
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise AecodecError(f"{name} cannot be read as a picture ({error}): take it out") from error


def read_images(sources: list[Path]) -> list[Pixels]:
    """Every image of the sources, in order; raises AecodecError where there is none."""
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(decode, encoded_images(sources)))
    if not images:
        raise AecodecError(f"no images in {', '.join(map(str, sources))}: name folders, archives or files")
    return images


class Crops:
    """Random square crops of a list of images, drawn in proportion to their pixels, flipped and turned."""

    def __init__(self, images: list[Pixels], largest: int, seed: int) -> None:
        self.images = [image for image in images if min(image.shape[:2]) >= largest]
        if not self.images:
            raise AecodecError(f"no image is at least {largest} pixels wide and high: add larger ones")
        pixels = np.array([image.shape[0] * image.shape[1] for image in self.images], dtype=np.float64)
        self.share = pixels / pixels.sum()
        self.random = np.random.default_rng(seed)

    def crop(self, size: int) -> Pixels:
        image = self.images[self.random.choice(len(self.images), p=self.share)]
        top, left = (int(self.random.integers(side - size + 1)) for side in image.shape[:2])
        crop = image[top : top + size, left : left + size]
        if self.random.random() < 0.5:
            crop = crop[:, ::-1]
        return crop.transpose(1, 0, 2) if self.random.random() < 0.25 else crop

    def batch(self, count: int, size: int) -> Tensor:
        """Images (count, 3, size, size) in [0, 1]."""
        return to_tensor(np.stack([self.crop(size) for _ in range(count)]))


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Images (B, H, W, 3) as bytes -> (B, 3, H, W) in [0, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
