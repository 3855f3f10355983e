"""PNG files as Pillow opens them, but for what is no pixels: nothing of it keeps them from being read.

Pillow puts texts into `info` under their keywords, beside what it reads of other chunks: a text `exif` takes
the place of EXIF, and a text `interlace` or `transparency` keeps pixels from being decoded. One text that is
too long has the picture refused, as a long ICC profile and damage before the pixels have. Here texts with
such keywords are in `text` only, too long ones, cut ones and damaged chunks nowhere, and long profiles are
read.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from PIL import Image, ImageFile, PngImagePlugin

from aecodec.picture.pillow_errors import MALFORMED
from aecodec.picture.text import KEYWORD_MOST, MOST_BYTES, PNG_KEYS

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LENGTH_KIND_CHECKSUM = 12  # bytes of a chunk beside its content
END = b"IEND"
OF_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", END}  # chunks of a file that holds nothing else
DECIDING = OF_PIXELS | {b"acTL", b"fcTL", b"fdAT"}  # chunks that decide on pixels
TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
LEAST = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}  # bytes of the content
CLASHING = re.compile(b"[tzi][ET]Xt(?:%s)\0" % b"|".join(key.encode() for key in sorted(PNG_KEYS)))
NAME_METHOD = re.compile(rb"[^\0]*\0.?", re.DOTALL)
PACKED = {  # how chunks of compressed content begin
    b"iCCP": NAME_METHOD,
    b"zTXt": NAME_METHOD,
    b"iTXt": re.compile(rb"[^\0]*\0[^\0].(?:[^\0]*\0){2}", re.DOTALL),
}


def places_of(content: bytes) -> Iterator[tuple[bytes, slice]]:
    """The type of each chunk of a file, and where its content stands, or should: it may be cut."""
    place, chunk_type = len(PNG_SIGNATURE), b""
    while place + LENGTH_KIND_CHECKSUM <= len(content) and chunk_type != END:
        size, chunk_type = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        yield chunk_type, slice(place + 8, place + 8 + size)
        place += LENGTH_KIND_CHECKSUM + size


def is_damaged(chunk_type: bytes, content: bytes | memoryview, checksum: bytes) -> bool:
    """Whether a chunk is too short, or its content is not that of its checksum, as far as this is there."""
    wrong = len(checksum) == 4 and zlib.crc32(content, zlib.crc32(chunk_type)) != int.from_bytes(checksum)
    return (wrong and chunk_type != END) or len(content) < LEAST.get(chunk_type, 0)


# Compressed chunks that are looked into, so that many do not take for ever: by Pillow's limit of memory.
MOST_PACKED = PngImagePlugin.MAX_TEXT_MEMORY // PngImagePlugin.MAX_TEXT_CHUNK


def is_cut(chunk_type: bytes, content: bytes) -> bool:
    """Whether the content of a chunk is compressed and not there as a whole, as far as Pillow reads it."""
    head = PACKED[chunk_type].match(content) if chunk_type in PACKED else None
    if head is None:
        return False
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(content[head.end() :], PngImagePlugin.MAX_TEXT_CHUNK)
    except zlib.error:
        return True
    return not inflater.eof and len(plain) < PngImagePlugin.MAX_TEXT_CHUNK


def has_faults(content: bytes) -> bool:
    """Whether a chunk that does not decide on pixels is damaged or cut, or more than MOST_PACKED may be."""
    packed = 0
    for chunk_type, place in places_of(content):
        if chunk_type in DECIDING:
            continue
        packed += chunk_type in PACKED
        checksum = content[place.stop : place.stop + 4]
        if packed > MOST_PACKED or is_damaged(chunk_type, content[place], checksum):
            return True
        if is_cut(chunk_type, content[place]):
            return True
    return False


class TextStream(PngImagePlugin.PngStream):
    """The chunks of a file."""

    def call(self, cid: bytes, pos: int, length: int) -> bytes:
        """The content of a chunk. What is damaged goes nowhere, but for pixels."""
        if cid in DECIDING or cid[:1].isupper():
            return super().call(cid, pos, length)
        assert self.fp
        content, checksum = ImageFile._safe_read(self.fp, length), self.fp.read(4)
        self.fp.seek(pos)
        if is_damaged(cid, content, checksum):
            self.fp.seek(pos + length)
            if cid == b"iCCP":
                self.im_info.setdefault("icc_profile", None)
        elif cid in TEXTS:
            self.read_text(cid, pos, content)
        else:
            super().call(cid, pos, length)
        return content

    def crc(self, cid: bytes, data: bytes) -> None:
        """Read a checksum. That of what pixels do without has been compared."""
        assert self.fp
        if is_damaged(cid, data, self.fp.read(4)) and cid[:1].isupper():
            raise SyntaxError(f"its chunk {cid.decode()} is damaged")

    def chunk_iCCP(self, pos: int, length: int) -> bytes:  # noqa: N802
        assert self.fp
        content = ImageFile._safe_read(self.fp, length)
        method_and_data = content.partition(b"\0")[2]
        inflater, profile = zlib.decompressobj(), None
        with suppress(zlib.error):
            profile = inflater.decompress(method_and_data[1:], MOST_BYTES)
        whole = method_and_data[:1] == b"\0" and inflater.eof
        self.im_info["icc_profile"] = profile if whole else None
        return content

    def read_text(self, cid: bytes, pos: int, content: bytes) -> None:
        """Let Pillow put a text where it belongs, if it is whole and not too long."""
        assert self.fp
        keyword = content[: KEYWORD_MOST + 1].split(b"\0")[0].decode("latin-1")
        before = {keyword: self.im_info[keyword]} if keyword in self.im_info else {}
        try:
            if self.text_memory <= PngImagePlugin.MAX_TEXT_MEMORY and is_cut(cid, content):
                raise ValueError("a text that is cut")
            if self.text_memory <= PngImagePlugin.MAX_TEXT_MEMORY:
                super().call(cid, pos, len(content))
                if keyword in PNG_KEYS:
                    self.im_info.pop(keyword, None)
                    self.im_info.update(before)
        except (SyntaxError, ValueError):  # one that is cut, too long, or compressed in an unknown way
            self.im_info.pop(keyword, None)
            self.im_info.update(before)
            self.im_text.pop(keyword, None)
            self.text_memory += PngImagePlugin.MAX_TEXT_CHUNK  # so that many do not take for ever
        self.fp.seek(pos + len(content))


class PngFile(PngImagePlugin.PngImageFile):
    """A PNG file, read by a TextStream."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "png" and value is not None:  # Pillow leaves no choice of the stream that it reads
            value = TextStream(value.fp)
        super().__setattr__(name, value)


def with_true_info(image: Image.Image, content: bytes) -> Image.Image:
    """An image that Pillow has opened of a PNG; if its `info` or texts are wrong, one with the right ones.

    Keys that the caller has deleted or changed stay so, and pixels do that were loaded.
    """
    if isinstance(image, PngFile) or not (CLASHING.search(content) or has_faults(content)):
        return image
    right, whole = PngFile(io.BytesIO(content)), PngFile(io.BytesIO(content))
    right.seek(image.tell())
    whole.load()  # as there may be texts behind the pixels; those of the other tell their depth until loaded
    with PngImagePlugin.PngImageFile(io.BytesIO(content)) as wrong, suppress(*MALFORMED):
        wrong.load()
    differ = {key: value for key, value in wrong.info.items() if value != whole.info.get(key)}
    replaced = {key for key, value in differ.items() if image.info.get(key) == value}
    kept = {key: value for key, value in image.info.items() if key not in replaced}
    right.info = kept | {key: whole.info[key] for key in replaced if key in whole.info}
    if getattr(image, "tile", None) and right.png:
        right.png.im_info = right.info  # to which that behind the pixels comes as they are loaded
    else:
        right.load()
        right.im, right._mode, right._size, right.palette = image.im, image.mode, image.size, image.palette
    if not replaced & {"exif", "xmp"}:
        right._exif = image._exif
    return right
