"""Samples of more than 8 bits: which images have them, and how they become 8, rounded to the nearest."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from aecodec.errors import ImageError
from aecodec.picture import avif, png
from aecodec.picture.opening import file_of
from aecodec.picture.tiff import SEPARATE, WHITE_IS_ZERO

Samples = NDArray[Any]  # (H, W) or (H, W, C)

FLOAT = 32  # bits
LAST_OF_16_BITS = 0xFFFF
OVERSHOOT = 0.25  # above white, and below black, that floats may have: Lanczos' kernel rings by a tenth
LEAST_OF_255 = 25.5  # floats of which the largest is between have another scale, as of scenes
DEEP_RAW_MODE = re.compile(";16[BLN]|SGI16")  # as Pillow names what stands in a file
REMEMBERED = "bits_of_aecodec"  # an attribute of images
ROUNDED, CUT, DECODED = "rounded to 8", "cut to 8 as it was loaded", "made 8 by its decoder"


def bits_of(image: Image.Image) -> int | None:
    """Bits of each sample in an image's file, which Pillow may cut to 8 as it decodes; None if unknown.

    It is unknown once the pixels were loaded and the file is gone.
    """
    if image.mode in ("I", "F"):
        return FLOAT
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (8,))))
    if image.mode.startswith("I;16"):
        return 16
    if image.format in ("HEIF", "JXL") and "bit_depth" in image.info:
        return int(image.info["bit_depth"])
    if image.format == "PNG":
        header = png.header_of(image)
        return header and header[0]
    if image.format == "AVIF":
        return bits_of_avif(image)
    return 16 if DEEP_RAW_MODE.search(str(getattr(image, "tile", ""))) else 8


def bits_of_avif(image: Image.Image) -> int | None:
    """Bits of each sample of an AVIF file, which the image remembers, as loading lets go of the file."""
    if (known := getattr(image, REMEMBERED, None)) is None:
        with file_of(image) as file:
            known = None if file is None else avif.bits_per_sample(file)
        setattr(image, REMEMBERED, known)
    return known


def to_8_bits(image: Image.Image, bits: int) -> tuple[Image.Image, str]:
    """An image of mode L, LA, RGB, RGBA or CMYK made of one of deeper samples, and a note of the conversion.

    The given image is not changed. Raises ImageError for samples whose level of white is unknown.
    """
    if image.mode == "F":
        converted, how = of_floats(np.asarray(image))
        if tag(image, ExifTags.Base.PhotometricInterpretation) == WHITE_IS_ZERO:
            converted = ~converted  # 255 less each
        return with_info(Image.fromarray(converted), image), how
    if image.mode == "I":
        samples, bits = of_integers(np.asarray(image)), 16
    elif image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint16)
        if tag(image, ExifTags.Base.PhotometricInterpretation) == WHITE_IS_ZERO:
            samples = (1 << bits) - 1 - samples
    else:
        read = {"HEIF": samples_of_heif, "PNG": samples_of_planes, "TIFF": samples_of_planes}
        samples_read = read[image.format](image, bits) if image.format in read else None
        if samples_read is None:
            how = CUT if image.format in read else DECODED
            return cut_to_8_bits(image), f"has {bits} bits a sample, {how}"
        samples = samples_read
    converted = rounded(samples, (1 << bits) - 1)
    if (key := image.info.get("transparency")) is not None:
        converted = np.dstack([converted, opaque_but(samples, key)])
    if image.mode == "CMYK":  # whose four samples look like those of RGBA
        inks = Image.frombytes("CMYK", image.size, converted.tobytes())
        return with_info(inks, image), f"has {bits} bits a sample, {ROUNDED}"
    return with_info(Image.fromarray(converted), image), f"has {bits} bits a sample, {ROUNDED}"


def array_to_8_bits(array: Samples) -> tuple[NDArray[np.uint8], str]:
    """An array of 16-bit integers, whose white is 65535, or of floats, in 8 bits; and a note of how."""
    if array.dtype.kind == "f":
        return of_floats(array)
    if array.dtype.newbyteorder("=") == np.uint16:  # in any order of its bytes
        return rounded(array, LAST_OF_16_BITS), f"has 16 bits a sample, {ROUNDED}"
    raise ImageError(f"array of {array.dtype}: expected bytes, or uint16 or floats to convert to 8 bits")


def rounded(samples: Samples, white: int) -> NDArray[np.uint8]:
    """Samples, 0 to `white`, as the nearest of 256 levels."""
    levels = np.arange(white + 1, dtype=np.uint32) * 255
    return ((levels + white // 2) // white).astype(np.uint8)[samples]


def of_floats(samples: Samples) -> tuple[NDArray[np.uint8], str]:
    """Floats as the nearest of 256 levels, and a note. White is 1, or 255 where they rise to that scale.

    What is a little above 1 alone, or below 0, is cut off. Raises ImageError for floats of other ranges.
    """
    low, high = (float(bound(samples, initial=0)) for bound in (np.min, np.max))
    white = 1 if high <= 1 + OVERSHOOT else 255
    least = -OVERSHOOT * min(high, 1) if white == 1 else 0  # as differences, however small, go as far down
    if not (low >= least and (white == 1 or LEAST_OF_255 <= high <= 255)):  # also where there is a NaN
        raise ImageError(f"has float samples from {low:g} to {high:g}: scale them to 0 to 1 first")
    levels = np.rint(samples.clip(0, white) * (255 / white)).astype(np.uint8)
    beyond = f", those up to {high:g} too" if high > white else ""
    below = f", with 0 for black those down to {low:g} too" if low < 0 else ""
    return levels, f"has float samples, rounded to 8 bits with {white} for white{beyond}{below}"


def of_integers(samples: Samples) -> Samples:
    """The samples of mode I, which holds 32 bits, as 16; raises ImageError where they need more."""
    low, high = int(samples.min()), int(samples.max())
    if low < 0 or high > LAST_OF_16_BITS:
        raise ImageError(
            f"has integer samples from {low} to {high}: scale them to 0 to {LAST_OF_16_BITS} first"
        )
    return samples.astype(np.uint16)


def opaque_but(samples: Samples, key: int | tuple[int, ...]) -> NDArray[np.uint8]:
    """Alpha (H, W): 0 where samples are the transparent colour, otherwise 255."""
    same = samples == np.asarray(key)
    return np.where(same if samples.ndim == 2 else same.all(2), 0, 255).astype(np.uint8)


def with_info(converted: Image.Image, image: Image.Image) -> Image.Image:
    """The converted image with format and `info` of the original, but without its transparent colour."""
    converted.info = {key: value for key, value in image.info.items() if key != "transparency"}
    converted.format = image.format
    return converted


def cut_to_8_bits(image: Image.Image) -> Image.Image:
    """The image that Pillow cut to 8 bits, with its transparent colour of 16 bits cut likewise."""
    reduced = image.copy()
    if isinstance(key := image.info.get("transparency"), tuple):
        reduced.info["transparency"] = tuple(value >> 8 for value in key)
    reduced.format = image.format
    return reduced


def tag(image: Image.Image, number: int) -> int | None:
    """The value of a tag of a TIFF file; None where the file does not have the tag."""
    value: int | None = getattr(image, "tag_v2", {}).get(number)
    return value


def samples_of_heif(image: Image.Image, bits: int) -> Samples | None:
    """Samples of a HEIC file (H, W, C), decoded once more; None where they were loaded before."""
    if getattr(image, "fp", None) is None:
        return None
    from pillow_heif import open_heif

    with file_of(image) as file:
        assert file
        heif = open_heif(io.BytesIO(file.read()), convert_hdr_to_8bit=False)
    samples = np.asarray(heif[image.tell()])[:, : image.width]
    return samples >> (16 - bits)  # as they fill 16 bits from the top


def samples_of_planes(image: Image.Image, bits: int) -> Samples | None:
    """Samples of 16 bits of a PNG or TIFF file (H, W, C), by both of their bytes.

    Pillow takes one byte of each. Told the other order of bytes it takes the other one. None where it
    cannot, or where the pixels were loaded before: they may have been changed.
    """
    tiles = list(getattr(image, "tile", []))
    planes_apart = tag(image, ExifTags.Base.PlanarConfiguration) == SEPARATE
    if (
        bits != 16
        or not tiles
        or planes_apart
        or (image.format == "PNG" and getattr(image, "n_frames", 1) > 1)
    ):
        return None
    raw_modes = {raw_mode_of(tile.args) for tile in tiles}
    if raw_modes == {"LA;16B"}:  # of which Pillow has no other order; four bytes a pixel are RGBA's, too
        four = decoded_as(image, lambda _: "RGBA").astype(np.uint16)
        return four[..., ::2] << 8 | four[..., 1::2]
    if not all(mode[-4:-1] == ";16" and "a" not in mode for mode in raw_modes):  # "a": multiplied by alpha
        return None
    try:
        other = decoded_as(image, swapped)
    except ValueError:  # Pillow knows no such order
        return None
    return np.asarray(image).astype(np.uint16) << 8 | other


def raw_mode_of(arguments: Any) -> str:
    """How samples stand in the file, by the arguments of one of Pillow's decoders."""
    return str(arguments if isinstance(arguments, str) else arguments[0])


def swapped(raw_mode: str) -> str:
    """The same samples in the other order of bytes."""
    native = "L" if sys.byteorder == "little" else "B"
    order = raw_mode[-1] if raw_mode[-1] != "N" else native
    return raw_mode[:-1] + ("B" if order == "L" else "L")


def decoded_as(image: Image.Image, change: Any) -> NDArray[np.uint8]:
    """The pixels of an unloaded image's file, decoded apart from it with other raw modes."""
    with file_of(image) as file:
        if file is None:
            raise ValueError("the file is gone")
        again: Any = Image.OPEN[str(image.format)][0](io.BytesIO(file.read()), "")
    again.seek(image.tell())
    again.tile = [
        tile._replace(
            args=change(tile.args) if isinstance(tile.args, str) else (change(tile.args[0]), *tile.args[1:])
        )
        for tile in again.tile
    ]
    return np.asarray(again)
