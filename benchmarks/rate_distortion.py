"""Rate and distortion of whole files, ours against JPEG, and the BD-rate between the curves.

    python -m benchmarks.rate_distortion FOLDER [--json FILE]

Every file is decoded again and compared with the original; bpp counts every byte. PSNR is over the
8-bit RGB samples of a picture; curves are means over the pictures, of bpp and of PSNR in dB.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.interpolate import PchipInterpolator

import codec
from codec.image import psnr

JPEG_QUALITIES = (5, 10, 15, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95)
WEBP_QUALITIES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95)
OUR_QUALITIES = tuple(range(0, 101, 5))


@dataclass(frozen=True, slots=True)
class Point:
    """One codec at one quality: mean bpp and mean PSNR in dB over the pictures, and each picture's."""

    quality: float
    bpp: float
    psnr: float
    bpps: list[float]
    psnrs: list[float]


def encode_pillow(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def encode_jpeg(image: Image.Image, quality: float) -> bytes:
    """Baseline JPEG, 4:2:0, with optimised Huffman tables."""
    return encode_pillow(image, "JPEG", quality=int(quality), optimize=True, subsampling="4:2:0")


def encode_webp(image: Image.Image, quality: float) -> bytes:
    """Lossy WebP, method 6."""
    return encode_pillow(image, "WEBP", quality=int(quality), method=6)


def decode_pillow(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def measure(
    images: list[Image.Image],
    qualities: tuple[float, ...],
    encode: Callable[[Image.Image, float], bytes],
    decode: Callable[[bytes], Image.Image],
) -> list[Point]:
    """The rate-distortion points of one codec."""

    def one(image: Image.Image, quality: float) -> tuple[float, float]:
        data = encode(image, quality)
        fidelity = psnr(np.asarray(image), np.asarray(decode(data)))
        return 8 * len(data) / (image.width * image.height), np.inf if fidelity is None else fidelity

    points = []
    with ThreadPoolExecutor() as pool:
        for quality in qualities:
            results = list(pool.map(one, images, [quality] * len(images)))
            bpps, psnrs = [r[0] for r in results], [r[1] for r in results]
            points.append(Point(quality, float(np.mean(bpps)), float(np.mean(psnrs)), bpps, psnrs))
    return points


def bd_rate(anchor: list[Point], test: list[Point]) -> tuple[float, float, float]:
    """Bjontegaard's mean rate difference in percent (PCHIP of log rate over PSNR), and the PSNR range."""
    low = max(min(p.psnr for p in points) for points in (anchor, test))
    high = min(max(p.psnr for p in points) for points in (anchor, test))
    if low >= high:
        raise ValueError("the curves share no range of PSNR: measure more qualities")
    integrals = []
    for points in (anchor, test):
        ordered = sorted(points, key=lambda p: p.psnr)
        curve = PchipInterpolator([p.psnr for p in ordered], np.log([p.bpp for p in ordered]))
        integrals.append(float(curve.integrate(low, high)))
    return 100 * (np.exp((integrals[1] - integrals[0]) / (high - low)) - 1), low, high


def monotone(points: list[Point]) -> bool:
    """Whether every picture's size and PSNR rise from each quality to the next."""
    bpps, psnrs = np.array([p.bpps for p in points]), np.array([p.psnrs for p in points])
    return bool((np.diff(bpps, axis=0) > 0).all() and (np.diff(psnrs, axis=0) > 0).all())


def print_curve(name: str, points: list[Point]) -> None:
    print(f"\n{name}\n quality     bpp    PSNR")
    for p in points:
        print(f"{p.quality:8g}{p.bpp:8.4f}{p.psnr:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="pictures")
    parser.add_argument("--json", type=Path, help="write every point here")
    arguments = parser.parse_args()
    paths = sorted(p for p in arguments.folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".webp"))
    images = [Image.open(path).convert("RGB") for path in paths]
    for image in images:
        image.info.clear()  # pixels alone are compared: no codec pays for metadata
    curves = {
        "JPEG 4:2:0, optimised": measure(images, JPEG_QUALITIES, encode_jpeg, decode_pillow),
        "WebP, method 6": measure(images, WEBP_QUALITIES, encode_webp, decode_pillow),
        "aecodec": measure(images, OUR_QUALITIES, codec.compress, codec.decompress),
    }
    for name, points in curves.items():
        print_curve(name, points)
    ours = curves.pop("aecodec")
    for name, points in curves.items():
        rate, low, high = bd_rate(points, ours)
        print(
            f"\nBD-rate against {name}: {rate:+.1f} % over {low:.1f} to {high:.1f} dB, {len(images)} pictures"
        )
    print(f"size and PSNR rise with quality on every picture: {'yes' if monotone(ours) else 'NO'}")
    if arguments.json:
        record = {name: [asdict(p) for p in points] for name, points in {**curves, "aecodec": ours}.items()}
        arguments.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
