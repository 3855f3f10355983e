"""What people and programs wrote into a picture's file, and its resolution: the box of text.

`aecodec.container` specifies its bytes. In a Pillow image all of it is where Pillow's readers put it.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf, lcm
from typing import Any

from PIL import Image, PngImagePlugin

from aecodec.errors import BitstreamError
from aecodec.fields import MAX_VARINT_BYTES, Reader, write_varint
from aecodec.picture import photoshop

TEXT, COMMENT, IPTC, RESOLUTION = 1, 2, 3, 4  # types of entries
STORED, ZLIB = 0, 1
MOST_BYTES = 2**26  # of all entries, as Pillow allows of the text in a PNG
KEYWORD_MOST = 79  # characters, as in PNG
FINEST = (10_000, 100, 1)  # denominators of pixels an inch; one a metre is 127 / 5000 an inch
IPTC_IN_TIFF, PHOTOSHOP_IN_TIFF = 33723, 34377
PROFILE = "Raw profile type "  # how ImageMagick names metadata that it writes into a PNG as hexadecimal text
LOCATION = re.compile(r"gps|latitude|longitude|location|coordinate|iso.?6709|\bgeo", re.IGNORECASE)
# In texts and comments: by name, of ISO 6709, as two decimals, with N or S, in degrees and minutes.
LOOKS_LIKE_COORDINATES = (
    r"gps|latitude|longitude|\blat\s*[=:]|[+-]\d{1,7}\.\d+[+-]\d{1,8}\.\d+"
    r"|\d\.\d{3,}\s?[,;]\s?-?\d{1,3}\.\d{3}|\d\.\d{2,}\s?°?\s?[NS]\b|\b[NS]\s?\d{1,2}\s\d{1,2}\.\d"
    r"|\d\s?°\s?\d{1,2}(?:\.\d+)?\s?['′]"
)
COORDINATES = re.compile(LOOKS_LIKE_COORDINATES, re.IGNORECASE)
XMP_IN_PNG = "XML:com.adobe.xmp"
NO_TEXT = {"compression", XMP_IN_PNG}  # strings in `info` that no one wrote
KEYS = {"comment", "dpi", "photoshop"}  # of `info` that hold what belongs here, besides texts
RESERVED = {  # keys of `info` that Pillow gives a meaning when it reads, converts or saves
    *NO_TEXT,
    *("adobe", "aspect", "background", "bbox", "chromaticity", "cicp", "comment", "default_image", "dpi"),
    *("duration", "exif", "gamma", "icc_profile", "interlace", "loop", "photoshop", "srgb", "transparency"),
    "xmp",
}
PNG_KEYS = RESERVED - {"comment", XMP_IN_PNG}  # of which a text in a PNG is neither a comment nor XMP


@dataclass(frozen=True, slots=True)
class TextChunk:
    """One text of a PNG: its tEXt, zTXt or iTXt chunk."""

    keyword: str  # 1 to 79 characters of Latin-1
    value: str
    language: str = ""
    translated: str = ""  # the keyword in that language


@dataclass(frozen=True, slots=True)
class Text:
    """The content of a box of text."""

    chunks: tuple[TextChunk, ...] = ()
    comment: bytes = b""
    iptc: bytes = b""  # datasets of IIM 4
    dpi: tuple[Fraction, Fraction] | None = None  # pixels an inch, horizontally and vertically


def pack(text: Text) -> bytes:
    """The box of a text; empty for an empty text."""
    entries = [(TEXT, pack_chunk(chunk)) for chunk in text.chunks]
    entries += [(COMMENT, text.comment)] if text.comment else []
    entries += [(IPTC, text.iptc)] if text.iptc else []
    entries += [(RESOLUTION, pack_resolution(*text.dpi))] if text.dpi else []
    if not entries:
        return b""
    plain = b"".join(bytes([entry_type]) + write_varint(len(data)) + data for entry_type, data in entries)
    packed = zlib.compress(plain, 9)
    return bytes([ZLIB]) + packed if len(packed) < len(plain) else bytes([STORED]) + plain


def sideways(box: bytes) -> bytes:
    """The sound box of pixels that were turned by a quarter: its resolutions are exchanged."""
    text, _ = unpack(box)
    return pack(replace(text, dpi=text.dpi and text.dpi[::-1]))


def pack_chunk(chunk: TextChunk) -> bytes:
    parts = chunk.keyword, chunk.language, chunk.translated, chunk.value
    return b"\0".join(part.encode() for part in parts)


def pack_resolution(horizontal: Fraction, vertical: Fraction) -> bytes:
    denominator = lcm(horizontal.denominator, vertical.denominator)
    numbers = int(horizontal * denominator), int(vertical * denominator), denominator
    return b"".join(map(write_varint, numbers))


def unpack(box: bytes) -> tuple[Text, tuple[str, ...]]:
    """The text in a box, and notes of unknown entries; raises ValueError for a malformed box."""
    text_read, unknown, chunks = Text(), set(), []
    try:
        reader = Reader(unpacked(box))
        while reader.position < len(reader.data):
            entry_type = reader.byte("type of text")
            data = reader.take(reader.varint("length of text"), "text")
            if entry_type == TEXT:
                chunks.append(unpack_chunk(data))
            elif entry_type == COMMENT and data and not text_read.comment:
                text_read = replace(text_read, comment=data)
            elif entry_type == IPTC and data and not text_read.iptc:
                text_read = replace(text_read, iptc=data)
            elif entry_type == RESOLUTION and not text_read.dpi:
                text_read = replace(text_read, dpi=unpack_resolution(data))
            elif entry_type in (COMMENT, IPTC, RESOLUTION):
                raise ValueError(f"entry {entry_type} is empty or repeated")
            else:
                unknown.add(entry_type)
    except (BitstreamError, UnicodeError, zlib.error) as error:
        raise ValueError(str(error)) from error
    if len({one.keyword for one in chunks}) < len(chunks):
        raise ValueError("a keyword is repeated")
    numbers = ", ".join(map(str, sorted(unknown)))
    notes = (f"its text has entries of types {numbers}, of a later release: left out",) if unknown else ()
    return replace(text_read, chunks=tuple(chunks)), notes


def unpacked(box: bytes) -> bytes:
    """The entries of a box; raises ValueError or zlib.error."""
    method, data = box[:1], box[1:]
    if method == bytes([ZLIB]):
        inflater = zlib.decompressobj()
        data = inflater.decompress(data, MOST_BYTES + 1)
        if len(data) > MOST_BYTES or not inflater.eof or inflater.unused_data:
            raise ValueError(f"it is cut short, followed by something or over {MOST_BYTES} bytes")
    elif method != bytes([STORED]):
        raise ValueError("its method is unknown")
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is over {MOST_BYTES} bytes")
    return data


def unpack_chunk(data: bytes) -> TextChunk:
    parts = data.split(b"\0", 3)
    if len(parts) < 4:
        raise ValueError("a text lacks its keyword or language")
    keyword, language, translated, value = (part.decode() for part in parts)
    if not is_keyword(keyword):
        raise ValueError(f"keyword {keyword!r} is none")
    return TextChunk(keyword, value, language, translated)


def is_keyword(keyword: str) -> bool:
    """Whether PNG allows a keyword, but for spaces at its ends."""
    printable = all(" " <= c <= "~" or "\xa1" <= c <= "\xff" for c in keyword)
    return printable and 0 < len(keyword) <= KEYWORD_MOST


def unpack_resolution(data: bytes) -> tuple[Fraction, Fraction]:
    reader = Reader(data)
    horizontal, vertical, denominator = (reader.varint("resolution") for _ in range(3))
    if reader.position < len(data) or not (horizontal and vertical and denominator):
        raise ValueError("its resolution is none")
    return Fraction(horizontal, denominator), Fraction(vertical, denominator)


def of_image(image: Image.Image) -> tuple[Text, tuple[str, ...]]:
    """The text of a Pillow image, and notes of what cannot be kept."""
    notes = []
    chunks, odd = chunks_of(image)
    if odd:
        notes.append(f"its text {', '.join(map(repr, odd))} has no keyword that can be kept: left out")
    text = Text(chunks, comment_of(image), iptc_of(image), dpi_of(image))
    if sum(len(pack_chunk(one)) + 5 for one in chunks) + len(text.comment + text.iptc) + 32 > MOST_BYTES:
        return Text(dpi=text.dpi), (*notes, f"its text, over {MOST_BYTES} bytes, is left out")
    return text, tuple(notes)


def chunks_of(image: Image.Image) -> tuple[tuple[TextChunk, ...], list[str]]:
    """The texts, and the keys of texts that are no keywords, or that Pillow gives another meaning.

    The texts of a PNG are its text chunks whose keys are still in `info`, or never were. Those of other
    images are the strings in `info`.
    """
    if isinstance(image, PngImagePlugin.PngImageFile):
        texts = {key: value for key, value in image.text.items() if key in image.info or key in PNG_KEYS}
    else:
        strings = {k: v for k, v in image.info.items() if isinstance(k, str) and isinstance(v, str)}
        texts = {key: value for key, value in strings.items() if key not in NO_TEXT}
    chunks, odd = [], []
    for key, value in texts.items():
        if key in (XMP_IN_PNG, "comment") or key.startswith(PROFILE):
            continue
        if key in RESERVED or not is_keyword(key):
            odd.append(key)
        else:
            language, translated = (without_nul(getattr(value, name, None)) for name in ("lang", "tkey"))
            chunks.append(TextChunk(key, value.encode("utf-8", "replace").decode(), language, translated))
    return tuple(chunks), odd


def without_nul(text: str | bytes | None) -> str:
    """A language or a translated keyword, which a byte 0 ends."""
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text or ""
    return decoded.split("\0")[0]


def comment_of(image: Image.Image) -> bytes:
    """The comment; of a JPEG that has several, all of them, a line each."""
    comment = image.info.get("comment") or b""
    all_of_them = [data for name, data in getattr(image, "applist", ()) if name == "COM"]
    if all_of_them and all_of_them[-1] == comment:
        comment = b"\n".join(all_of_them)
    if isinstance(comment, str):
        return comment.encode("utf-8", "replace")
    return comment if isinstance(comment, bytes) else b""


def iptc_of(image: Image.Image) -> bytes:
    """IPTC's datasets: of a JPEG, of the tags of a TIFF, or as ImageMagick writes them into a PNG."""
    resources = image.info.get("photoshop")
    block = resources.get(photoshop.IPTC) if isinstance(resources, dict) else None
    if block is None and image.format == "TIFF":
        block = iptc_of_tiff(getattr(image, "tag_v2", {}))
    if block is None and (text := image.info.get(PROFILE + "iptc")):
        block = photoshop.iptc_of_text(text)
    return block if isinstance(block, bytes) else b""


def iptc_of_tiff(tags: Any) -> bytes | None:
    """IPTC from its tag, where some writers store numbers of 4 bytes, else from Photoshop's tag."""
    value = tags.get(IPTC_IN_TIFF)
    if isinstance(value, tuple) and all(isinstance(number, int) for number in value):
        order: Any = "little" if tags.prefix == b"II" else "big"
        value = b"".join(number.to_bytes(4, order) for number in value)
    if isinstance(value, bytes):
        return value
    block = tags.get(PHOTOSHOP_IN_TIFF)
    return photoshop.resources(block).get(photoshop.IPTC) if isinstance(block, bytes) else None


def dpi_of(image: Image.Image) -> tuple[Fraction, Fraction] | None:
    """Pixels an inch; None where Pillow has them from EXIF, or as a default of a file without resolution."""
    info, dpi = image.info, image.info.get("dpi")
    jpeg = image.format in ("JPEG", "MPO") or "jfif_unit" in info
    of_exif = jpeg and info.get("jfif_unit") not in (1, 2)
    if of_exif or not isinstance(dpi, tuple) or len(dpi) != 2:
        return None
    try:
        values = [float(value) for value in dpi]
    except (TypeError, ValueError, ArithmeticError):
        return None
    if not all(1 < value < inf for value in values):  # of a TIFF without resolution it is 1
        return None
    for finest in FINEST:
        horizontal, vertical = (Fraction(value).limit_denominator(finest) for value in values)
        denominator = lcm(horizontal.denominator, vertical.denominator)
        if max(horizontal, vertical) * denominator < 1 << 7 * MAX_VARINT_BYTES:
            return horizontal, vertical
    return None


def without_location(box: bytes) -> bytes | None:
    """The box without texts and a comment that name coordinates, or look so; None if it is damaged."""
    try:
        text = unpack(box)[0]
    except ValueError:
        return None
    named = {one for one in text.chunks if LOCATION.search(one.keyword) or COORDINATES.search(one.value)}
    chunks = tuple(one for one in text.chunks if one not in named)
    comment = b"" if COORDINATES.search(text.comment.decode("latin-1")) else text.comment
    if (chunks, comment) == (text.chunks, text.comment):
        return box
    return pack(replace(text, chunks=chunks, comment=comment))


def info_of(text: Text) -> dict[str, Any]:
    """The entries of a Pillow image's `info` for a text."""
    info: dict[str, Any] = {
        one.keyword: PngImagePlugin.iTXt(one.value, one.language, one.translated)
        if one.language or one.translated
        else one.value
        for one in text.chunks
        if one.keyword not in RESERVED
    }
    info |= {"comment": text.comment} if text.comment else {}
    info |= {"photoshop": {photoshop.IPTC: text.iptc}} if text.iptc else {}
    return info | ({"dpi": tuple(map(float, text.dpi))} if text.dpi else {})
