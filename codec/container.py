"""The container: one file, one picture. docs/format.md specifies every byte; change it together with this.

    ┌────────┬──────────┬───────────────┬─────────┬──────────┬──────────┬─────────┬────────┐
    │ magic  │ version, │ width, height │ coded   │ boxes or │ length   │ payload │ CRC-32 │
    │ 4 bytes│ kind     │ varint each   │ 7 bytes │ nothing  │ varint   │         │ 4 bytes│
    └────────┴──────────┴───────────────┴─────────┴──────────┴──────────┴─────────┴────────┘

`serialise` and `parse` convert between bytes and a `Container`; `read_file` takes no more of an open file
than a file of ours can have. `parse` compares each length with the bytes that are there before it reads them,
and sides with the pixel limit before anything is allocated. It raises an error of its own for each way in
which a file is wrong. What it makes of the payload's content is nothing: that is `aecodec.decoder`'s.

Bit 7 of the type of a box or stage says that a reader which does not know it may skip it. Such ones are kept
in `Container.unknown` and `Stages.unknown`, and are written again.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO

from aecodec.errors import (
    BitstreamError,
    ChecksumError,
    LimitError,
    NotAecodecError,
    TrailingDataError,
    VersionError,
)
from aecodec.fields import CHUNK, FileReader, Reader, write_varint

MAGIC = b"\xaeC\r\n"
VERSION = 1
MAX_SIDE = 2**24 - 1
MAX_PIXELS = 178_956_970  # unless the caller says otherwise; above it Pillow too refuses
QUALITY_UNITS = 100  # per unit of quality
SIDE_VARINT_BYTES = 4
PATCH = 16  # pixels each way that a position of the latent stands for
CELL = 32  # pixels each way that a position of the hyper-latent stands for: the unit of tiles
PADDING = 1.25  # times the limit that whole cells may take: sides of 160 pixels and more fit
PADDING_OF_SMALL = 2**16  # pixels that they may take besides: no work to speak of
ANY_SIZE = MAX_SIDE**2  # pixels
MAX_INPUT = 10 * 2**28  # bytes that are read at most of a picture in another format that comes by a pipe
TILE = 4096  # pixels each way of a tile of coding 2, for which libwebp takes 26 bytes a pixel
CHECKSUM_BYTES = 4
MAX_BOXES = 255  # whose count is a byte, and as many types as there are but 0

VERSION_SHIFT = 4
KIND_CODING = 0b0011
KIND_GRAY = 0b0100
KIND_BOXES = 0b1000
SKIPPABLE = 0x80  # of a box's type: who does not know it goes on without
QUALITY_HUNDREDTHS = 2**14 - 1
QUALITY_GRAY_AS_RGB = 2**14
QUALITY_EXTENDED = 2**15  # fields of a later release follow the CDF set


class Coding(enum.IntEnum):
    """How the payload codes the pixels."""

    LEARNED = 0
    LOSSLESS = 1
    LOSSLESS_TILES = 2


class Box(enum.IntEnum):
    """What accompanies the pixels."""

    ICC = 1
    EXIF = 2
    XMP = 3
    ALPHA = 4
    STAGES = 5
    TEXT = 6 | SKIPPABLE
    COLOUR = 7 | SKIPPABLE
    CLIPPING = 8
    THUMBNAIL = 11 | SKIPPABLE


class Stage(enum.IntEnum):
    """What is done besides coding."""

    DENOISE = 1
    ENHANCE = 2
    UPSCALE = 3


@dataclass(frozen=True, slots=True)
class Stages:
    """What was done before coding, and what the decoder does; nothing of the kind by default."""

    noise: int = 0  # that was removed, in quarters of a level, 1 to 255
    enhance: bytes = b""  # fingerprint of the network, 4 bytes
    upscale: bytes = b""  # the same
    scale: int = 1  # 2 to 4 where it is upscaled
    unknown: tuple[tuple[int, bytes], ...] = ()  # types and contents of those that were skipped


@dataclass(frozen=True, slots=True)
class LearnedHeader:
    """What the learned coding needs besides its payload."""

    fingerprint: bytes  # 4 bytes
    quality: float  # 0 to 100, of whole hundredths
    cdf_set: int  # which CDFs the hyper-latent is coded with, 0 to 255
    gray_as_rgb: bool = False  # whether a gray picture is shown as RGB, with three equal channels


@dataclass(frozen=True, slots=True)
class Container:
    """One file, parsed: dimensions in pixels, the coding, boxes and the payload."""

    width: int
    height: int
    gray: bool
    payload: bytes
    learned: LearnedHeader | None = None
    boxes: Mapping[Box, bytes] = field(default_factory=dict)
    stages: Stages = Stages()
    unknown: Mapping[int, bytes] = field(default_factory=dict)  # boxes that were skipped, by their type
    tiled: bool = False  # whether a lossless payload is in tiles

    @property
    def shown_gray(self) -> bool:
        """Whether the picture has mode L or LA; it may be coded as gray and be shown as RGB."""
        return self.gray and not (self.learned and self.learned.gray_as_rgb)

    @property
    def coded_size(self) -> tuple[int, int]:
        """Height and width of the picture in the payload."""
        return -(-self.height // self.stages.scale), -(-self.width // self.stages.scale)


def hundredths(quality: float) -> int:
    """A quality, 0 to 100, as it is written: in hundredths."""
    return round(quality * QUALITY_UNITS)


def serialise(container: Container) -> bytes:
    """The file of a container; raises LimitError for sides that no reader accepts."""
    check_size(container.width, container.height, ANY_SIZE)
    boxes: dict[int, bytes] = {int(box): content for box, content in container.boxes.items()}
    boxes.update(container.unknown)
    if container.stages != Stages():
        boxes[Box.STAGES] = write_stages(container.stages)
    lossless = Coding.LOSSLESS_TILES if container.tiled else Coding.LOSSLESS
    coding = Coding.LEARNED if container.learned else lossless
    kind = coding | KIND_GRAY * container.gray | KIND_BOXES * bool(boxes)
    parts = [MAGIC, bytes([VERSION << VERSION_SHIFT | kind])]
    parts += [write_varint(container.width), write_varint(container.height)]
    if learned := container.learned:
        quality = hundredths(learned.quality) | QUALITY_GRAY_AS_RGB * learned.gray_as_rgb
        parts += [learned.fingerprint, quality.to_bytes(2, "little"), bytes([learned.cdf_set])]
    if boxes:
        parts.append(bytes([len(boxes)]))
        for box, content in sorted(boxes.items()):
            parts += [bytes([box]), write_varint(len(content)), content]
    body = b"".join([*parts, write_varint(len(container.payload)), container.payload])
    return body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "little")


def read_file(file: IO[bytes]) -> bytes:
    """The bytes of an open file, or as many of them as show that it is none of ours, or no sound one.

    So an endless file, which a pipe or a device may be, does no harm.
    """
    reader = FileReader(file)
    reader.read_to(len(MAGIC))
    if reader.data.startswith(MAGIC):
        with suppress(BitstreamError):  # which `parse` raises again
            reader.take(len(MAGIC), "magic")
            read_fields(reader, ANY_SIZE)
            reader.take(CHECKSUM_BYTES, "checksum")
            reader.read_to(reader.position + CHUNK)  # what follows, which `parse` refuses
    return reader.data


def parse(data: bytes, max_pixels: int = MAX_PIXELS) -> Container:
    """A file's container, checked.

    Raises NotAecodecError, VersionError, TruncatedError, TrailingDataError, ChecksumError or LimitError.
    """
    if not data:
        raise NotAecodecError("an empty file: expected one that `aecodec compress` wrote")
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise NotAecodecError("not an aecodec file: expected one that `aecodec compress` wrote")
    reader = Reader(data)
    reader.take(len(MAGIC), "magic")
    container = read_fields(reader, max_pixels)
    body = data[: reader.position]
    checksum = reader.take(CHECKSUM_BYTES, "checksum")
    if extra := len(data) - reader.position:
        least = "at least " * (extra >= CHUNK)  # of which `read_file` reads no more
        remedy = "cut them off or get a sound copy"
        raise TrailingDataError(f"{least}{extra} bytes follow the end of the file: {remedy}")
    if zlib.crc32(body) != int.from_bytes(checksum, "little"):
        raise ChecksumError("checksum does not match: the file is damaged, get a sound copy")
    return container


def read_fields(reader: Reader, max_pixels: int) -> Container:
    """Everything between the magic and the checksum."""
    first = reader.byte("version")
    if (version := first >> VERSION_SHIFT) != VERSION:
        raise VersionError(f"format version {version} is unknown: this release reads version {VERSION}")
    if (coding := first & KIND_CODING) not in list(Coding):
        raise VersionError(f"coding {coding} is unknown: the file is damaged or of a later release")
    width, height = (reader.varint(side, SIDE_VARINT_BYTES) for side in ("width", "height"))
    check_size(width, height, max_pixels)
    gray = bool(first & KIND_GRAY)
    learned = read_learned(reader, gray) if coding == Coding.LEARNED else None
    boxes, unknown = read_boxes(reader) if first & KIND_BOXES else ({}, {})
    stages = read_stages(boxes.pop(Box.STAGES)) if Box.STAGES in boxes else Stages()
    if learned is None and (stages.enhance or stages.upscale):
        raise LimitError("a lossless picture has stages after it: the file is damaged")
    if learned is None and Box.CLIPPING in boxes:
        raise LimitError("a lossless picture has white and black of its own: the file is damaged")
    payload = reader.take(reader.varint("payload's length"), "payload")
    tiled = coding == Coding.LOSSLESS_TILES
    return Container(width, height, gray, payload, learned, boxes, stages, unknown, tiled)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises LimitError unless both sides are allowed and the picture is within `max_pixels`.

    Its own pixels must be, and, but for PADDING, those of the cells that it is coded in: of a picture one
    pixel wide they are 32 times as many, and so is the work.
    """
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise LimitError(f"size {width}x{height} is out of range: sides are 1 to {MAX_SIDE} pixels")
    limit = f"over the limit of {max_pixels} pixels: raise it with --max-pixels (max_pixels in Python)"
    if width * height > max_pixels:
        raise LimitError(f"size {width}x{height} is {limit}")
    across, down = (CELL * -(-side // CELL) for side in (width, height))
    if across * down > PADDING * max_pixels + PADDING_OF_SMALL:
        raise LimitError(f"size {width}x{height}, which takes the work of {across}x{down}, is {limit}")


def read_learned(reader: Reader, gray: bool) -> LearnedHeader:
    fingerprint = reader.take(4, "fingerprint")
    field = int.from_bytes(reader.take(2, "quality"), "little")
    quality, gray_as_rgb = field & QUALITY_HUNDREDTHS, bool(field & QUALITY_GRAY_AS_RGB)
    if field & QUALITY_EXTENDED:
        raise VersionError("the learned header is extended: the file is of a later release, or damaged")
    if quality > 100 * QUALITY_UNITS:
        raise LimitError(f"quality {quality / QUALITY_UNITS} is over 100: the file is damaged")
    if gray_as_rgb and not gray:
        raise LimitError("a picture that is not gray is marked as gray shown as RGB: the file is damaged")
    return LearnedHeader(fingerprint, quality / QUALITY_UNITS, reader.byte("CDF set"), gray_as_rgb)


def read_boxes(reader: Reader) -> tuple[dict[Box, bytes], dict[int, bytes]]:
    """The boxes that are known, and those that are not and may be skipped."""
    count = reader.byte("box count")
    if count == 0:
        raise LimitError(f"0 boxes are out of range, 1 to {MAX_BOXES}: the file is damaged")
    contents: dict[int, bytes] = {}
    for _ in range(count):
        box_type = reader.byte("box type")
        if box_type in contents:
            raise LimitError(f"box type {box_type} is repeated: the file is damaged")
        if box_type not in list(Box) and not box_type & SKIPPABLE:
            raise LimitError(f"box type {box_type} is unknown: the file is damaged or of a later release")
        contents[box_type] = reader.take(reader.varint("box length"), "box")
    known = {Box(box_type): content for box_type, content in contents.items() if box_type in list(Box)}
    return known, {box_type: content for box_type, content in contents.items() if box_type not in known}


def write_stages(stages: Stages) -> bytes:
    """The box of stages; nothing where there are none."""
    parts = []
    if stages.noise:
        parts += [bytes([Stage.DENOISE, stages.noise])]
    if stages.enhance:
        parts += [bytes([Stage.ENHANCE]), stages.enhance]
    if stages.upscale:
        parts += [bytes([Stage.UPSCALE, stages.scale]), stages.upscale]
    for stage_type, content in stages.unknown:
        parts += [bytes([stage_type]), write_varint(len(content)), content]
    return b"".join(parts)


def read_stages(box: bytes) -> Stages:
    """The stages that a box says, at least one; raises LimitError for what `write_stages` would not write."""
    reader, noise, enhance, upscale, scale = Reader(box), 0, b"", b"", 1
    unknown: dict[int, bytes] = {}
    while reader.position < len(box):
        stage_type = reader.byte("stage")
        if stage_type == Stage.DENOISE:
            noise = reader.byte("noise")
        elif stage_type == Stage.ENHANCE:
            enhance = reader.take(4, "fingerprint of a stage")
        elif stage_type == Stage.UPSCALE:
            scale, upscale = reader.byte("scale"), reader.take(4, "fingerprint of a stage")
        elif stage_type & SKIPPABLE:
            unknown[stage_type] = reader.take(reader.varint("length of a stage"), "stage")
        else:
            raise LimitError(f"stage {stage_type} is unknown: the file is damaged or of a later release")
    stages = Stages(noise, enhance, upscale, scale, tuple(sorted(unknown.items())))
    if not box or write_stages(stages) != box or (upscale and scale not in (2, 3, 4)):
        raise LimitError("the stages are not as they are written: the file is damaged")
    return stages
