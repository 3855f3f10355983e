"""JPEG XL through pillow-jxl-plugin, whose reader decodes as it opens: the header is read here first."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from aecodec.errors import ImageError, MissingExtraError
from aecodec.picture import check_input, exif
from aecodec.picture.boxes import boxes_of
from aecodec.picture.depth import LAST_OF_16_BITS, rounded

FORMAT = "JXL"
PACKED = b"brob"
MOST_METADATA = 2**24  # bytes of what is packed in a box, about
CODESTREAM = b"\xff\x0a"
RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}  # width to height
TIFF_MARKS = (b"II*\0", b"MM\0*")


@dataclass(frozen=True, slots=True)
class Header:
    """Size, depth and animation in the header of a codestream (ISO/IEC 18181-1, annexes D and E)."""

    width: int
    height: int
    bits: int  # of a sample
    animated: bool


class BitReader:
    """Numbers of some bits each, the lowest bit of each byte first."""

    def __init__(self, data: bytes) -> None:
        self.value, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self.left:
            raise ValueError("the header of the JPEG XL ends early")
        taken = self.value & (1 << count) - 1
        self.value >>= count
        self.left -= count
        return taken

    def choose(self, *choices: tuple[int, int]) -> int:
        """A number. Two bits choose an offset and a count of further bits, whose value is added."""
        offset, bits = choices[self.take(2)]
        return offset + self.take(bits)


def read_size(reader: BitReader) -> tuple[int, int]:
    """Width and height as a SizeHeader has them."""
    sides = ((1, 9), (1, 13), (1, 18), (1, 30))
    small = reader.take(1)
    height = 8 * (reader.take(5) + 1) if small else reader.choose(*sides)
    if ratio := reader.take(3):
        across, down = RATIOS[ratio]
        return height * across // down, height
    return (8 * (reader.take(5) + 1) if small else reader.choose(*sides)), height


def read_header(codestream: bytes) -> Header:
    """The header at the start of a codestream; raises ValueError where there is none."""
    if not codestream.startswith(CODESTREAM):
        raise ValueError("there is no JPEG XL codestream")
    reader = BitReader(codestream[2:66])
    width, height = read_size(reader)
    animated = False
    if reader.take(1):  # everything as usual
        return Header(width, height, 8, animated)
    if reader.take(1):  # extra fields
        reader.take(3)  # orientation, which the decoder applies
        if reader.take(1):
            read_size(reader)  # intrinsic
        if reader.take(1):
            raise ValueError("a JPEG XL with a preview cannot be read")
        if animated := bool(reader.take(1)):
            return Header(width, height, 8, animated)
    if reader.take(1):  # floats
        return Header(width, height, reader.choose((32, 0), (16, 0), (24, 0), (1, 6)), animated)
    return Header(width, height, reader.choose((8, 0), (10, 0), (12, 0), (1, 6)), animated)


def codestream_of(data: bytes) -> bytes:
    """The first 64 kB or so of the codestream in a file, which may be bare or in boxes."""
    if data.startswith(CODESTREAM):
        return data
    parts = []
    for box_type, content in boxes_of(io.BytesIO(data)):
        if box_type == b"jxlc":
            return data[content.start : content.stop]
        if box_type == b"jxlp":
            parts.append(data[content.start + 4 : min(content.stop, content.start + 2**16)])
    return b"".join(parts)


def open_jpeg_xl(data: bytes, max_pixels: int) -> Image.Image:
    """The image in a JPEG XL file, its orientation applied; `info` says the bits of its samples.

    Raises ImageError for animations and for too many pixels, MissingExtraError without the plugin.
    """
    from aecodec.picture.opening import open_image

    try:
        import brotli  # noqa: F401  for metadata, which `cjxl` packs
        from pillow_jxl import Decoder
    except ImportError as error:
        raise MissingExtraError("JPEG XL needs pip install 'aecodec[more]'") from error
    header = read_header(codestream_of(data))
    check_input(header.width, header.height, max_pixels)
    if header.animated:
        raise ImageError("is animated, of which JPEG XL's reader gives no single frame: extract one first")
    jpeg, properties, pixels, icc, boxes = Decoder(num_threads=1)(data)
    if jpeg:  # the file holds a JPEG, bit for bit
        return open_image(io.BytesIO(pixels), max_pixels)
    image = image_of(properties.mode, (properties.width, properties.height), pixels)
    image.format = FORMAT
    contents = dict(unpacked(bytes(box.box_type), bytes(box.data)) for box in boxes)
    image.info = {"bit_depth": header.bits, **({"icc_profile": icc} if icc else {})}
    if block := exif_in(contents.get(b"Exif", b"")):
        image.info["exif"] = block
    if xmp := contents.get(b"xml "):
        image.info["xmp"] = xmp
    return image


def image_of(mode: str, size: tuple[int, int], pixels: bytes) -> Image.Image:
    """The image of decoded samples; of 16 bits gray with alpha and floats have no mode in Pillow."""
    if mode == "F;16":
        return Image.fromarray(np.frombuffer(pixels, np.float16).reshape(size[::-1]).astype(np.float32))
    if mode == "LA" and len(pixels) == 4 * size[0] * size[1]:
        return Image.fromarray(
            rounded(np.frombuffer(pixels, np.uint16).reshape(*size[::-1], 2), LAST_OF_16_BITS)
        )
    return Image.frombytes(mode, size, pixels)


def unpacked(box_type: bytes, content: bytes) -> tuple[bytes, bytes]:
    """Type and content of a box, of a packed one (ISO/IEC 18181-2, 9.6) those of the box within."""
    if box_type != PACKED:
        return box_type, content
    import brotli

    unpacker = brotli.Decompressor()
    data = unpacker.process(content[4:], output_buffer_limit=MOST_METADATA)
    if not unpacker.is_finished():
        raise ImageError(f"has packed metadata that are cut or over {MOST_METADATA} bytes: remove them")
    return content[:4], data


def exif_in(box: bytes) -> bytes:
    """EXIF without the offset before it, its orientation 1: the codestream has the one that counts."""
    block = box[4:] if box[4:8] in TIFF_MARKS else box
    return exif.upright(block) if exif.is_readable(block) else block
