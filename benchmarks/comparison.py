"""One picture by our codec and by others at the same size, with what a page shows of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import aecodec
from aecodec import CompressOptions
from aecodec.benchmarks.equal_bytes import NEAR, Match, match_size, reference_codecs
from aecodec.benchmarks.metrics import METRICS, Pixels, measure_all
from aecodec.benchmarks.reference_codecs import ReferenceCodec
from aecodec.container import Box
from aecodec.parallel import thread_count
from aecodec.picture import Picture
from aecodec.picture.colour import fits
from aecodec.picture.metadata import info_of
from aecodec.picture.writing import LONGEST_SIDES, flattened, saved, to_pillow
from aecodec.rate_map import rate_map

OURS = "aecodec"
MEASURES = ("ssimulacra2", "ms_ssim", "psnr")
BLOCK = 8  # pixels each way of a place of the error map
BITS_BLOCK = 16  # pixels each way of a place of the bit map
MOST_SHOWN = 2**19  # pixels: what is larger is shown in part, so that its page stays under 5 MB
ONE_BY_ONE = 2**21  # pixels above which codecs follow each other: measures take 0.4 GB a megapixel
ERROR_UNITS = 8  # per level, in which errors are given
OVER_WHITE = "transparency is laid over white, as JPEG has none"

Plane = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shown:
    """One codec's picture. `off` is the share that its file is larger than ours; `note` is of its size.

    `image` is a data URI of the part that is shown, `errors` the root mean square error of each 8x8 pixels
    of it, in eighths of a level, row by row.
    """

    codec: str
    setting: str
    bytes: int
    bpp: float
    off: float
    note: str
    measures: Mapping[str, float]
    image: str
    errors: list[int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One picture by all codecs, ours first. `bits` are ours of each 16x16 pixels shown, or None.

    Left, top, shown width and height say which part of the picture is shown.
    """

    name: str
    width: int
    height: int
    left: int
    top: int
    shown_width: int
    shown_height: int
    original: str
    codecs: list[Shown]
    bits: list[int] | None
    notes: list[str] = field(default_factory=list)
    part: str = ""  # sentences of what is shown, where that is not all

    def as_record(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Coded:
    """What came of one codec, before it is cut to what is shown."""

    codec: str
    setting: str
    data: bytes
    off: float
    pixels: Pixels
    measures: Mapping[str, float]


def compare(
    picture: Picture,
    name: str,
    options: CompressOptions,
    only: str = "",
    measures: tuple[str, ...] = MEASURES,
    quick: bool = False,
) -> Comparison:
    """A picture by ours, as `aecodec.encode_image` does with these options, and by others at its size.

    `only` names one of the others; `quick` is for a page that need not be small. No file holds metadata, so
    that no codec pays for it, and what is transparent is laid over white, as JPEG has no transparency.
    Raises AecodecError where ours cannot be had.
    """
    notes = list(picture.notes)
    if picture.alpha is not None:
        notes.append(OVER_WHITE)
    image = opaque(picture)
    pixels = np.asarray(image.convert("RGB"))
    ours = code_ours(image, options)
    codecs, absent = reference_codecs()
    if only:
        codecs = [codec for codec in codecs if codec.name == only]
        absent = {codec: reason for codec, reason in absent.items() if codec == only}
    workers = 1 if pixels.size > 3 * ONE_BY_ONE else thread_count()
    with ThreadPoolExecutor(workers) as pool:
        measured = pool.submit(measure_all, pixels, ours.pixels, measures)
        reference = partial(
            code_reference, image=image, pixels=pixels, size=len(ours.data), measures=measures
        )
        outcomes = list(pool.map(reference, codecs))
    ours = replace(ours, measures=measured.result())
    coded = [ours, *(one for one in outcomes if isinstance(one, Coded))]
    notes += [failure for failure in outcomes if isinstance(failure, str)]
    notes += [f"{codec} is absent: {reason}" for codec, reason in absent.items()]
    part = shown_part(pixels, [one.pixels for one in coded])
    return page_of(name, pixels, part, coded, rate_map(ours.data), notes, colours_of(picture), quick)


def opaque(picture: Picture) -> Image.Image:
    """A picture as an L or RGB image over white, without metadata."""
    image = flattened(to_pillow(Picture(picture.pixels, picture.gray, picture.alpha)), "white")
    image.info = {}
    return image


def colours_of(picture: Picture) -> dict[Box, bytes]:
    """The boxes that say what a picture's colours are, which all pictures of its page get.

    A profile of other samples than the picture has is left out, as browsers go by none.
    """
    metadata = picture.metadata
    boxes = [Box.ICC] if fits(metadata.get(Box.ICC, b""), picture.gray) else []
    return {box: metadata[box] for box in (*boxes, Box.COLOUR) if box in metadata}


def code_ours(image: Image.Image, options: CompressOptions) -> Coded:
    """Our file, and what comes of it, not measured yet."""
    data = aecodec.encode_image(image, replace(options, strip="thumbnail")).data  # others have none
    about = aecodec.info(data)
    setting = "lossless" if about.quality is None else f"quality {about.quality:g}"
    return Coded(OURS, setting, data, 0.0, np.asarray(aecodec.decompress(data).convert("RGB")), {})


def code_reference(
    codec: ReferenceCodec, image: Image.Image, pixels: Pixels, size: int, measures: tuple[str, ...] = MEASURES
) -> Coded | str:
    """What comes of another codec's file of a size, or a clause that says why there is none."""
    try:
        match: Match = match_size(codec, image.copy(), size)  # as Pillow keeps options in the image
        decoded = np.asarray(codec.decode(match.data))
        if decoded.shape != pixels.shape:
            raise ValueError(f"{decoded.shape} came back for {pixels.shape}")
    except Exception as error:  # whatever a codec raises counts as its failure
        return f"{codec.name} failed: {type(error).__name__}: {error}"
    measured = measure_all(pixels, decoded, measures)
    return Coded(codec.name, f"quality {match.quality:g}", match.data, match.off, decoded, measured)


def note_of(one: Coded) -> str:
    """What is to be said of a size, if it is missed."""
    if abs(one.off) <= NEAR:
        return ""
    side = "larger" if one.off > 0 else "smaller"
    return f"{100 * abs(one.off):.1f} % {side}: the nearest that its quality gives"


def block_means(values: NDArray[np.floating[Any]], side: int) -> Plane:
    """Means of (H, W) over blocks, those at the right and at the bottom as large as remains."""
    rows, columns = (np.arange(0, n, side) for n in values.shape)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    counts = [np.minimum(side, n - starts) for n, starts in zip(values.shape, (rows, columns), strict=True)]
    return np.asarray(sums / np.outer(*counts), np.float64)


def error_map(pixels: Pixels, decoded: Pixels) -> Plane:
    """The mean squared error of each BLOCK x BLOCK pixels."""
    return block_means(np.square(pixels.astype(np.float32) - decoded).mean(2, dtype=np.float64), BLOCK)


def shown_part(pixels: Pixels, decoded: list[Pixels]) -> tuple[slice, slice]:
    """Rows and columns that are shown: all, or where the codecs' errors are most unlike each other."""
    height, width = pixels.shape[:2]
    if height * width <= MOST_SHOWN:
        return slice(0, height), slice(0, width)
    unlike = np.stack([error_map(pixels, other) for other in decoded]).std(0)
    return largest_sum(unlike, (height, width), shown_size(height, width, MOST_SHOWN))


def largest_sum(values: Plane, size: tuple[int, int], part: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a part of a picture where values of its BLOCK x BLOCK pixels have the largest sum.

    `size` and `part` are heights and widths in pixels. The part begins at a block of BITS_BLOCK.
    """
    (height, width), (tall, wide) = size, part
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    # A picture that is thinner than a BITS_BLOCK has fewer values than that.
    down, across = (min(side // BLOCK, length) for side, length in zip(part, values.shape, strict=True))
    total = sums[down:, across:] - sums[:-down, across:] - sums[down:, :-across] + sums[:-down, :-across]
    step = BITS_BLOCK // BLOCK  # so that both maps begin where the part does
    best = total[::step, ::step]
    top, left = (BITS_BLOCK * int(n) for n in np.unravel_index(best.argmax(), best.shape))
    return slice(top, min(top + tall, height)), slice(left, min(left + wide, width))


def shown_size(height: int, width: int, most: int) -> tuple[int, int]:
    """Height and width of a part of at most so many pixels, whole blocks: a square if the picture has one."""
    shorter = min(height, width, int(most**0.5))
    shorter = max(shorter // BITS_BLOCK, 1) * BITS_BLOCK
    longer = min(max(height, width), most // shorter) // BITS_BLOCK * BITS_BLOCK
    return (shorter, longer) if width >= height else (longer, shorter)


def page_of(
    name: str,
    pixels: Pixels,
    part: tuple[slice, slice],
    coded: list[Coded],
    bits: Plane | None,
    notes: list[str],
    colours: Mapping[Box, bytes],
    quick: bool = False,
) -> Comparison:
    """What a page shows of a picture; `quick` is for one that need not be small."""
    height, width = pixels.shape[:2]
    rows, columns = part
    with ThreadPoolExecutor(thread_count()) as pool:
        images = list(
            pool.map(
                lambda each: data_uri(each[part], colours, quick), [pixels, *(one.pixels for one in coded)]
            )
        )
    shown = [
        Shown(
            one.codec,
            one.setting,
            len(one.data),
            8 * len(one.data) / (width * height),
            one.off,
            note_of(one),
            one.measures,
            image,
            rounded(np.multiply(ERROR_UNITS, np.sqrt(error_map(pixels[part], one.pixels[part])))),
        )
        for one, image in zip(coded, images[1:], strict=True)
    ]
    own_bits = None if bits is None else rounded(bits[in_blocks(rows), in_blocks(columns)])
    sides = columns.stop - columns.start, rows.stop - rows.start
    place = columns.start, rows.start, *sides
    why = part_of(place, (width, height)) if sides != (width, height) else ""
    return Comparison(name, width, height, *place, images[0], shown, own_bits, notes, why)


def part_of(place: tuple[int, int, int, int], size: tuple[int, int]) -> str:
    """Sentences of why a part is shown of a picture of a size: its left, top, width and height."""
    left, top, width, height = place
    return (
        f"Shown are {width} × {height} pixels at {left}, {top} of {size[0]} × {size[1]}, where the codecs' "
        "errors are most unlike each other. All of it was coded and measured."
    )


def in_blocks(side: slice) -> slice:
    """The places of the bit map that a part of the picture needs."""
    return slice(side.start // BITS_BLOCK, -(-side.stop // BITS_BLOCK))


def rounded(values: Plane) -> list[int]:
    """Values as whole numbers, row by row."""
    return [int(value) for value in np.rint(values).ravel()]


def data_uri(pixels: Pixels, colours: Mapping[Box, bytes], quick: bool = False) -> str:
    """Pixels (H, W, 3) as a data URI of a lossless WebP, or of a PNG where that cannot hold size or colours.

    `quick` takes a PNG, which is larger by a half or so and takes a fifth of the time.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    gray = fits(colours.get(Box.ICC, b""), gray=True)
    if gray:  # as its profile asks for: of WebP's gray the channels differ by a level
        image = image.convert("L")
    image.info.update(info_of(colours))
    long = max(image.size) > LONGEST_SIDES["WEBP"]
    image_format = "PNG" if quick or long or gray or Box.COLOUR in colours else "WEBP"
    options: dict[str, Any] = {"lossless": True, "method": 3, "quality": 50} if image_format == "WEBP" else {}
    if quick:
        options = {"compress_level": 1}
    data = base64.b64encode(saved(image, image_format, options)).decode()
    return f"data:image/{image_format.lower()};base64,{data}"


def measure_labels(measures: tuple[str, ...] = MEASURES) -> dict[str, str]:
    """The names of measures as pages show them, in that order."""
    labels = {metric.name: metric.label for metric in METRICS}
    return {name: labels[name] for name in measures}
