"""PSNR of the stages on the field's test sets, beside bicubic interpolation and non-local means.

    python -m aecodec.benchmarks.stages SETS [--only upscale] [--json FILE]
    python -m aecodec.benchmarks.stages PICTURES --only coding

SETS holds Set5, Set14 (super-resolution), BSD68, McMaster (denoising) and classic5 (JPEG artefacts). PSNRs
are means over a set, of results rounded to bytes. Super-resolution is measured on BT.601 luma of video range,
the picture cropped to a multiple of the scale and `scale` pixels left out at each border. Noise of picture
number i is RandomState(i).randn, not clipped; but in `coding`, where noisy pictures of 8 bits are written by
`aecodec.compress` and by JPEG, and PSNR is that of what comes back to the picture without noise.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aecodec.api import compress, decompress, denoise
from aecodec.benchmarks.metrics import LUMA, Pixels, psnr_of, psnr_rgb
from aecodec.benchmarks.reference_codecs import JPEG, pillow_codecs
from aecodec.parallel import thread_count
from aecodec.picture import Picture, to_gray
from aecodec.restoration import enhance, upscale
from aecodec.restoration.denoising import non_local_means, without_noise
from aecodec.restoration.noise import estimate_noise
from aecodec.restoration.upscaling import METHODS, SCALES, downscale

SIGMAS = (15, 25, 50)  # of 255
JPEG_QUALITIES = (10, 20, 30, 40)  # those of the papers on artefacts (ARCNN, DnCNN)
CODED_SIGMA = 25  # of 255: the middle one of SIGMAS
VIDEO_RANGE = 219 / 255  # of luma, between black and white
PICTURES = (".bmp", ".png", ".tif")


@dataclass(frozen=True, slots=True)
class Row:
    """The mean PSNR in dB of one method on one set at one strength of damage."""

    stage: str
    set: str
    damage: str
    method: str
    psnr: float
    pictures: int
    bpp: float | None = None  # mean, of whole files, where there are any


def pictures(folder: Path) -> list[Picture]:
    """The pictures of a set, by name."""
    loaded = []
    for path in sorted(path for path in folder.iterdir() if path.suffix in PICTURES):
        image = Image.open(path)
        loaded.append(Picture(np.asarray(image.convert("RGB")), image.mode == "L"))
    return loaded


def row(
    stage: str,
    folder: Path,
    damage: str,
    method: str,
    measure_picture: Callable[[int, Picture], float],
    gray: bool,
) -> Row:
    """The mean of `measure_picture` over a set. It is called with the number of a picture and the picture."""
    values = [
        measure_picture(number, Picture(to_gray(picture.pixels), True) if gray else picture)
        for number, picture in enumerate(pictures(folder))
    ]
    return Row(stage, folder.name, damage, method, float(np.mean(values)), len(values))


def upscaling(sets: Path) -> Iterator[Row]:
    for name in ("Set5", "Set14"):
        for scale in SCALES:
            for method in METHODS[::-1]:

                def measure_picture(
                    _: int, picture: Picture, scale: int = scale, method: str = method
                ) -> float:
                    height, width = (side // scale * scale for side in picture.pixels.shape[:2])
                    original = picture.pixels[:height, :width]
                    restored = upscale(Picture(downscale(original, scale)), scale, method).pixels
                    inner = (slice(scale, -scale),) * 2
                    return psnr_of(video_luma(original)[inner], video_luma(restored)[inner])

                yield row("upscale", sets / name, f"x{scale}", method, measure_picture, False)


def video_luma(pixels: Pixels) -> NDArray[np.float64]:
    """BT.601 luma, 16 to 235, not rounded."""
    return np.asarray(16 + VIDEO_RANGE * (pixels @ np.array(LUMA)))


def denoising(sets: Path) -> Iterator[Row]:
    methods: dict[str, Callable[[NDArray[Any], float, bool], NDArray[Any]]] = {
        "noisy": lambda noisy, sigma, gray: noisy,
        "non-local means": non_local_means,
        "learned": without_noise,
        "learned, blind": lambda noisy, sigma, gray: without_noise(noisy, estimate_noise(noisy), gray),
    }
    for name, gray in (("BSD68", True), ("McMaster", False)):
        for sigma in SIGMAS:
            for method, remove in methods.items():

                def measure_picture(
                    number: int,
                    picture: Picture,
                    sigma: int = sigma,
                    remove: Callable[[NDArray[Any], float, bool], NDArray[Any]] = remove,
                ) -> float:
                    pixels = picture.pixels[:, :, :1] if picture.gray else picture.pixels
                    noise = np.random.RandomState(number).randn(*pixels.shape) * sigma
                    noisy = ((pixels + noise) / 255).astype(np.float32)
                    restored = remove(np.repeat(noisy, 3, 2) if picture.gray else noisy, sigma, picture.gray)
                    decoded = 255 * restored.astype(np.float64)
                    if remove is not methods["noisy"]:
                        decoded = decoded.mean(2, keepdims=True) if picture.gray else decoded
                        decoded = np.rint(decoded.clip(0, 255))
                    return psnr_of(pixels.astype(np.float64), decoded[:, :, : pixels.shape[2]])

                yield row("denoise", sets / name, f"sigma {sigma}", method, measure_picture, gray)


def artefact_removal(sets: Path) -> Iterator[Row]:
    for quality in JPEG_QUALITIES:
        for method, remove in (("JPEG", lambda picture: picture), ("learned", enhance)):

            def measure_picture(
                _: int,
                picture: Picture,
                quality: int = quality,
                remove: Callable[[Picture], Picture] = remove,
            ) -> float:
                file = io.BytesIO()
                Image.fromarray(picture.pixels[:, :, 0]).save(file, "JPEG", quality=quality)
                damaged = Picture(np.asarray(Image.open(file).convert("RGB")), True)
                return psnr_rgb(picture.pixels, remove(damaged).pixels)

            yield row("enhance", sets / "classic5", f"JPEG {quality}", method, measure_picture, True)


def coding(folder: Path) -> Iterator[Row]:
    """Coding of noisy pictures at several qualities: as they are, cleaned first, and as JPEGs."""
    jpeg = next(codec for codec in pillow_codecs()[0] if codec.name == JPEG)

    def by_jpeg(noisy: Image.Image, quality: float) -> tuple[bytes, Image.Image]:
        file = jpeg.encode(noisy, quality)
        return file, jpeg.decode(file)

    def by_jpeg_cleaned(noisy: Image.Image, quality: float) -> tuple[bytes, Image.Image]:
        return by_jpeg(denoise(noisy), quality)

    def by_us(noisy: Image.Image, quality: float, noise: str | None = None) -> tuple[bytes, Image.Image]:
        file = compress(noisy, quality, denoise=noise)
        return file, decompress(file)

    for method, qualities, code in (
        ("JPEG", (10, 20, 30, 40, 55), by_jpeg),
        ("JPEG of denoised", (30, 55), by_jpeg_cleaned),
        ("aecodec", (10, 20, 30), by_us),
        ("--denoise auto", (20, 30, 40, 50), partial(by_us, noise="auto")),
    ):
        for quality in qualities:
            rates, psnrs = [], []
            for number, picture in enumerate(pictures(folder)):
                noise = np.random.RandomState(number).randn(*picture.pixels.shape) * CODED_SIGMA
                noisy = np.clip(np.rint(picture.pixels + noise), 0, 255).astype(np.uint8)
                file, decoded = code(Image.fromarray(noisy), quality)
                rates.append(8 * len(file) / (noisy.shape[0] * noisy.shape[1]))
                psnrs.append(psnr_rgb(picture.pixels, np.asarray(decoded)))
            mean, bpp = float(np.mean(psnrs)), float(np.mean(rates))
            yield Row("coding", folder.name, f"quality {quality}", method, mean, len(psnrs), bpp)


STAGES = {"upscale": upscaling, "denoise": denoising, "enhance": artefact_removal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--only", choices=[*STAGES, "coding"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name in [arguments.only] if arguments.only else list(STAGES):
        for result_row in {**STAGES, "coding": coding}[name](arguments.sets):
            rows.append(result_row)
            rate = "" if result_row.bpp is None else f" at {result_row.bpp:.3f} bpp"
            label = f"{result_row.stage:8} {result_row.set:9} {result_row.damage:10} {result_row.method:16}"
            print(f"{label} {result_row.psnr:6.2f} dB{rate}", flush=True)
    if arguments.json:
        results = {"threads": thread_count(), "rows": [asdict(result_row) for result_row in rows]}
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
