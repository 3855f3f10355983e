"""Input pictures, damaged: `python -m tests.fuzz.pictures [mutations] [seed]`.

Small pictures of every format and kind that is read, damaged in every way that the files of `files` are. Of
each comes a picture or a documented error. Others are kept in the working folder, and the exit code is 1.
"""

from __future__ import annotations

import hashlib
import io
import signal
import struct
import sys
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401  teaches Pillow to write JPEG XL
from PIL import Image

from aecodec.errors import AecodecError
from aecodec.options import ReadOptions
from aecodec.picture.reading import read_picture
from tests.common import METADATA, photograph
from tests.fuzz.files import damaged
from tests.fuzz.target import PICTURE, PIXELS

MUTATIONS, SEED = 100_000, 1
PATIENCE = 5  # seconds of one core that a refusal may take
WIDTH, HEIGHT = 29, 18
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
OPTIONS = tuple(
    ReadOptions(depth=depth, frame=frame, tolerant=tolerant, max_pixels=PIXELS)
    for depth in (None, 8)
    for frame in (None, 0, 1)
    for tolerant in (False, True)
)
METADATA_OF_PILLOW = {"exif": METADATA[2], "icc_profile": METADATA[1]}
RGB = Image.fromarray(photograph(WIDTH, HEIGHT))


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def several(format: str, **options: Any) -> bytes:
    """A file of three pictures."""
    others = [RGB.rotate(90 * n) for n in (1, 2)]
    return saved(RGB, format, save_all=True, append_images=others, **options)


def deep_png(colour: int, channels: int, bits: int = 16, chunks: bytes = b"") -> bytes:
    """A PNG of samples whose bits Pillow does not write."""
    line = -(-WIDTH * channels * bits // 8)
    rows = b"".join(b"\0" + Random(n).randbytes(line) for n in range(HEIGHT))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour, 0, 0, 0))
    content = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return PNG_SIGNATURE + header + chunks + content


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def seeds() -> dict[str, bytes]:
    """A sound file of each format and kind, by a name that begins with the format."""
    alpha, palette, gray = RGB.copy(), RGB.quantize(16), RGB.convert("L")
    alpha.putalpha(gray)
    deep = np.dstack([np.asarray(RGB, np.uint16) * 257])
    return {
        "PNG gray": saved(gray, "PNG", **METADATA_OF_PILLOW),
        "PNG gray and alpha": saved(alpha.convert("LA"), "PNG"),
        "PNG RGB": saved(RGB, "PNG", transparency=RGB.getpixel((0, 0))),
        "PNG RGBA": saved(alpha, "PNG"),
        "PNG palette": saved(palette, "PNG", transparency=bytes(range(16))),
        "PNG 1 bit": saved(RGB.convert("1"), "PNG", transparency=0),
        "PNG 2 bits": deep_png(0, 1, 2, png_chunk(b"tRNS", b"\0\1")),
        "PNG gray 16 bits": deep_png(0, 1, chunks=png_chunk(b"tRNS", b"\1\1")),
        "PNG RGB 16 bits": deep_png(2, 3),
        "PNG gray and alpha 16 bits": deep_png(4, 2),
        "PNG animated": several("PNG"),
        "JPEG RGB": saved(RGB, "JPEG", quality=80, **METADATA_OF_PILLOW),
        "JPEG gray": saved(gray, "JPEG"),
        "JPEG CMYK": saved(RGB.convert("CMYK"), "JPEG"),
        "JPEG progressive": saved(RGB, "JPEG", progressive=True, restart_marker_rows=1),
        "JPEG several": several("MPO"),
        "WEBP lossy": saved(RGB, "WEBP", **METADATA_OF_PILLOW),
        "WEBP lossy and alpha": saved(alpha, "WEBP"),
        "WEBP lossless": saved(alpha, "WEBP", lossless=True),
        "WEBP animated": several("WEBP"),
        "AVIF RGB": saved(RGB, "AVIF", **METADATA_OF_PILLOW),
        "AVIF RGBA": saved(alpha, "AVIF"),
        "AVIF animated": several("AVIF"),
        "GIF palette": saved(palette, "GIF"),
        "GIF transparent": saved(palette, "GIF", transparency=3),
        "GIF animated": several("GIF"),
        "TIFF RGB": saved(RGB, "TIFF", **METADATA_OF_PILLOW),
        "TIFF packed": saved(alpha, "TIFF", compression="tiff_lzw"),
        "TIFF CMYK": saved(RGB.convert("CMYK"), "TIFF", compression="tiff_adobe_deflate"),
        "TIFF gray 16 bits": saved(gray.convert("I").convert("I;16"), "TIFF"),
        "TIFF floats": saved(gray.convert("F"), "TIFF"),
        "TIFF several": several("TIFF"),
        "BMP RGB": saved(RGB, "BMP"),
        "BMP palette": saved(palette, "BMP"),
        "BMP gray": saved(gray, "BMP"),
        "DIB 1 bit": saved(RGB.convert("1"), "DIB"),
        "HEIC RGB": heic(pillow_heif.from_pillow(RGB)),
        "HEIC RGBA": heic(pillow_heif.from_pillow(alpha)),
        "HEIC 10 bits": heic(pillow_heif.from_bytes("RGB;16", RGB.size, deep.tobytes())),
        "JXL RGB": saved(RGB, "JXL", use_container=True, **METADATA_OF_PILLOW),
        "JXL RGBA": saved(alpha, "JXL", lossless=True),
        "JXL gray 16 bits": saved(gray.convert("I").convert("I;16"), "JXL"),
    }


def heic(file: pillow_heif.HeifFile) -> bytes:
    written = io.BytesIO()
    file.save(written)
    return written.getvalue()


def mutated(random: Random, data: bytes) -> bytes:
    """A file that was changed in up to eight bytes, cut, or of which a piece was lost, doubled or made up."""
    place, length = random.randrange(len(data)), random.choice((1, 2, 4, 16, 64))
    match random.randrange(6):
        case 0:
            changed = data[:place]
        case 1:
            changed = data[:place] + data[place + length :]
        case 2:
            changed = data[:place] + data[place : place + length] + data[place:]
        case 3:
            changed = data[:place] + random.randbytes(length) + data[place + length :]
        case _:
            changed = damaged(random, data)
    sound = data.startswith(PNG_SIGNATURE) and random.random() < 0.5
    return with_checksums(changed) if sound else changed


def with_checksums(data: bytes) -> bytes:
    """A damaged PNG whose chunks have the checksums that their bytes ask for."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4])
        parts.append(png_chunk(data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return b"".join(parts)


def outcome(data: bytes, options: ReadOptions) -> str:
    """`picture`, or the name of the AecodecError that refuses a file; whatever else is raised is a bug."""
    try:
        picture = read_picture(io.BytesIO(data), options)
    except AecodecError as error:
        return type(error).__name__ if str(error).isprintable() else f"unprintable {error!r}"
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape[2] == 3
    assert picture.alpha is None or picture.alpha.shape == picture.pixels.shape[:2]
    return PICTURE


def inputs(files: dict[str, bytes], count: int, seed: int) -> Any:
    """Names, damaged files and options, each file in turn."""
    random, names = Random(seed), list(files)
    for number in range(count):
        name = names[number % len(names)]
        yield name, mutated(random, files[name]), random.choice(OPTIONS)


class Hang(BaseException):
    """No Exception, which would pass for a refusal."""


def raise_hang(*_: Any) -> None:
    raise Hang(f"not done after {PATIENCE} s")


def main() -> None:
    count, seed = map(int, sys.argv[1:] + [str(MUTATIONS), str(SEED)][len(sys.argv) - 1 :])
    signal.signal(signal.SIGVTALRM, raise_hang)
    counts: dict[str, Counter[str]] = {}
    slowest = 0.0
    for name, data, options in inputs(seeds(), count, seed):
        began = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
        try:
            came = outcome(data, options)
        except (Exception, Hang):
            came = "crash"
            Path(f"crash-{hashlib.sha256(data).hexdigest()[:8]}").write_bytes(data)
            traceback.print_exc()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        slowest = max(slowest, time.process_time() - began)
        counts.setdefault(name.split()[0], Counter())[came] += 1
    for kind, came_of in counts.items():
        print(kind, came_of.total(), ", ".join(f"{name} {n}" for name, n in came_of.most_common()))
    crashes = sum(came_of["crash"] for came_of in counts.values())
    print(f"{count} inputs, {crashes} crashes, slowest {slowest * 1000:.0f} ms")
    sys.exit(bool(crashes))


if __name__ == "__main__":
    main()
