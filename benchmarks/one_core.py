"""Speed of aecodec and of AVIF at about equal size on one core, for a picture of 1920x1080. Linux only.

    python -m aecodec.benchmarks.one_core PICTURE [--runs 9]

Both run in this process, one after the other, on a mosaic of PICTURE. Ours is at its default quality, AVIF at
the quality whose file is nearest to ours in size.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from PIL import Image

from aecodec.benchmarks.commands import write_mosaic
from aecodec.benchmarks.equal_bytes import match_size
from aecodec.benchmarks.measure import find_photographs, read_pixels
from aecodec.benchmarks.reference_codecs import OURS, all_codecs
from aecodec.benchmarks.speed import Spread, speed_of
from aecodec.encoder.options import DEFAULT_QUALITY

AVIF = "AVIF 4:4:4"
SIZE = 1920, 1080


def speed_text(spread: Spread) -> str:
    return f"{spread.median:.2f} MP/s ({spread.least:.2f} to {spread.most:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before any codec counts the cores
    codecs = {codec.name: codec for codec in all_codecs()[0]}
    with tempfile.TemporaryDirectory() as folder:
        write_mosaic(arguments.picture, SIZE, Path(folder) / "mosaic.png")
        (photograph,), _ = find_photographs(Path(folder))
        image = Image.fromarray(read_pixels(photograph.path))
        ours, avif = codecs[OURS], codecs[AVIF]
        matched = match_size(avif, image, len(ours.encode(image, DEFAULT_QUALITY))).quality
        speeds = [
            speed_of(codec, quality, [photograph], arguments.runs)
            for codec, quality in ((ours, DEFAULT_QUALITY), (avif, matched))
        ]
    for speed in speeds:
        print(
            f"{speed.codec} at quality {speed.quality:g}, {speed.bpp:.3f} bpp: "
            f"encode {speed_text(speed.encode)}, decode {speed_text(speed.decode)}"
        )
    encode, decode = (
        speeds[1].encode.median / speeds[0].encode.median,
        speeds[1].decode.median / speeds[0].decode.median,
    )
    print(f"AVIF encodes {encode:.1f} times and decodes {decode:.1f} times as fast")


if __name__ == "__main__":
    main()
