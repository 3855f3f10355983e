"""Pictures, metadata, malformed files and checks that several tests share."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageCms

import aecodec
from aecodec.arrays import Floats, Pixels, Window
from aecodec.container import MAGIC, Box, LearnedHeader
from aecodec.entropy.coder import Latents
from aecodec.entropy.hyperprior import scale_indices
from aecodec.entropy.tables import FrequencyTables
from aecodec.model.registry import Model
from aecodec.model.tiling import cell_grid
from aecodec.picture import Picture, psnr

ROOT = Path(__file__).parent.parent
# PYTHONPATH under which other processes import the same aecodec as this one, and the tests.
SAME_PACKAGE = os.pathsep.join([str(Path(aecodec.__file__).parents[1]), str(ROOT)])
MAKE, SOFTWARE, ORIENTATION, EXIF_IFD, TAKEN = 0x010F, 0x0131, 0x0112, 0x8769, 0x9003


def shipped_photograph(name: str) -> Pixels:
    """A photograph that scikit-image ships, (H, W, 3)."""
    return np.asarray(getattr(skimage.data, name)(), np.uint8)


def photograph(width: int, height: int) -> Pixels:
    """A part of a photograph, (height, width, 3), mirrored where it ends."""
    part = shipped_photograph("astronaut")[20 : 20 + height, 60 : 60 + width]
    below, right = height - part.shape[0], width - part.shape[1]
    return np.pad(part, ((0, below), (0, right), (0, 0)), mode="reflect")


def noise(width: int, height: int, seed: int = 0) -> Pixels:
    """Pixels (height, width, 3) that nothing can compress."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def picture_of_mode(mode: str, width: int, height: int) -> Image.Image:
    """A photograph in a Pillow mode, with an alpha plane of its own where the mode has one."""
    image = Image.fromarray(photograph(width, height))
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(noise(width, height)[:, :, 0]))
    return image.convert(mode)


def make_icc() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def make_cmyk_icc() -> bytes:
    """A profile of inks whose cyan prints red: one table from CMYK to Lab (ICC.1, lut8Type)."""
    corners = np.zeros((2, 2, 2, 2, 3), np.uint8)  # by cyan, magenta, yellow, black: L, a, b
    corners[...] = 0, 128, 128
    corners[0, 0, 0, 0] = 255, 128, 128  # bare paper is white
    corners[1, 0, 0, 0] = 136, 208, 195  # sRGB's red
    ramp = bytes(range(256))
    matrix = struct.pack(">9I", *(0x10000 * (place in (0, 4, 8)) for place in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * ramp + corners.tobytes() + 3 * ramp
    header = bytes(4) + bytes(4) + bytes([2, 0x40, 0, 0]) + b"prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D) + bytes(48)  # D50
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(table))
    profile = header + tags + table
    return struct.pack(">I", len(profile)) + profile[4:]


def make_exif(orientation: int | None = None) -> bytes:
    """EXIF with a maker, a program and, in its own directory, the time of the photograph."""
    exif = Image.Exif()
    exif[MAKE], exif[SOFTWARE] = "maker", "program"
    exif.get_ifd(EXIF_IFD)[TAKEN] = "2020:01:02 03:04:05"
    if orientation:
        exif[ORIENTATION] = orientation
    return exif.tobytes()


def read_exif(data: bytes) -> dict[int, object]:
    """The tags of EXIF bytes that `make_exif` may have written, without the places they stand at."""
    exif = Image.Exif()
    exif.load(data)
    tags = {**dict(exif), **exif.get_ifd(EXIF_IFD)}
    return {tag: tags[tag] for tag in (MAKE, SOFTWARE, ORIENTATION, TAKEN) if tag in tags}


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><note>\xc3\xa9</note></x:xmpmeta>'
METADATA = {Box.ICC: make_icc(), Box.EXIF: make_exif(), Box.XMP: XMP}


def sealed(*fields: bytes) -> bytes:
    """A file of these fields after the magic bytes, with the right checksum."""
    body = MAGIC + b"".join(fields)
    return body + zlib.crc32(body).to_bytes(4, "little")


def psnr_of(reference: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """PSNR in dB; infinite for equal pictures."""
    figure = psnr(reference, decoded)
    return float("inf") if figure is None else figure


def assert_same_picture(actual: Picture, expected: Picture) -> None:
    assert actual.gray == expected.gray
    np.testing.assert_array_equal(actual.pixels, expected.pixels)
    assert (actual.alpha is None) == (expected.alpha is None)
    if expected.alpha is not None:
        np.testing.assert_array_equal(actual.alpha, expected.alpha)


def assert_close(actual: Pixels, expected: Pixels, levels: int = 1) -> None:
    """Pixels differ by at most so many of 255 levels."""
    assert actual.shape == expected.shape
    assert np.abs(actual.astype(int) - expected).max(initial=0) <= levels


def random_latents(tables: FrequencyTables, size: tuple[int, int], quality: float, seed: int) -> Latents:
    """A hyper-latent, symbols that fit its scales (one in a hundred far out), and scale indices."""
    random = np.random.default_rng(seed)
    z = np.rint(random.normal(4, 6, (tables.z_channels, *size))).astype(np.int32)
    z = np.clip(z, tables.z_low, tables.z_high)
    index = scale_indices(tables, z, quality)
    values = random.laplace(0, 0.2, index.shape) * tables.y_support[index]
    values *= np.where(random.random(index.shape) < 0.01, 100, 1)
    symbols = np.clip(np.rint(values), -32767, 32767).astype(np.int16)
    return Latents(z, np.where(index < tables.skip_below, 0, symbols).astype(np.int16), index, quality)


def png_chunk(chunk_type: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(chunk_type + content)
    return struct.pack(">I", len(content)) + chunk_type + content + struct.pack(">I", checksum)


def full_window(size: tuple[int, ...]) -> Window:
    """All rows and columns of a picture of `size` (H, W, ...)."""
    return slice(0, size[0]), slice(0, size[1])


def write_latents(model: Model, latents: Latents) -> tuple[LearnedHeader, bytes]:
    """Header and payload of latents."""
    cdf_set = model.coder.best_cdf_set(latents.z, latents.quality)
    return LearnedHeader(model.fingerprint, latents.quality, cdf_set), model.coder.encode(latents, cdf_set)


def read_latents(model: Model, header: LearnedHeader, payload: bytes, size: tuple[int, ...]) -> Latents:
    """The latents of a payload of a picture of `size` (H, W, ...)."""
    return model.coder.decode(payload, cell_grid(*size[:2]), header.quality, header.cdf_set)


def run_python(script: str, *arguments: str, threads: int = 1) -> str:
    """What a script prints in a Python process of its own."""
    environment = {**os.environ, "AECODEC_THREADS": str(threads)}
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def derivatives_along(
    function: Callable[[Floats], float], y: Floats, gradient: Floats
) -> NDArray[np.float64]:
    """Slopes of a function along its supposed gradient, and along a third of it, over the gradient's own.

    Each is 1 where the gradient is right.
    """
    unit = gradient / np.linalg.norm(gradient)
    third = np.random.default_rng(0).random(y.shape) < 0.3
    ratios = []
    for direction in (unit, (unit * third).astype(np.float32)):
        rise = (function(y + 0.05 * direction) - function(y - 0.05 * direction)) / 0.1
        ratios.append(rise / float((gradient * direction).sum()))
    return np.array(ratios)
