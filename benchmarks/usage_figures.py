"""Measurements of size targets, graphics and folders, for docs/benchmarks.md.

python -m aecodec.benchmarks.usage_figures targets FOLDER     share of --max-bytes that is used
python -m aecodec.benchmarks.usage_figures graphics           bytes of graphics against PNG and lossless WebP
python -m aecodec.benchmarks.usage_figures batches FOLDER     files per second of folders with 1 and 2 jobs
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import aecodec
from aecodec.benchmarks.commands import write_mosaic

LIMITS = (5_000, 10_000, 20_000, 40_000)  # bytes
SMALL, LARGE = 256, (1500, 1000)  # pixels each way; (width, height)
COUNTS = {"small": 200, "large": 20}
CODECS = {"WEBP": {"quality": 75}, "AVIF": {"quality": 60}}  # Pillow's options
LOOP = """
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from PIL import Image
def convert(path):
    Image.open(path).save(Path(sys.argv[3]) / (path.stem + "." + sys.argv[1]), sys.argv[1], **OPTIONS)
with ProcessPoolExecutor(int(sys.argv[4])) as pool:
    list(pool.map(convert, sorted(Path(sys.argv[2]).iterdir())))
"""


def targets(folder: Path) -> None:
    """Print the share of limits of bytes that files use, and how many limits are out of reach."""
    print("| limit | files | over | used: mean, least | at quality 100 | out of reach |")
    print("|---|---|---|---|---|---|")
    for limit in LIMITS:
        files, unreached = [], 0
        for path in sorted(folder.glob("*.png")):
            try:
                files.append(aecodec.compress(Image.open(path), max_bytes=limit))
            except aecodec.TargetError:
                unreached += 1
        over = sum(len(data) > limit for data in files)
        shares = [100 * len(data) / limit for data in files if aecodec.info(data).quality != 100]
        used = f"{statistics.mean(shares):.1f} %, {min(shares):.1f} %" if shares else ""
        best = len(files) - len(shares)
        print(f"| {limit} | {len(files)} | {over} | {used} | {best} | {unreached} |", flush=True)


def drawings() -> dict[str, Image.Image]:
    """Drawings, screenshots and two scans, by name."""
    import skimage.data

    icon = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    ImageDraw.Draw(icon).ellipse((1, 1, 14, 14), fill="navy", outline="orange")
    lines = Image.new("L", (800, 600), 255)
    for n in range(60):
        ImageDraw.Draw(lines).arc((10 * n, 5 * n, 790, 590 - 4 * n), 3 * n, 300 - 2 * n, fill=0, width=2)
    text = Image.new("L", (900, 1200), 255)
    for n in range(60):
        sentence = f"{n}: the size of a file is counted in bytes, all {n * n * 37} of them."
        ImageDraw.Draw(text).text((40, 20 * n), sentence, fill=0, font_size=16)
    screen = Image.new("RGB", (1280, 800), "#e8e8ee")
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, 1280, 40), fill="#33415c")
    draw.rectangle((20, 60, 620, 780), fill="white", outline="#999999")
    for n in range(34):
        draw.text((40, 70 + 20 * n), f"{n:3}  value = measure(picture, {n * 7919 % 977})", fill="#222222")
    screen.paste(Image.fromarray(skimage.data.astronaut()), (680, 120))
    return {
        "icon 16x16, RGBA": icon,
        "line art 800x600": lines,
        "text 900x1200": text,
        "screenshot with a photograph 1280x800": screen,
        "screenshot without 620x740": screen.crop((0, 0, 620, 740)),
        "logo, RGBA": Image.fromarray(skimage.data.logo()),
        "scanned text": Image.fromarray(skimage.data.page()),
        "silhouette, 1 bit": Image.fromarray(skimage.data.horse()),
        "photograph": Image.fromarray(skimage.data.astronaut()),
    }


def size_as(image: Image.Image, format: str, **options: object) -> int:
    file = io.BytesIO()
    image.save(file, format, **options)
    return len(file.getvalue())


def graphics() -> None:
    """Print the bytes of files of graphics, by default and lossless."""
    print("| picture | PNG, optimised | lossless WebP | ours, quality 50 | coding | ours, --lossless |")
    print("|---|---|---|---|---|---|")
    for name, image in drawings().items():
        png, webp = size_as(image, "PNG", optimize=True), size_as(image, "WEBP", lossless=True, exact=True)
        ours, lossless = aecodec.compress(image), aecodec.compress(image, lossless=True)
        coding = aecodec.info(ours).coding
        print(f"| {name} | {png} | {webp} | {len(ours)} | {coding} | {len(lossless)} |", flush=True)


def write_pictures(photographs: Path, folder: Path) -> None:
    """Write a folder of small pictures, cut from photographs, and one of large mosaics of them."""
    paths = sorted(photographs.glob("*.png"))
    for folder_name, count in COUNTS.items():
        (folder / folder_name).mkdir()
        for number in range(count):
            source, target = paths[number % len(paths)], folder / folder_name / f"{number:03}.png"
            if folder_name == "large":
                write_mosaic(source, LARGE, target)
                continue
            pixels = np.asarray(Image.open(source).convert("RGB"))
            row, column = (97 * number % (side - SMALL) for side in pixels.shape[:2])
            Image.fromarray(pixels[row : row + SMALL, column : column + SMALL]).save(target)


def batches(photographs: Path) -> None:
    """Print files per second of whole commands, start included, on all cores that this process may use."""
    aecodec = [sys.executable, "-m", "aecodec.cli", "compress", "-r", "--quiet"]
    print("| pictures | codec | 1 job | 2 jobs | times |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(photographs, folder)
        for folder_name, count in COUNTS.items():
            for codec_name in ("aecodec", *CODECS):
                rates = []
                for jobs in (1, 2):
                    source, target = folder / folder_name, folder / f"{folder_name}-{codec_name}-{jobs}"
                    target.mkdir()
                    command = [*aecodec, str(source), "-d", str(target), "-j", str(jobs)]
                    if codec_name in CODECS:
                        script = LOOP.replace("OPTIONS", repr(CODECS[codec_name]))
                        command = [
                            sys.executable,
                            "-c",
                            script,
                            codec_name,
                            str(source),
                            str(target),
                            str(jobs),
                        ]
                    started = time.perf_counter()
                    subprocess.run(command, check=True)
                    rates.append(count / (time.perf_counter() - started))
                times = rates[1] / rates[0]
                figures = " | ".join(f"{figure:.2f}" for figure in (*rates, times))
                print(f"| {count} {folder_name} | {codec_name} | {figures} |", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["targets", folder]:
            targets(Path(folder))
        case ["graphics"]:
            graphics()
        case ["batches", folder]:
            batches(Path(folder))
        case _:
            sys.exit(__doc__)
