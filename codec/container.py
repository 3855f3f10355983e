"""The container: one file, one picture. This page is the specification; the code below follows it.

    0        4          5
    ┌────────┬──────────┬───────────────┬─────────┬──────────┬──────────┬─────────┬────────┐
    │ magic  │ version, │ width, height │ coded   │ boxes or │ length   │ payload │ CRC-32 │
    │ 4 bytes│ kind     │ varint each   │ 7 bytes │ nothing  │ varint   │         │ 4 bytes│
    └────────┴──────────┴───────────────┴─────────┴──────────┴──────────┴─────────┴────────┘

magic       AE 43 0D 0A: a byte above 127, `C`, and a line ending that text-mode transfers break.
version,    bits 4-7: version, 1; bits 0-1: coding (0 learned, 1 lossless WebP, 2 lossless in tiles);
kind        bit 2: gray; bit 3: boxes follow.
width,      pixels of the picture as shown, 1 to 2**24 - 1 each. Their product is checked against
height      the reader's pixel limit before anything is allocated.
coded       for coding 0 only: the model's fingerprint (4 bytes), quality (2 bytes, little endian; bits
            0-13: hundredths, 0 to 10000; bit 14: gray is shown as RGB, only where the picture is gray;
            bit 15: 0), CDF set of the hyper-latent (1 byte).
boxes       if bit 3 is set: a count (1 byte, 1 to 15), then for each a type (1 byte), a length
            (varint) and that many bytes. A type appears at most once. Bit 7 of the type says that a
            reader which does not know the type may skip the box; it notes that it did, and it refuses
            other types that it does not know. 1 ICC profile, 2 EXIF, 3 XMP, 4 alpha (a WebP as in
            coding 1, or, where the picture has a side over 16383 or more than 2**26 pixels, tiles as in
            coding 2), 5 stages, 6 | 128 text, 7 | 128 colour, 8 white and black.
EXIF        Exif\0\0, then a TIFF structure, whatever the format of the picture's file. Readers accept it
            without these 6 bytes.
stages      for each, in ascending order, a type (1 byte) and what belongs to it: 1 denoised before coding
            (deviation of the noise, 1 byte, in quarters of one of 255 levels); 2 enhance after decoding
            (4 bytes); 3 upscale last (scale, 1 byte, 2 to 4; 4 bytes). The 4 bytes are the fingerprint of
            the network. 2 and 3 are for coding 0 alone.
text        a method (1 byte: 0 as it is, 1 zlib), then, by that method, for each entry a type (1 byte), a
            length (varint) and that many bytes, at most 2**26 bytes in all:
            1 text       keyword, language tag and translated keyword, each ended by a byte 0, and the
                         text; all UTF-8, the keyword of Latin-1 characters, 1 to 79 of them, as in PNG.
            2 comment    of a JPEG or GIF, in no encoding that is known.
            3 IPTC       datasets as of IIM 4 (in a JPEG, resource 0x0404 of APP13).
            4 resolution horizontal, vertical and a denominator, varints above 0: pixels an inch are
                         horizontal / denominator and vertical / denominator.
            Entries of type 1 may repeat, with other keywords; the others appear at most once. A reader
            passes over types it does not know, and drops a box that breaks these rules; it notes both.
colour      code points of ITU-T H.273 for primaries, transfer, matrix and the full range flag (a byte
            each), as in the cICP chunk of PNG; the samples are RGB, so the last two are 0 and 1. Absent
            for sRGB. Where there is an ICC profile beside it, it is for outputs that know no code points.
            A reader drops a box of another length, and notes it.
white       for coding 0 alone. For white (255), then for black (0), one byte: bits 0-3 the reach, in
and black   levels; bits 4-5: patches (0 none, 1 of 8x8 pixels, 2 of 16x16); bit 6: the reach counts
            everywhere; bit 7: 0. With patches, a length (varint) and raw deflate data (RFC 1951) follow,
            of varints: lengths of runs of the ceil(height / side) x ceil(width / side) patches, row by
            row, in turn not whole and whole, the last whole; only the first may be 0.
length      of the payload.
payload     coding 0: one stream of symbols, see `aecodec.entropy.coder`; coding 1: a WebP file whose first
            chunk is VP8L, of the same width and height. Where its alpha_is_used bit is set, it holds
            the picture's alpha, and a reader refuses an alpha box beside it. coding 2: the picture cut
            into tiles of 4096x4096 pixels from its top left corner, those at the right and at the bottom
            as large as remains; row by row, for each a length (varint) and a WebP as in coding 1, of the
            tile's width and height. All have alpha or none has. A tile depends on no other.
CRC-32      of all bytes before it (ISO-HDLC, as in PNG), little endian. The file ends here.

Meaning: a learned payload holds ceil(height / 32) x ceil(width / 32) hyper-latent positions and twice
as many latents each way; the picture that they give is cropped to height x width from its top left
corner (the writer pads by repeating the last row and column). Where it is upscaled, the payload holds a
picture of ceil(height / scale) x ceil(width / scale) in the same way. `aecodec.entropy.context` defines the
order in which means are refined, `aecodec.decoder.reconstruction` how. With the gray bit the picture is the
mean of its three channels, rounded, a half upwards. Of a WebP payload alpha counts if
alpha_is_used is set, in the alpha box only green. Beside a lossless payload without alpha that box is sound.

White and black are drawn in the outputs of the last network, at the size shown, times 255 and not yet
rounded. The distance d of a sample from the end becomes min(d, max(0, 2 * (d - reach))), everywhere or in
whole patches and the eight around each; then it becomes 0 in whole patches. So what machines compute a
little differently stays within one level.

A varint is unsigned, little endian, seven bits a byte, the high bit set on all but the last byte,
in its shortest form and at most four bytes long.

Limits: 2**28 - 1 for any length; the pixel limit is the reader's. All lengths are compared with the
bytes that are there before anything is read. The fixed cost of a learned RGB photograph without
metadata is 22 bytes at 768x512, and 23 where the payload is longer than 16 383 bytes.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import IO

from aecodec.errors import (
    ChecksumError,
    LimitError,
    NotAecodecError,
    TrailingDataError,
    TruncatedError,
    VersionError,
)

MAGIC = b"\xaeC\r\n"
VERSION = 1
MAX_SIDE = 2**24 - 1
MAX_PIXELS = 178_956_970  # unless the caller says otherwise; above it Pillow too refuses
QUALITY_UNITS = 100  # per unit of quality
MAX_VARINT_BYTES = 4
PATCH = 16  # pixels each way that a position of the latent stands for
CELL = 32  # pixels each way that a position of the hyper-latent stands for: the unit of tiles
PADDING = 1.25  # times the limit that whole cells may take: sides of 160 pixels and more fit
PADDING_OF_SMALL = 2**16  # pixels that they may take besides: no work to speak of
ANY_SIZE = MAX_SIDE**2  # pixels
MAX_FILE = 10 * 2**28  # bytes, more than a payload and a box of each kind of the greatest length
TILE = 4096  # pixels each way of a tile of coding 2, for which libwebp takes 26 bytes a pixel
CHUNK = 2**20  # bytes that are read at a time

VERSION_SHIFT = 4
KIND_CODING = 0b0011
KIND_GRAY = 0b0100
KIND_BOXES = 0b1000
SKIPPABLE = 0x80  # of a box's type: who does not know it goes on without
QUALITY_HUNDREDTHS = 2**14 - 1
QUALITY_GRAY_AS_RGB = 2**14


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

    @property
    def coding(self) -> Coding:
        if self.learned:
            return Coding.LEARNED
        return Coding.LOSSLESS_TILES if self.tiled else Coding.LOSSLESS


def hundredths(quality: float) -> int:
    """A quality, 0 to 100, as it is written: in hundredths."""
    return round(quality * QUALITY_UNITS)


def write_varint(value: int) -> bytes:
    """`value`, 0 to 2**28 - 1, as a varint; raises LimitError beyond."""
    if not 0 <= value < 1 << 7 * MAX_VARINT_BYTES:
        raise LimitError(f"{value} does not fit the format: lengths and sides end at 2**28 - 1")
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F)
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


class Reader:
    """Takes fields off the front of a file; raises TruncatedError where there is too little."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int, what: str) -> bytes:
        if count > len(self.data) - self.position:
            missing = count - (len(self.data) - self.position)
            raise TruncatedError(f"file ends {missing} bytes short, within the {what}: get a complete copy")
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self, what: str) -> int:
        return self.take(1, what)[0]

    def varint(self, what: str) -> int:
        value = 0
        for place in range(MAX_VARINT_BYTES):
            byte = self.byte(what)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if byte == 0 and place > 0:
                    raise LimitError(f"{what} is not in its shortest form: the file is damaged")
                return value
        raise LimitError(f"{what} is longer than {MAX_VARINT_BYTES} bytes: the file is damaged")


def serialise(container: Container) -> bytes:
    """The file of a container; raises LimitError for sides that no reader accepts."""
    check_size(container.width, container.height, ANY_SIZE)
    stages = write_stages(container.stages)
    boxes: dict[int, bytes] = {int(box): content for box, content in container.boxes.items()}
    boxes.update(container.unknown)
    if stages:
        boxes[Box.STAGES] = stages
    kind = container.coding | KIND_GRAY * container.gray | KIND_BOXES * bool(boxes)
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
    return body + zlib.crc32(body).to_bytes(4, "little")


def read_file(file: IO[bytes]) -> bytes:
    """The bytes of an open file, or as many of them as show that it is none of ours.

    So an endless file, which a pipe or a device may be, does no harm.
    """
    parts = [file.read(len(MAGIC))]
    if parts[0] == MAGIC:
        parts += islice(iter(partial(file.read, CHUNK), b""), MAX_FILE // CHUNK)
    return b"".join(parts)


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
    checksum = reader.take(4, "checksum")
    if extra := len(data) - reader.position:
        raise TrailingDataError(f"{extra} bytes follow the end of the file: cut them off or get a sound copy")
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
    width, height = reader.varint("width"), reader.varint("height")
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
    if field > QUALITY_GRAY_AS_RGB | QUALITY_HUNDREDTHS:
        raise LimitError("the highest bit of the quality is set: the file is damaged or of a later release")
    if quality > 100 * QUALITY_UNITS:
        raise LimitError(f"quality {quality / QUALITY_UNITS} is over 100: the file is damaged")
    if gray_as_rgb and not gray:
        raise LimitError("a picture that is not gray is marked as gray shown as RGB: the file is damaged")
    return LearnedHeader(fingerprint, quality / QUALITY_UNITS, reader.byte("CDF set"), gray_as_rgb)


def read_boxes(reader: Reader) -> tuple[dict[Box, bytes], dict[int, bytes]]:
    """The boxes that are known, and those that are not and may be skipped."""
    count = reader.byte("box count")
    if not 0 < count < 16:
        raise LimitError(f"{count} boxes are out of range, 1 to 15: the file is damaged")
    found: dict[int, bytes] = {}
    for _ in range(count):
        kind = reader.byte("box type")
        if kind in found:
            raise LimitError(f"box type {kind} is repeated: the file is damaged")
        if kind not in list(Box) and not kind & SKIPPABLE:
            raise LimitError(f"box type {kind} is unknown: the file is damaged or of a later release")
        found[kind] = reader.take(reader.varint("box length"), "box")
    known = {Box(kind): content for kind, content in found.items() if kind in list(Box)}
    return known, {kind: content for kind, content in found.items() if kind not in known}


def write_stages(stages: Stages) -> bytes:
    """The box of stages; nothing where there are none."""
    parts = []
    if stages.noise:
        parts += [bytes([Stage.DENOISE, stages.noise])]
    if stages.enhance:
        parts += [bytes([Stage.ENHANCE]), stages.enhance]
    if stages.upscale:
        parts += [bytes([Stage.UPSCALE, stages.scale]), stages.upscale]
    return b"".join(parts)


def read_stages(box: bytes) -> Stages:
    """The stages that a box says, at least one; raises LimitError for what `write_stages` would not write."""
    reader, noise, enhance, upscale, scale = Reader(box), 0, b"", b"", 1
    while reader.position < len(box):
        kind = reader.byte("stage")
        if kind == Stage.DENOISE:
            noise = reader.byte("noise")
        elif kind == Stage.ENHANCE:
            enhance = reader.take(4, "fingerprint of a stage")
        elif kind == Stage.UPSCALE:
            scale, upscale = reader.byte("scale"), reader.take(4, "fingerprint of a stage")
        else:
            raise LimitError(f"stage {kind} is unknown: the file is damaged or of a later release")
    stages = Stages(noise, enhance, upscale, scale)
    if not box or write_stages(stages) != box or (upscale and scale not in (2, 3, 4)):
        raise LimitError("the stages are not as they are written: the file is damaged")
    return stages
