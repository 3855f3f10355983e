"""What pictures carry besides pixels, into boxes and out of them."""

from __future__ import annotations

from typing import Any

from PIL import Image, PngImagePlugin

from codec.bitstream import Box
from codec.picture import exif
from codec.picture.pillow_errors import MALFORMED

METADATA = {Box.ICC: "icc_profile", Box.EXIF: "exif", Box.XMP: "xmp"}
XMP_IN_PNG = "XML:com.adobe.xmp"
XMP_IN_TIFF = 700


def read_metadata(image: Image.Image, block: bytes | None) -> dict[Box, bytes]:
    """ICC profile and XMP that a Pillow image carries, and its EXIF."""
    found = {box: image.info.get(key) for box, key in METADATA.items()}
    found[Box.XMP] = found[Box.XMP] or image.info.get(XMP_IN_PNG)
    found[Box.EXIF] = block
    raw = {box: data.encode() if isinstance(data, str) else data for box, data in found.items()}
    return {box: bytes(data) for box, data in raw.items() if data}


def read_exif(image: Image.Image) -> tuple[bytes | None, bool]:
    """The EXIF of an image, and whether it can be read."""
    try:
        if (block := exif.block_of(image)) is None:
            return exif.block_of_tags(image), True
    except MALFORMED:
        return None, False
    return block, not block or exif.is_readable(block)


def metadata_for(format: str, image: Image.Image) -> dict[str, Any]:
    """The arguments of Pillow's `save` by which a format keeps what an image carries; BMP keeps nothing."""
    if format == "BMP":
        return {}
    metadata = {key: image.info[key] for key in METADATA.values() if key in image.info}
    if format == "PNG" and (xmp := metadata.pop("xmp", None)):
        metadata["pnginfo"] = PngImagePlugin.PngInfo()
        metadata["pnginfo"].add_itxt(XMP_IN_PNG, xmp.decode("utf-8", "replace"))
    if format == "TIFF" and (xmp := metadata.pop("xmp", None)):
        metadata["exif"] = tags = Image.Exif()
        tags.load(image.info.get("exif", b""))
        tags[XMP_IN_TIFF] = xmp
    return metadata


def notes_of_writing(image: Image.Image, format: str) -> tuple[str, ...]:
    """What a format cannot hold of an image's metadata, each a clause."""
    kinds = [box.name for box, key in METADATA.items() if image.info.get(key)]
    return (f"{format} holds no {' or '.join(kinds)}: left out",) if kinds and format == "BMP" else ()
