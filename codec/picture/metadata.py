"""What pictures carry besides pixels: out of Pillow images into boxes, and into the `info` of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

from aecodec.container import Box
from aecodec.picture import code_points, exif, leftovers, text, xmp
from aecodec.picture.code_points import Colour
from aecodec.picture.embedding import EXTENSION
from aecodec.picture.pillow_errors import MALFORMED

METADATA = {Box.ICC: "icc_profile", Box.EXIF: "exif", Box.XMP: "xmp"}


def read_metadata(
    image: Image.Image, block: bytes | None, content: bytes
) -> tuple[dict[Box, bytes], list[str]]:
    """The boxes of a Pillow image's metadata, and notes of what is left out.

    `block` is its EXIF. `content` are the bytes of its file, as far as they are known.
    """
    packet, notes = packet_of(image)
    texts, odd = text.of_image(image)
    colour, notes_of_colour = colour_of(image, content)
    icc = image.info.get("icc_profile") or b""
    boxes = {Box.ICC: icc, Box.EXIF: block or b"", Box.XMP: packet, Box.TEXT: text.pack(texts)}
    boxes[Box.COLOUR] = code_points.pack(colour) if colour else b""
    notes += [*odd, *notes_of_colour, *leftovers.notes(image, content)]
    return {box: bytes(data) for box, data in boxes.items() if data}, notes


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
    packet, notes = image.info.get("xmp") or b"", []
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


def colour_of(image: Image.Image, content: bytes) -> tuple[Colour | None, list[str]]:
    """The code points of an image's colours, unless they are sRGB's, and notes. None where it has none."""
    colour = code_points.of_info(image.info)
    if colour is None and image.format == "PNG":
        colour = code_points.of_png(leftovers.chunks_of_png(content)[0])
    if colour is None and image.format in ("AVIF", "HEIF") and not image.info.get("icc_profile"):
        colour = code_points.of_avif(content)
    if colour is None or colour.is_srgb:
        return None, []
    hdr = f"its colours are {colour.name}: PNG and AVIF can say so again, other formats cannot"
    return colour, [hdr] if colour.is_hdr else []


def upright(boxes: Mapping[Box, bytes]) -> dict[Box, bytes]:
    """The boxes of pixels that were turned, whose orientation is 1 now; may raise ValueError of EXIF."""
    edits = {Box.EXIF: exif.upright, Box.XMP: xmp.upright}
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
