"""What an image carries into the files of a format, and notes of what the format cannot hold."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from aecodec.picture import code_points, exif, photoshop, text, xmp
from aecodec.picture.code_points import Colour
from aecodec.picture.colour import fits
from aecodec.picture.pillow_errors import MALFORMED

XMP_IN_TIFF = 700
COMMENT_IN_PNG = "Comment"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
SEGMENT_MOST = 65533  # bytes in a segment of a JPEG
XMP_MOST = SEGMENT_MOST - 29  # less its namespace
PART_MOST = 65000  # bytes of extended XMP in a segment, about
IPTC_MOST = SEGMENT_MOST - 28  # less the heads of Photoshop's segment and resource
ICC_MOST = 255 * (SEGMENT_MOST - 14)
COMPRESSED = range(1000, 2**20)  # characters of a text that a PNG compresses; Pillow reads no longer ones
GRAY = ("1", "L", "LA")
HOLDS = {
    "AVIF": {"ICC", "EXIF", "XMP"},
    "BMP": {"resolution"},
    "JPEG": {"ICC", "EXIF", "XMP", "comment", "IPTC", "resolution"},
    "PNG": {"ICC", "EXIF", "XMP", "text", "comment", "IPTC", "resolution"},
    "TIFF": {"ICC", "EXIF", "XMP", "IPTC", "resolution"},
    "WEBP": {"ICC", "EXIF", "XMP"},
}


@dataclass(frozen=True, slots=True)
class Carried:
    """Metadata that go into a file. A missing kind is empty."""

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    text: text.Text = field(default_factory=text.Text)
    colour: Colour | None = None

    def kinds(self) -> list[str]:
        contents = {"ICC": self.icc, "EXIF": self.exif, "XMP": self.xmp, "text": self.text.chunks}
        contents |= {"comment": self.text.comment, "IPTC": self.text.iptc, "resolution": self.text.dpi or b""}
        return [kind for kind, content in contents.items() if content]


def embed(image: Image.Image, format: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Arguments of Pillow's `save` that keep an image's metadata, and notes of what a format cannot hold."""
    carried, notes = carried_by(image), []
    if format != "PNG" and not carried.text.comment:
        carried = with_comment_of_chunks(carried)
    if missing := [kind for kind in carried.kinds() if kind not in HOLDS[format]]:
        notes.append(f"{format} holds no {' or '.join(missing)}: left out")
    for limit in (limit_colours, limit_exif, limit_segments):
        carried, note = limit(carried, format, image.mode)
        notes += note
    return ARGUMENTS[format](carried), tuple(notes)


def carried_by(image: Image.Image) -> Carried:
    """The metadata in an image's `info`."""
    blocks = [image.info.get(key) or b"" for key in ("icc_profile", "exif", "xmp")]
    icc, block, packet = (data.encode() if isinstance(data, str) else bytes(data) for data in blocks)
    block = exif.canonical(block) if block else b""
    colour = code_points.of_cicp(image.info.get("cicp"))
    return Carried(icc, block, packet, text.of_image(image)[0], colour)


def with_comment_of_chunks(carried: Carried) -> Carried:
    """The text of a PNG with the keyword of comments becomes the comment, as other formats have one."""
    chunks = carried.text.chunks
    comment = next((one.value.encode() for one in chunks if one.keyword == COMMENT_IN_PNG), b"")
    rest = tuple(one for one in chunks if one.keyword != COMMENT_IN_PNG or not comment)
    return replace(carried, text=replace(carried.text, comment=comment, chunks=rest))


def limit_colours(carried: Carried, format: str, mode: str) -> tuple[Carried, list[str]]:
    """Leave out a profile that a format cannot hold, or that does not fit `mode`.

    Code points become a profile in formats that hold no code points.
    """
    gray = mode in GRAY and format != "WEBP"
    notes = []
    if format == "BMP":
        carried = replace(carried, icc=b"")
    elif carried.icc and not fits(carried.icc, gray):
        notes.append(f"its ICC profile is none of {'gray' if gray else 'RGB'}, as the picture is: left out")
        carried = replace(carried, icc=b"")
    if (colour := carried.colour) and format not in ("PNG", "AVIF") and not carried.icc:
        made = None if gray or format == "BMP" else code_points.profile(colour)
        usual = (colour.of_gray() if gray else colour).looks_like_srgb
        if made is None and not usual:
            notes.append(f"{format} cannot say that its colours are {colour.name}: they will look wrong")
        if made and not usual:
            carried = replace(carried, icc=made)
    return carried, notes


def limit_exif(carried: Carried, format: str, mode: str) -> tuple[Carried, list[str]]:
    """Leave out EXIF that a format's writer would have to read and cannot."""
    if carried.exif and format in ("AVIF", "TIFF"):
        try:
            tags = Image.Exif()
            tags.load(carried.exif)
            if exif.is_readable(carried.exif) and tags.tobytes():
                return carried, []
        except MALFORMED:
            pass
        return replace(carried, exif=b""), [f"its EXIF cannot be read, as {format} asks for: left out"]
    return carried, []


def limit_segments(carried: Carried, format: str, mode: str) -> tuple[Carried, list[str]]:
    """In a JPEG nothing but ICC profiles and XMP has more than a segment."""
    if format != "JPEG":
        return carried, []
    notes = []
    if len(carried.exif) > SEGMENT_MOST:
        notes.append(too_long("EXIF", carried.exif))
        carried = replace(carried, exif=b"")
    if len(carried.xmp) > XMP_MOST and xmp.split(carried.xmp) is None:
        notes.append(too_long("XMP", carried.xmp))
        carried = replace(carried, xmp=b"")
    if len(carried.icc) > ICC_MOST:
        notes.append(too_long("ICC profile", carried.icc))
        carried = replace(carried, icc=b"")
    if len(carried.text.comment) > SEGMENT_MOST:
        notes.append(too_long("comment", carried.text.comment))
        carried = replace(carried, text=replace(carried.text, comment=b""))
    if len(carried.text.iptc) > IPTC_MOST:
        notes.append(too_long("IPTC", carried.text.iptc))
        carried = replace(carried, text=replace(carried.text, iptc=b""))
    return carried, notes


def too_long(name: str, data: bytes) -> str:
    return f"its {name} of {len(data)} bytes is longer than JPEG allows: left out"


def resolution(carried: Carried) -> dict[str, Any]:
    return {"dpi": tuple(map(float, carried.text.dpi))} if carried.text.dpi else {}


def present(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not empty."""
    return {name: value for name, value in arguments.items() if value}


def for_jpeg(carried: Carried) -> dict[str, Any]:
    extra, packet = b"", carried.xmp
    if len(packet) > XMP_MOST and (parts := xmp.split(packet)):
        packet, extension, digest = parts
        extra += extended_segments(extension, digest)
    if carried.text.iptc:
        resources = photoshop.resource(photoshop.IPTC, carried.text.iptc)
        extra += segment(0xED, photoshop.SEGMENT + resources)
    metadata = present(icc_profile=carried.icc, exif=carried.exif, xmp=packet, extra=extra)
    return {**metadata, "comment": carried.text.comment, **resolution(carried)}


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def extended_segments(extension: bytes, digest: str) -> bytes:
    """Extended XMP in segments of a JPEG (XMP specification, part 3, 1.1.3.1)."""
    starts = range(0, len(extension), PART_MOST)
    heads = (EXTENSION + digest.encode() + struct.pack(">II", len(extension), start) for start in starts)
    parts = (extension[start : start + PART_MOST] for start in starts)
    return b"".join(segment(0xE1, head + part) for head, part in zip(heads, parts, strict=True))


def for_png(carried: Carried) -> dict[str, Any]:
    chunks = PngImagePlugin.PngInfo()
    if carried.colour:
        chunks.add(b"cICP", code_points.pack(carried.colour))
    if carried.xmp:
        chunks.add_itxt(text.XMP_IN_PNG, carried.xmp)  # its bytes, in whatever encoding
    for one in carried.text.chunks:
        long = len(one.value.encode()) in COMPRESSED
        if one.language or one.translated:
            chunks.add_itxt(one.keyword, one.value, one.language, one.translated, zip=long)
        else:
            chunks.add_text(one.keyword, one.value, zip=long)
    if carried.text.comment:
        chunks.add_text(COMMENT_IN_PNG, decoded(carried.text.comment))
    if carried.text.iptc:
        iptc_text = photoshop.text_of_iptc(carried.text.iptc)
        chunks.add_text(text.PROFILE + "iptc", iptc_text, zip=len(iptc_text) in COMPRESSED)
    return {
        **present(exif=carried.exif),
        "icc_profile": carried.icc,
        "pnginfo": chunks,
        **resolution(carried),
    }


def decoded(comment: bytes) -> str:
    """A comment, of which no file says the encoding."""
    try:
        return comment.decode()
    except UnicodeDecodeError:
        return comment.decode("latin-1")


def for_tiff(carried: Carried) -> dict[str, Any]:
    tags = Image.Exif()
    tags.load(carried.exif)
    for tag in [tag for tag in tags if tag in exif.LAYOUT]:
        del tags[tag]
    if carried.xmp:
        tags[XMP_IN_TIFF] = carried.xmp
    if carried.text.iptc:
        tags[text.IPTC_IN_TIFF] = carried.text.iptc
    written = {"exif": exif.with_bytes(tags)} if len(tags) else {}
    return {**written, "icc_profile": carried.icc, **resolution(carried)}


def for_avif(carried: Carried) -> dict[str, Any]:
    tags = Image.Exif()
    tags.load(carried.exif)
    written = exif.with_bytes(tags) if ExifTags.Base.Orientation in tags else carried.exif  # it is taken out
    return {**present(exif=written, xmp=carried.xmp), "icc_profile": carried.icc}


def for_webp(carried: Carried) -> dict[str, Any]:
    return present(icc_profile=carried.icc, exif=carried.exif, xmp=carried.xmp)


ARGUMENTS = {
    "AVIF": for_avif,
    "BMP": resolution,
    "JPEG": for_jpeg,
    "PNG": for_png,
    "TIFF": for_tiff,
    "WEBP": for_webp,
}
