"""What the page asks for, of bytes alone: a look at a part, the whole file, a picture of a file."""

from __future__ import annotations

import base64
import io
from dataclasses import asdict, replace
from typing import Any

import numpy as np

import aecodec
from aecodec.api import decompress_picture
from aecodec.arrays import Pixels
from aecodec.benchmarks.comparison import (
    BITS_BLOCK,
    BLOCK,
    OURS,
    OVER_WHITE,
    Coded,
    block_means,
    code_reference,
    colours_of,
    compare,
    largest_sum,
    opaque,
    page_of,
)
from aecodec.benchmarks.equal_bytes import reference_codecs
from aecodec.benchmarks.metrics import measure_all
from aecodec.benchmarks.ssimulacra2 import SMALLEST_SIDE
from aecodec.cli.web.jobs import Job
from aecodec.container import MAX_PIXELS, Box, serialise
from aecodec.encoder.encoded import Encoded
from aecodec.encoder.options import CompressOptions
from aecodec.picture import Picture
from aecodec.picture.reading import read_picture
from aecodec.picture.writing import encode_image, fitted, flattened, to_pillow

MEASURES = ("ssimulacra2", "psnr")  # of the part that is shown; MS-SSIM would take as long again as the rest
MEASURED = "the part that is shown"
# Pixels of the part that is shown, wide as windows are. Of the 1.5 s on two cores after which 12 megapixels
# are to be seen, coding and measuring it takes 1 s.
WIDE, TALL = 640, 400
MOST_SHOWN = 2**19  # pixels of pictures that are shown whole
THUMBNAIL = 320  # pixels of its longer side
# Pixels up to which these codecs code the whole picture: libaom and libjxl take 36 and 23 bytes a pixel.
MOST_WHOLE = {"AVIF": 2**24, "JPEG XL": 2**24}
FORMATS = {"png": "image/png", "jpeg": "image/jpeg"}
METADATA = (
    Box.ICC,
    Box.EXIF,
    Box.XMP,
    Box.TEXT,
    Box.COLOUR,
    Box.THUMBNAIL,
)  # that the other codec's file does without

Part = tuple[slice, slice]  # rows and columns


def warm_up() -> None:
    """Load what the first look needs: models, readers and metrics."""
    gray = Picture(np.full((SMALLEST_SIDE, SMALLEST_SIDE, 3), 128, np.uint8), True)
    compare(gray, "", CompressOptions(), "JPEG", MEASURES, quick=True)


def look(
    data: bytes, options: CompressOptions, other: str, place: tuple[int, int] | None, whole: int | None
) -> dict[str, Any]:
    """A part of a picture file by ours and another codec, and what is known of the whole.

    `place` is the left and top of the part, which is otherwise the one with most detail; `whole` are the
    pixels of the picture that the file is a part of, if it is one. Raises AecodecError.
    """
    picture = read_picture(io.BytesIO(data), options)
    height, width = picture.pixels.shape[:2]
    part = part_at(picture.pixels, place)
    seen = compare(cut(picture, part), "", of_part(options, whole or width * height), other, MEASURES, True)
    left, top = part[1].start, part[0].start
    placed = replace(seen, width=width, height=height, left=left, top=top)
    return {"comparison": placed.as_record(), "source": describe(picture)}


def of_part(options: CompressOptions, pixels: int) -> CompressOptions:
    """The options for a part of a picture of so many pixels: its share of the bytes that are asked for."""
    if options.max_bytes is None:
        return options
    return replace(options, max_bytes=None, bpp=8 * options.max_bytes / pixels)


def describe(picture: Picture) -> dict[str, Any]:
    """What the page says of a picture, a small picture of it among that."""
    height, width = picture.pixels.shape[:2]
    return {
        "width": width,
        "height": height,
        "alpha": picture.alpha is not None,
        "notes": list(picture.notes),
        "thumbnail": thumbnail(picture),
    }


def thumbnail(picture: Picture) -> str:
    """A small picture, a data URI of a JPEG, or of a PNG where code points say what its colours are."""
    step = max(1, max(picture.pixels.shape) // (4 * THUMBNAIL))  # as a whole copy would take much memory
    alpha = None if picture.alpha is None else np.ascontiguousarray(picture.alpha[::step, ::step])
    few = np.ascontiguousarray(picture.pixels[::step, ::step])
    image = to_pillow(Picture(few, picture.gray, alpha, colours_of(picture)))
    image.thumbnail((THUMBNAIL, THUMBNAIL), reducing_gap=1.0)
    name = "png" if Box.COLOUR in picture.metadata else "jpeg"
    return uri_of(encode_image(flattened(image, "white"), name.upper(), 85), FORMATS[name])


def uri_of(data: bytes, media_type: str) -> str:
    """Bytes as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def part_at(pixels: Pixels, place: tuple[int, int] | None) -> Part:
    """Rows and columns of the part of a picture at a left and top, or where it has most detail."""
    height, width = pixels.shape[:2]
    if height * width <= MOST_SHOWN:
        return slice(0, height), slice(0, width)
    tall, wide = (in_blocks(min(most, side)) for most, side in ((TALL, height), (WIDE, width)))
    if place is None:
        return most_detailed(pixels, (tall, wide))
    left, top = (
        max(0, min(start, side - length))
        for start, side, length in zip(place, (width, height), (wide, tall), strict=True)
    )
    return slice(top, min(top + tall, height)), slice(left, min(left + wide, width))


def in_blocks(side: int) -> int:
    """As many pixels as whole blocks have, one block at least."""
    return max(side // BITS_BLOCK, 1) * BITS_BLOCK


def most_detailed(pixels: Pixels, size: tuple[int, int]) -> Part:
    """Rows and columns of the part (height, width) whose neighbours of every other pixel differ most."""
    green = pixels[::2, ::2, 1].astype(np.int16)
    green = np.pad(green, [(0, int(side == 1)) for side in green.shape], "edge")  # one row has no steps down
    steps = np.abs(np.diff(green, axis=0))[:, :-1] + np.abs(np.diff(green, axis=1))[:-1]
    detail = block_means(steps.astype(np.float32), BLOCK // 2)
    return largest_sum(detail, (pixels.shape[0], pixels.shape[1]), size)


def cut(picture: Picture, part: Part) -> Picture:
    """A part of a picture, with what says what its colours are."""
    alpha = None if picture.alpha is None else np.ascontiguousarray(picture.alpha[part])
    return Picture(np.ascontiguousarray(picture.pixels[part]), picture.gray, alpha, colours_of(picture))


def whole(
    data: bytes, options: CompressOptions, other: str, place: tuple[int, int] | None, job: Job
) -> dict[str, Any]:
    """The file of a picture file, and the part at `place` of it beside that of another codec's file.

    Raises AecodecError.
    """
    picture = read_picture(io.BytesIO(data), options)
    job.start_step(0, 3, "coding")
    encoded = aecodec.encode_image(picture, options)
    job.start_step(1, 3, "decoding")
    encoded.pixels  # noqa: B018  which decodes them, once
    job.start_step(2, 3, f"{other} at equal bytes")
    record = beside(encoded, picture, part_at(picture.pixels, place), other)
    return {**about(encoded), "comparison": record, "file": base64.b64encode(encoded.data).decode()}


def about(encoded: Encoded) -> dict[str, Any]:
    """What is said of a file."""
    header, finite = encoded.container.learned, np.isfinite(encoded.psnr)
    return {
        "bytes": len(encoded.data),
        "bpp": 8 * len(encoded.data) / (encoded.container.width * encoded.container.height),
        "quality": header.quality if header else None,
        "psnr": encoded.psnr if finite else None,
    }


def beside(encoded: Encoded, picture: Picture, part: Part, other: str) -> dict[str, Any] | None:
    """A part of our file and of another codec's at equal bytes; None where that would take too much memory.

    Metadata are left out of both sizes, and measures are of the part.
    """
    image = opaque(picture)
    if image.width * image.height > MOST_WHOLE.get(other, MAX_PIXELS):
        return None
    pixels = np.asarray(image.convert("RGB"))
    codecs, absent = reference_codecs()
    coded = [code_of(encoded)]
    notes = [*picture.notes, *([OVER_WHITE] if picture.alpha is not None else [])]
    for codec in codecs:
        if codec.name == other:
            came = code_reference(codec, image, pixels, len(coded[0].data), measures=())
            coded, notes = ([*coded, came], notes) if isinstance(came, Coded) else (coded, [*notes, came])
    notes += [f"{codec} is absent: {reason}" for codec, reason in absent.items() if codec == other]
    measured = [replace(one, measures=measure_all(pixels[part], one.pixels[part], MEASURES)) for one in coded]
    comparison = page_of("", pixels, part, measured, None, notes, colours_of(picture), True)
    return replace(comparison, part="").as_record()


def code_of(encoded: Encoded) -> Coded:
    """What comes of our file, its metadata left out, over white."""
    container = encoded.container
    boxes = {box: content for box, content in container.boxes.items() if box not in METADATA}
    setting = "lossless" if container.learned is None else f"quality {container.learned.quality:g}"
    image = opaque(Picture(encoded.pixels, container.shown_gray, encoded.source.alpha)).convert("RGB")
    return Coded(OURS, setting, serialise(replace(container, boxes=boxes)), 0.0, np.asarray(image), {})


def compress(data: bytes, options: CompressOptions) -> bytes:
    """The file of a picture file; raises AecodecError."""
    return aecodec.encode_image(read_picture(io.BytesIO(data), options), options).data


def picture_of(data: bytes, format: str, max_pixels: int) -> bytes:
    """The picture of an .aec file as PNG or JPEG, which has no transparency; raises AecodecError."""
    image = to_pillow(decompress_picture(data, max_pixels=max_pixels))
    return encode_image(fitted(image, "JPEG", "white") if format == "jpeg" else image, format.upper())


def info(data: bytes, max_pixels: int) -> dict[str, Any]:
    """What an .aec file holds, without decoding it; raises AecodecError."""
    contents = aecodec.info(data, max_pixels=max_pixels)
    return {**asdict(contents), "metadata": dict(contents.metadata), "bpp": contents.bpp}
