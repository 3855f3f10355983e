"""What pictures carry besides pixels: out of Pillow images into boxes, and into the `info` of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from PIL import Image

from aecodec.container import Box
from aecodec.picture import bmp, code_points, exif, gif, leftovers, png, text, xmp
from aecodec.picture.code_points import Colour
from aecodec.picture.colour import notes_of_png_colours
from aecodec.picture.embedding import EXTENSION
from aecodec.picture.opening import file_of
from aecodec.picture.pillow_errors import MALFORMED

METADATA = {Box.ICC: "icc_profile", Box.EXIF: "exif", Box.XMP: "xmp"}


def read_metadata(image: Image.Image, content: bytes) -> tuple[dict[Box, bytes], list[str], bool]:
    """The boxes of an image's metadata, notes of what is left out, and whether its EXIF can be read.

    `content` are the bytes of its file, as far as they are known. Each kind is looked into only where there
    is something of it.
    """
    info, notes, readable = image.info, list[str](), True
    boxes = {Box.ICC: info.get("icc_profile")}
    if "icc_profile" not in info and (profile := profile_in(image, content)) is not None:
        boxes[Box.ICC] = profile
        notes += [] if profile else [leftovers.UNREADABLE_PROFILE]
    if "exif" in info or exif.IN_PNG in info or image.format == "TIFF":
        boxes[Box.EXIF], readable = read_exif(image)
    if info.get("xmp"):
        boxes[Box.XMP], more = packet_of(image)
        notes += more
    has_text = any(isinstance(value, str) for value in info.values()) or getattr(image, "text", None)
    if has_text or info.keys() & text.KEYS or image.format == "TIFF":
        texts, odd = text.of_image(image)
        boxes[Box.TEXT] = text.pack(texts)
        notes += odd
    cicp = cicp_of(image, content)
    if colour := colour_of(image, content, cicp):
        boxes[Box.COLOUR] = code_points.pack(colour)
        if colour.is_hdr:
            others = "PNG and AVIF can say so again, other formats cannot"
            notes.append(f"its colours are {colour.name}: {others}")
    notes += leftovers.notes(image, content)
    if "gamma" in info or "chromaticity" in info:
        notes += notes_of_png_colours(image, cicp)
    return {box: bytes(data) for box, data in boxes.items() if data}, notes, readable


def profile_in(image: Image.Image, content: bytes) -> bytes | None:
    """The ICC profile of a format of which Pillow reads none; None for none, empty if it is not all there."""
    if image.format == "GIF":
        return gif.blocks_of(content).applications.get(gif.ICC)
    if image.format in ("BMP", "DIB"):
        with file_of(image) as file:
            return bmp.profile_of(file) if file else None
    return None


def read_exif(image: Image.Image) -> tuple[bytes | None, bool]:
    """The EXIF of an image, and whether it can be read."""
    try:
        if (block := exif.block_of(image)) is None:
            return exif.block_of_tags(image), True
    except MALFORMED:
        return None, False
    return block, not block or exif.is_readable(block)


def packet_of(image: Image.Image) -> tuple[bytes, list[str]]:
    """The XMP of an image, and notes. It includes a JPEG's extension, and nothing about what is left out."""
    packet, notes = image.info["xmp"], []
    packet = packet.encode() if isinstance(packet, str) else bytes(packet)
    if digest := xmp.extension_of(packet):
        combined = xmp.extended(packet, extension_in(image, digest))
        if combined is None:
            notes.append("its extended XMP is left out: it is not there as a whole, or cannot be read")
            combined = xmp.without_extension(packet)
        packet = b"" if combined is None or xmp.is_empty(combined) else combined
    if xmp.speaks_of_gain_map(packet):
        notes.append("its gain map is left out, and what its XMP says of it")
    elif xmp.names_of_containers(packet):
        notes.append("what its XMP says of a film or of pictures behind it is left out")
    left = xmp.without_containers(packet)
    if left is None:
        notes.append("its XMP, which says so where it cannot be edited, is left out too")
    return left or b"", notes


def extension_in(image: Image.Image, digest: str) -> bytes:
    """The extended XMP of a digest in a JPEG's segments; empty where it is not whole."""
    head = EXTENSION + digest.encode()
    segments = [data for name, data in getattr(image, "applist", ()) if name == "APP1"]
    parts = [data[len(head) :] for data in segments if data.startswith(head) and len(data) > len(head) + 8]
    extension = b""
    for part in sorted(parts, key=lambda part: part[4:8]):
        if int.from_bytes(part[4:8], "big") != len(extension):
            return b""
        extension += part[8:]
    return extension if parts and int.from_bytes(parts[0][:4], "big") == len(extension) else b""


def cicp_of(image: Image.Image, content: bytes) -> bytes | None:
    """The cICP of an image or of its PNG, which goes before all else that a PNG says of colours."""
    if "cicp" in image.info or image.format != "PNG":
        return image.info.get("cicp")
    return png.chunks_of(content).first.get(b"cICP")


def colour_of(image: Image.Image, content: bytes, cicp: bytes | None) -> Colour | None:
    """The code points of an image's colours; None where it has none, or those of sRGB."""
    colour = code_points.of_cicp(cicp)
    if not colour and image.format in ("AVIF", "HEIF") and not image.info.get("icc_profile"):
        colour = code_points.of_avif(content)
    return colour if colour and not colour.is_srgb else None


def upright(boxes: Mapping[Box, bytes], sideways: bool) -> dict[Box, bytes]:
    """The boxes of pixels that were turned, whose orientation is 1 now; may raise ValueError of EXIF.

    Those that lay `sideways` have their resolutions exchanged.
    """
    edits: dict[Box, Callable[[bytes], bytes]] = {Box.EXIF: partial(exif.upright, sideways=sideways)}
    edits |= {Box.XMP: xmp.upright} | ({Box.TEXT: text.sideways} if sideways else {})
    return {box: edits[box](data) if box in edits else data for box, data in boxes.items()}


def sound(boxes: Mapping[Box, bytes]) -> tuple[dict[Box, bytes], list[str]]:
    """The boxes of metadata without damaged ones, and notes of these and of unknown entries."""
    kept: dict[Box, bytes] = dict(boxes)
    notes: list[str] = []
    try:
        notes += text.unpack(kept[Box.TEXT])[1] if Box.TEXT in kept else ()
    except ValueError as error:
        del kept[Box.TEXT]
        notes.append(f"its text is damaged ({error}): left out")
    try:
        if Box.COLOUR in kept:
            code_points.unpack(kept[Box.COLOUR])
    except ValueError as error:
        del kept[Box.COLOUR]
        notes.append(f"what it says of its colours is damaged ({error}): left out")
    return kept, notes


def info_of(boxes: Mapping[Box, bytes]) -> dict[str, Any]:
    """The entries of a Pillow image's `info` for sound boxes."""
    info: dict[str, Any] = text.info_of(text.unpack(boxes[Box.TEXT])[0]) if Box.TEXT in boxes else {}
    info |= {METADATA[box]: data for box, data in boxes.items() if box in METADATA}
    if Box.EXIF in boxes:
        info["exif"] = exif.canonical(boxes[Box.EXIF])
    return info | ({"cicp": boxes[Box.COLOUR]} if Box.COLOUR in boxes else {})
