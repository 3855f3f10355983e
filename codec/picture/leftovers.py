"""What else is in a picture's file: the parts that nothing here reads, each worth a note."""

from __future__ import annotations

import re
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from aecodec.picture import bmp, code_points, exif, gif, photoshop, png, text, xmp
from aecodec.picture.opening import file_of
from aecodec.picture.png_file import DECIDING, END, TEXTS

PNG_READ = {  # or said by pixels
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP"),
    *(b"tEXt", b"zTXt", b"iTXt", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"eXIf"),
    *(b"acTL", b"fcTL", b"fdAT"),  # of which there is one frame
}
WEBP_READ = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF"}
JPEG_READ = {  # how segments begin that are read, that concern decoding, or that are noted by themselves
    "APP0": (b"JFIF", b"JFXX"),
    "APP1": (b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"),
    "APP2": (b"ICC_PROFILE\0", b"MPF\0", b"urn:iso:std:iso:ts:21496:-1\0"),
    "APP12": (b"Ducky",),
    "APP13": (photoshop.SEGMENT,),
    "APP14": (b"Adobe",),
    "COM": (b"",),
}
GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
TIFF_READ = {*exif.LAYOUT, *exif.DESCRIPTIVE_TAGS, 700, 34675, 34665, 34853, text.IPTC_IN_TIFF, 282, 283, 296}
BIT_OF_ALPHA = "its alpha, which Pillow does not read, is left out: give its file"
MAY_BE_WRONG = "is damaged, and its pixels may be wrong"
UNREADABLE_PROFILE = "its ICC profile cannot be read and is left out"
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
END_OF_IMAGE = 0xD9


def notes(image: Image.Image, content: bytes) -> list[str]:
    """A clause for each thing that is left out of an image and its file."""
    texts = []
    if isinstance(image, PngImagePlugin.PngImageFile):
        texts += notes_of_png(image, content)
    elif image.format in ("JPEG", "MPO"):
        texts += notes_of_jpeg(image, content)
    elif image.format == "WEBP":
        texts += notes_of_webp(content)
    elif image.format == "TIFF":
        texts += notes_of_tiff(image)
    elif image.format in ("AVIF", "HEIF") and b"tmap" in content[:64]:
        texts.append("its gain map is left out")
    elif image.format == "HEIF" and (image.info.get("aux") or image.info.get("depth_images")):
        texts.append("its gain map, depth or other pictures beside the one that is shown are left out")
    elif image.format == "GIF" and gif.XMP in gif.blocks_of(content).applications:
        texts.append("its XMP, as GIF holds it, is left out")
    elif image.format in ("BMP", "DIB") and image.mode == "RGB":
        with file_of(image) as file:
            texts += [BIT_OF_ALPHA] if file and bmp.has_bit_of_alpha(file) else []
    if not_square(image.info):
        texts.append("its pixels are not square: their shape is left out")
    if "icc_profile" in image.info and image.info["icc_profile"] is None:
        texts.append(UNREADABLE_PROFILE)
    return texts


def not_square(info: dict[Any, Any]) -> bool:
    """Whether a file gives the shape of its pixels without a resolution, and they are not square."""
    density = info.get("jfif_density") if info.get("jfif_unit") == 0 else info.get("aspect")
    if density is None and "dpi" not in info:
        density = info.get("resolution")
    return isinstance(density, tuple) and len(density) == 2 and bool(density[0] != density[1])


def notes_of_png(image: PngImagePlugin.PngImageFile, content: bytes) -> list[str]:
    texts, chunks = [], png.chunks_of(content)
    damaged = chunks.damaged.keys()
    if damaged & DECIDING:
        texts.append(MAY_BE_WRONG)
    texts += note_of_chunks(damaged & PNG_READ - DECIDING - {b"iCCP"}, "damaged and left out")
    if lost := sum((chunks.counts - chunks.damaged)[chunk_type] for chunk_type in TEXTS) - len(image.text):
        lost -= bool(image.info.get("xmp")) and text.XMP_IN_PNG not in image.text  # in another encoding
    if lost > 0:
        texts.append(f"{lost} of its texts cannot be read, or share a keyword with a later one: left out")
    if (cicp := chunks.first.get(b"cICP")) and not code_points.of_cicp(cicp):
        texts.append("its cICP, not of RGB in its full range, is left out: its colours may look different")
    profiles = {key for key in image.text if key.startswith(text.PROFILE)}
    profiles -= {exif.IN_PNG, text.PROFILE + "iptc"}
    if profiles:
        texts.append(f"its text {', '.join(map(repr, sorted(profiles)))} is left out")
    rest = behind(content, chunks.end) if END in chunks.counts else []  # or it is cut
    return texts + note_of_chunks(set(chunks.counts) - PNG_READ) + rest


def notes_of_jpeg(image: Image.Image, content: bytes) -> list[str]:
    texts, segments = [], getattr(image, "applist", [])
    others = {name for name, data in segments if not data.startswith(JPEG_READ.get(name, ()))}
    if others:
        texts.append(f"its segments {', '.join(sorted(others))} are left out")
    if set(image.info.get("photoshop") or ()) - photoshop.UNIMPORTANT:
        texts.append("what Photoshop wrote besides IPTC is left out")
    if (packet := image.info.get("xmp")) and xmp.speaks_of_gain_map(packet):
        return texts  # it lies behind the picture, and is noted with the XMP
    if any(data.startswith(GAIN_MAP) for _, data in segments):
        return [*texts, "its gain map is left out"]
    end = end_of_jpeg(content)
    return texts + (behind(content, end) if end and image.format == "JPEG" else [])


def end_of_jpeg(content: bytes) -> int | None:
    """Where a JPEG ends, by its markers; None where it does not."""
    place = 2
    while marker := MARKER.search(content, place):
        place = marker.end()
        if content[place - 1] == END_OF_IMAGE:
            return place
        place += max(int.from_bytes(content[place : place + 2], "big"), 2)
    return None


def notes_of_webp(content: bytes) -> list[str]:
    end = 8 + int.from_bytes(content[4:8], "little")
    place, others = 12, set[bytes]()
    while place + 8 <= min(end, len(content)):
        if (chunk_type := content[place : place + 4]) not in WEBP_READ:
            others.add(chunk_type)
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return note_of_chunks(others) + behind(content, end + end % 2)


def notes_of_tiff(image: Image.Image) -> list[str]:
    tags: Any = getattr(image, "tag_v2", {})
    others = sorted(set(tags) - TIFF_READ)
    if text.PHOTOSHOP_IN_TIFF in others:
        resources = tags[text.PHOTOSHOP_IN_TIFF]
        if isinstance(resources, bytes) and not set(photoshop.resources(resources)) - photoshop.UNIMPORTANT:
            others.remove(text.PHOTOSHOP_IN_TIFF)
    texts = [f"its tags {', '.join(map(str, others))} are left out"] if others else []
    if (extra := tags.get(ExifTags.Base.SamplesPerPixel, 1) - Image.getmodebands(image.mode)) > 0:
        texts.append(
            "its extra channel is left out" if extra == 1 else f"its {extra} extra channels are left out"
        )
    return texts


def note_of_chunks(chunk_types: set[bytes], state: str = "left out") -> list[str]:
    names = ", ".join(chunk_type.decode("ascii", "backslashreplace") for chunk_type in sorted(chunk_types))
    return [f"its chunks {names} are {state}"] if chunk_types else []


def behind(content: bytes, end: int) -> list[str]:
    """A note of what follows the end of a picture, but for zeros."""
    rest = content[end:]
    return [f"{len(rest)} bytes behind its end are left out"] if rest.strip(b"\0") else []
