"""Figures of the lab: bytes and PSNR of files that are written, read and decoded, beside other codecs."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aecodec.lab.data import Samples
from aecodec.lab.latent_file import SUFFIX, LatentCoder
from aecodec.lab.training import Model, decode, encode

WRITTEN = 500  # held-out samples whose files are written, at 3 ms each
COMPARED = 50  # that other codecs code: a file of aecodec takes 20 ms, and their means then are within 3 %
MAX_BYTES = 48  # of a file, header and all
JPEG_QUALITIES = (5, 15, 25, 40, 55, 70, 85, 95)
OUR_QUALITIES = (0, 15, 30, 45, 60, 75, 90)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a codec does to held-out samples."""

    name: str
    says: str
    mean_bytes: float
    most_bytes: int
    psnr: float | None  # in dB, of the mean squared error of all samples; None where nothing is lost
    parameters: int | None = None
    seconds: float | None = None  # of training
    latents: int | None = None


@dataclass(frozen=True, slots=True)
class Coded:
    """Samples after their files: sizes in bytes, and what was decoded (N, H, W)."""

    sizes: NDArray[np.int64]
    decoded: NDArray[np.float32]


def write_files(model: Model, latents: NDArray[np.floating[Any]], folder: Path, max_bytes: int) -> list[Path]:
    """The files of latents (N, K), written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, row in enumerate(latents):
        files.append(folder / f"{number:04d}{SUFFIX}")
        files[-1].write_bytes(model.coder.encode(row, max_bytes))
    return files


def read_files(coder: LatentCoder, files: list[Path]) -> NDArray[np.float64]:
    """The latents (N, K) of files."""
    return np.stack([coder.decode(file.read_bytes()) for file in files])


def through_files(
    model: Model, samples: NDArray[np.float32], folder: Path, max_bytes: int, bounded: bool
) -> Coded:
    """Encode samples (N, H, W), write a file of each, read the files and decode them."""
    files = write_files(model, encode(model.network, samples), folder, max_bytes)
    decoded = decode(model.network, read_files(model.coder, files))
    sizes = np.array([file.stat().st_size for file in files])
    return Coded(sizes, decoded.clip(0, 1) if bounded else decoded)


def psnr(samples: NDArray[np.float32], decoded: NDArray[np.float32]) -> float | None:
    """PSNR in dB for a peak of 1, by the mean squared error of all samples; None if they are equal."""
    error = float(np.mean((samples.astype(np.float64) - decoded) ** 2))
    return -10 * math.log10(error) if error else None


def figures_of(name: str, says: str, samples: NDArray[np.float32], coded: Coded) -> Figures:
    """The figures of coded samples."""
    return Figures(
        name,
        says,
        float(coded.sizes.mean()),
        int(coded.sizes.max()),
        psnr(samples[: len(coded.decoded)], coded.decoded),
    )


def image_file(pixels: NDArray[np.uint8], kind: str, **options: object) -> bytes:
    """A gray picture in a format of Pillow's."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def by_pillow(kind: str, **options: object) -> Callable[[NDArray[np.uint8]], bytes]:
    """The coder of a format of Pillow's with some options."""
    return lambda pixels: image_file(pixels, kind, **options)


def code_all(samples: NDArray[np.float32], coder: Callable[[NDArray[np.uint8]], bytes]) -> Coded:
    """Samples (N, H, W) through a codec whose files Pillow or aecodec opens."""
    import aecodec

    files = [coder(np.rint(picture * 255).astype(np.uint8)) for picture in samples]
    opened = [
        aecodec.decompress(data) if data[:4] == aecodec.container.MAGIC else Image.open(io.BytesIO(data))
        for data in files
    ]
    decoded = np.stack([np.asarray(image.convert("L"), np.float32) / np.float32(255) for image in opened])
    return Coded(np.array([len(data) for data in files]), decoded)


def other_codecs(held_out: Samples, target: float) -> list[Figures]:
    """Figures of PNG, lossless WebP, JPEG and our codec; lossy ones at the lowest quality of `target` dB."""
    import aecodec

    samples = (np.rint(held_out.values[:COMPARED] * 255) / 255).astype(np.float32)  # what pictures can hold
    rows = [
        figures_of("PNG", "lossless", samples, code_all(samples, by_pillow("PNG", optimize=True))),
        figures_of(
            "WebP", "lossless", samples, code_all(samples, by_pillow("WEBP", lossless=True, method=6))
        ),
    ]
    lossy: list[tuple[str, tuple[int, ...], Callable[[int], Callable[[NDArray[np.uint8]], bytes]]]] = [
        ("JPEG", JPEG_QUALITIES, lambda quality: by_pillow("JPEG", quality=quality, optimize=True)),
        ("aecodec", OUR_QUALITIES, lambda quality: lambda pixels: aecodec.compress(pixels, quality)),
    ]
    for name, qualities, coder in lossy:
        for quality in qualities:
            figures = figures_of(name, f"quality {quality}", samples, code_all(samples, coder(quality)))
            if figures.psnr is None or figures.psnr >= target:
                break
        rows.append(figures)
    return rows
