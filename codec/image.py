"""Picture files and Pillow images <-> pixels, gray or not, alpha and metadata; nothing is lost unsaid."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isclose
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    ExifTags,
    Image,
    ImageCms,
    ImageOps,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401  registers the format, for which Pillow would load all its plugins
)

from codec import exif
from codec.bitstream import Box
from codec.errors import BitstreamError, ImageError, LimitError

Pixels = NDArray[np.uint8]  # (H, W, 3)

LOSSLESS_MAX_SIDE = 16383  # of a WebP file
LOSSLESS_MAX_PIXELS = 2**26  # below what Pillow warns of
LOSSLESS_EFFORTS = (0, 4)
LOSSLESS_FIELDS = slice(21, 25)  # of a WebP file: widths of 14, 14, 1 and 3 bits
LOSSLESS_ALPHA = 1 << 28
FORMATS = {
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
OPAQUE_FORMATS = ("BMP", "JPEG")
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "JPEG": {"quality": 95, "subsampling": "4:4:4", "optimize": True},
    "WEBP": {"lossless": True, "exact": True},
}
METADATA = {Box.ICC: "icc_profile", Box.EXIF: "exif", Box.XMP: "xmp"}
READABLE_SUFFIXES = {*FORMATS, ".gif"}
READABLE = ("PNG", "JPEG", "BMP", "GIF", "AVIF", "TIFF", "WEBP")  # those first that Pillow loads at once
MALFORMED = (  # what Pillow raises on odd files
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
AVIF_HEADER = 4096  # bytes at whose start a file says how it is coded
AVIF_DEEP, AVIF_TWELVE = 0x40, 0x20
XMP_IN_PNG = "XML:com.adobe.xmp"
XMP_IN_TIFF = 700
USUAL_GAMMA, GAMMA_TOLERANCE = 1 / 2.2, 0.05  # of a PNG; what differs less, by a share, looks the same


@dataclass(frozen=True, slots=True)
class Picture:
    """One upright picture, 8 bits a sample; gray pixels have three equal channels."""

    pixels: Pixels
    gray: bool = False
    alpha: NDArray[np.uint8] | None = None  # (H, W)
    metadata: Mapping[Box, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what is not as it was in its file, each a clause


def read_picture(source: Path | IO[bytes]) -> Picture:
    """The picture in a file, by name or open; raises ImageError where there is none that can be coded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and large pictures
            with Image.open(source, formats=READABLE) as image:
                return from_pillow(image)
    except UnidentifiedImageError as error:
        raise ImageError(
            "not a picture that can be read: give PNG, JPEG, WebP, BMP, TIFF, AVIF or GIF"
        ) from error
    except (*MALFORMED, EOFError, Image.DecompressionBombError) as error:
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def from_pillow(image: Image.Image) -> Picture:
    """An upright Picture of a Pillow image; raises ImageError for modes that would lose something.

    CMYK becomes sRGB, through its ICC profile where it has one; of a camera's MPO the first frame is
    taken; EXIF that cannot be read is kept as it is; a PNG's gamma is left out. The notes say so.
    """
    notes = []
    if (frames := getattr(image, "n_frames", 1)) > 1:
        if image.format != "MPO":
            raise ImageError(f"holds {frames} frames: aecodec codes single pictures, extract one first")
        notes.append(f"holds {frames} frames, of which the first is kept")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"):
        raise ImageError(f"has mode {image.mode}, not 8-bit gray, RGB, CMYK or palette: convert it first")
    if (bits := bits_per_sample(image)) > 8:
        raise ImageError(f"has {bits} bits a sample: convert it to 8 bits first")
    block, readable = read_exif(image)
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation) in exif.TURNED
        image = ImageOps.exif_transpose(image)  # also of the orientation in XMP
        block = exif.upright(block) if turned and block else block
    except MALFORMED:
        image.load()
        readable = False
    if not readable:
        notes.append(f"its EXIF cannot be read and is {'kept as it is' if block else 'left out'}")
    if image.mode == "CMYK":
        image, how = rgb_of_cmyk(image)
        notes.append(how)
    if gamma := unusual_gamma(image):
        notes.append(f"its gamma of {gamma:g}, not 1/2.2, is left out: it may look lighter or darker")
    gray = image.mode in ("1", "L", "LA")
    metadata = read_metadata(image, block)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    else:
        alpha = None
    if image.mode != "RGB":
        image = image.convert("RGB")
    return Picture(np.asarray(image), gray, alpha, metadata, tuple(notes))


def bits_per_sample(image: Image.Image) -> int:
    """Bits of each sample in the file, which Pillow may cut to 8 as it decodes."""
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (8,))))
    if image.format == "AVIF":
        return bits_of_avif(image)
    return 16 if any(";16B" in str(tile.args) for tile in getattr(image, "tile", [])) else 8


def bits_of_avif(image: Image.Image) -> int:
    """8, 10 or 12, as the first configuration of a coder says (AV1-ISOBMFF, 2.3.3), or 8 where none does."""
    if (file := getattr(image, "fp", None)) is None or file.closed:
        return 8
    file.seek(0)
    _, found, configuration = file.read(AVIF_HEADER).partition(b"av1C")
    if not found or len(configuration) < 3 or not configuration[2] & AVIF_DEEP:
        return 8
    return 12 if configuration[2] & AVIF_TWELVE else 10


def unusual_gamma(image: Image.Image) -> float | None:
    """The gamma of a PNG that says nothing better of its colours, if it is not the usual one."""
    gamma = image.info.get("gamma")
    if not gamma or image.info.get("icc_profile") or "srgb" in image.info:
        return None
    return None if isclose(gamma, USUAL_GAMMA, rel_tol=GAMMA_TOLERANCE) else float(gamma)


def rgb_of_cmyk(image: Image.Image) -> tuple[Image.Image, str]:
    """A CMYK image in sRGB, and a note that says how; an ICC profile describes inks and is left out."""
    converted, note = None, "CMYK without an ICC profile became RGB by a formula: colours may differ"
    if profile := image.info.get("icc_profile"):
        try:
            inks, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, inks, srgb, outputMode="RGB")
            note = "CMYK became sRGB through its ICC profile, which is left out"
        except (ImageCms.PyCMSError, *MALFORMED):
            note = "CMYK with a faulty ICC profile became RGB by a formula, and the profile is left out"
    converted = converted or image.convert("RGB")
    converted.info.pop("icc_profile", None)
    return converted, note


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


def to_pillow(picture: Picture) -> Image.Image:
    """A Pillow image of mode L, LA, RGB or RGBA, its metadata in `info`."""
    image = Image.fromarray(picture.pixels)
    if picture.gray:
        image = image.getchannel(0)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    image.info.update({METADATA[box]: data for box, data in picture.metadata.items() if box in METADATA})
    return image


def format_for(path: Path) -> str:
    """Pillow's name of the format that a file's suffix asks for; raises ImageError."""
    if (suffix := path.suffix.lower()) not in FORMATS:
        raise ImageError(f"{path}: unknown suffix {suffix!r}: choose one of {' '.join(FORMATS)}")
    return FORMATS[suffix]


def encode_image(image: Image.Image, format: str) -> bytes:
    """The file of an image in a format that FORMATS names, metadata included; raises ImageError."""
    if image.mode in ("LA", "RGBA") and format in OPAQUE_FORMATS:
        raise ImageError(f"the picture has transparency, which {format} cannot hold: choose .png or .webp")
    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            metadata = metadata_for(format, image)
            image.save(file, format, **SAVE_OPTIONS.get(format, {}), **metadata)
    except (*MALFORMED, RuntimeError) as error:
        raise ImageError(f"cannot be written as {format} ({error}): choose .png") from error
    return file.getvalue()


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


def fits_lossless(width: int, height: int) -> bool:
    """Whether a picture can be stored losslessly."""
    return max(width, height) <= LOSSLESS_MAX_SIDE and width * height <= LOSSLESS_MAX_PIXELS


def notes_of_writing(image: Image.Image, format: str) -> tuple[str, ...]:
    """What a format cannot hold of an image's metadata, each a clause."""
    kinds = [box.name for box, key in METADATA.items() if image.info.get(key)]
    return (f"{format} holds no {' or '.join(kinds)}: left out",) if kinds and format == "BMP" else ()


def write_lossless(image: Image.Image, efforts: Iterable[int] = LOSSLESS_EFFORTS) -> bytes:
    """The smallest of lossless WebPs of an image, of efforts 0 to 6: the lowest also finds what others miss.

    With an alpha plane they say so even if it is opaque. Raises ImageError where the image does not fit.
    """
    if not fits_lossless(*image.size):
        limits = f"sides end at {LOSSLESS_MAX_SIDE}, pictures at {LOSSLESS_MAX_PIXELS}"
        raise ImageError(f"{image.width}x{image.height} pixels are too many to store losslessly: {limits}")
    files = []
    for effort in efforts:
        file = io.BytesIO()
        image.save(file, "WEBP", lossless=True, method=effort, quality=75, exact=True)
        files.append(file.getvalue())
    data = bytearray(min(files, key=len))
    if image.mode in ("LA", "RGBA"):
        fields = int.from_bytes(data[LOSSLESS_FIELDS], "little") | LOSSLESS_ALPHA
        data[LOSSLESS_FIELDS] = fields.to_bytes(4, "little")
    return bytes(data)


def lossless_fields(data: bytes) -> tuple[int, int, bool]:
    """Width, height and whether there is alpha, as a lossless WebP file says; BitstreamError for any other.

    The header is that of the WebP Lossless Bitstream Specification, section 3.
    """
    if len(data) < 25 or (data[:4], data[8:16], data[20]) != (b"RIFF", b"WEBPVP8L", 0x2F):
        raise BitstreamError("the WebP inside is none, or not a lossless one: the file is damaged")
    fields = int.from_bytes(data[LOSSLESS_FIELDS], "little")
    return (fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1, bool(fields & LOSSLESS_ALPHA)


def read_lossless(data: bytes, size: tuple[int, int]) -> Image.Image:
    """The image, RGB or RGBA, in a lossless WebP of `size` (width, height); raises BitstreamError."""
    if not fits_lossless(*size):
        raise LimitError(f"{size[0]}x{size[1]} pixels are too many to be stored losslessly: damaged")
    if (found := lossless_fields(data)[:2]) != size:
        raise BitstreamError(f"the WebP inside is {found}, the header says {size}: damaged")
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BitstreamError(f"the WebP inside cannot be read ({error}): the file is damaged") from error


def strip(picture: Picture, kinds: Iterable[Box]) -> Picture:
    """The picture without metadata of some kinds."""
    gone = set(kinds)
    return replace(picture, metadata={box: data for box, data in picture.metadata.items() if box not in gone})


def to_gray(pixels: Pixels) -> Pixels:
    """Pixels (H, W, 3) whose channels are meant to be equal, made so: their mean, rounded, a half upwards."""
    mean = (pixels.astype(np.uint16).sum(2) + 1) // 3
    return np.repeat(mean.astype(np.uint8)[:, :, None], 3, axis=2)


def psnr(reference: Pixels, decoded: Pixels) -> float | None:
    """Peak signal-to-noise ratio in dB of 8-bit pictures of one shape; None where they are equal."""
    error = 0.0
    for row, other in zip(reference, decoded, strict=True):
        error += float(np.square(row.astype(np.float64) - other).sum())
    return None if error == 0 else float(10 * np.log10(255**2 * reference.size / error))
