"""Picture files and Pillow images to pictures; nothing is lost unsaid."""

from __future__ import annotations

import io
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from aecodec.container import MAX_INPUT, Box
from aecodec.errors import ImageError
from aecodec.fields import FileReader, rewind
from aecodec.options import ReadOptions
from aecodec.picture import Picture, avif, check_input, depth, exif, gif, is_achromatic, leftovers, png, tiff
from aecodec.picture.colour import rgb_of_cmyk
from aecodec.picture.frames import at_frame, count_of
from aecodec.picture.metadata import read_metadata, upright
from aecodec.picture.opening import HEAD, PLUGINS, content_of, file_of, format_of, open_image
from aecodec.picture.pillow_errors import MALFORMED, DamagedError, decoding, reason_of
from aecodec.picture.png_file import with_true_info
from aecodec.picture.truncation import LOWEST_SHARE, Remains, remains_of

READABLE = tuple(PLUGINS)  # formats, of Pillow itself
Alpha: TypeAlias = NDArray[np.uint8]  # (H, W)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK")
UNLIKE_THEIR_MODE = ("AVIF", "BMP", "DIB", "GIF")  # formats whose mode does not say whether they are gray
TOLD_BY_RAW_MODE = ("JPEG", "MPO", "PNG")  # formats of images that tell their depth until they are loaded
DEEP_MODES = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")
WITHOUT_END = "ends too early, but all of its pixels are there"
UNKNOWN_DEPTH = "was loaded before, and its file is gone: if it had more than 8 bits a sample, they were cut"
DEFAULTS = ReadOptions()


def read_picture(source: str | os.PathLike[str] | IO[bytes], options: ReadOptions = DEFAULTS) -> Picture:
    """The picture in a file, by name or open, which is read from its start.

    Raises ImageError where there is none that can be coded, MissingExtraError where that needs an extra.
    """
    if isinstance(source, (str, os.PathLike)):
        try:
            path = Path(os.fsdecode(source))
            context: AbstractContextManager[IO[bytes]] = path.open("rb")
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot be read: {reason_of(error)}") from error
    else:
        context = nullcontext(seekable(source))  # which whoever has opened it closes
    with context as file:
        if not file.seekable():
            file = seekable(file)
        try:
            with decoding(), open_image(file, options.max_pixels) as image:
                outline: png.Outline | None = getattr(image, "outline", None)
                if outline and outline.damaged:
                    raise DamagedError("cannot be read: its pixels are damaged")
                picture = picture_of(image, options, bare=outline is not None and outline.bare)
                if outline and outline.cut:
                    picture = replace(picture, notes=(WITHOUT_END, *picture.notes))
                return picture
        except DamagedError as error:
            return read_remains(file, options, error)


def seekable(file: IO[bytes]) -> IO[bytes]:
    """The file, if it is seekable and reads what it is asked for, else its content.

    Of content that is no picture only the start is read.
    """
    if isinstance(file, io.TextIOBase):
        raise ImageError("is open for reading text: open it in mode 'rb'")
    try:
        whole_reads = hasattr(file, "seekable") and not isinstance(file, io.RawIOBase)
        if whole_reads and file.seekable() and file.read(0) == b"":
            return file
        rewind(file)
        reader = FileReader(file)
        reader.read_to(HEAD)
        if format_of(reader.data[:HEAD]):
            reader.read_to(MAX_INPUT)
        return io.BytesIO(reader.data)
    except (AttributeError, OSError, TypeError, ValueError) as error:
        remedy = "give a file that is open for reading bytes"
        raise ImageError(f"cannot be read: {reason_of(error)}: {remedy}") from error


def from_array(array: NDArray[Any], reading: ReadOptions) -> Picture:
    """The Picture of bytes (H, W) or (H, W, 1 to 4), or of deeper samples with `depth`; raises ImageError."""
    array = np.asarray(array)  # of a matrix, whose views are matrices
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (2,), (3,), (4,)):
        shapes = "(H, W) or (H, W, C) of 1 to 4 channels"
        raise ImageError(f"array of {array.dtype} {array.shape}: expected bytes of shape {shapes}")
    check_input(array.shape[1], array.shape[0], reading.max_pixels)
    if reading.frame:
        raise ImageError(f"array has no frame {reading.frame}: it is 1 frame, which is 0")
    notes: tuple[str, ...] = ()
    if array.dtype != np.uint8:
        if reading.depth is None:
            raise ImageError(
                f"array of {array.dtype} {array.shape}: expected bytes of shape (H, W) or (H, W, C): "
                "convert it, or pass depth=8 for uint16 of 0 to 65535 or floats of 0 to 1"
            )
        array, how = depth.array_to_8_bits(array)
        notes = (how,)
    samples: NDArray[np.uint8] = array if array.ndim == 3 else array[:, :, None]
    colours = 1 if samples.shape[2] < 3 else 3
    alpha = samples[:, :, -1] if samples.shape[2] in (2, 4) else None
    pixels = samples[:, :, :colours]
    return Picture(pixels.repeat(3, axis=2) if colours == 1 else pixels, colours == 1, alpha, notes=notes)


def read_remains(file: IO[bytes], options: ReadOptions, error: DamagedError) -> Picture:
    """The picture in a damaged file, if it is whole or one may be tolerant; otherwise raises ImageError."""
    file.seek(0)
    with decoding():
        remains = remains_of(file.read(MAX_INPUT), options.frame, options.max_pixels)
    if remains is None:
        raise error
    if not (remains.has_all_pixels or options.tolerant):
        remedy = "pass --tolerant (tolerant=True in Python) to read the rest"
        raise ImageError(f"cannot be read as a whole: it {what_is_missing(remains)}: {remedy}") from error
    picture = from_pillow(remains.image, options)
    others = [note for note in picture.notes if note != leftovers.MAY_BE_WRONG]
    return replace(picture, notes=(what_is_missing(remains), *others))


def what_is_missing(remains: Remains) -> str:
    """A clause of what a file lacks."""
    if remains.has_all_pixels:
        return WITHOUT_END
    if not remains.missing:
        return leftovers.MAY_BE_WRONG
    state = "ends too early" if remains.cut else "is damaged or ends too early"
    share = 100 * max(remains.missing, LOWEST_SHARE)
    coarse = " or coarse" if remains.image.format in ("JPEG", "MPO") else ""
    return f"{state}: about {share:.0f} % of its pixels are missing{coarse}"


def from_pillow(image: Image.Image, options: ReadOptions = DEFAULTS) -> Picture:
    """An upright Picture of a Pillow image; raises ImageError for an image that it cannot hold without loss.

    CMYK becomes sRGB, through its ICC profile where it has one. Of a camera's MPO and of HEIC the primary
    picture is taken. EXIF that cannot be read is kept unchanged. Notes tell of all this, and of what is left
    out. Metadata are those in `info` and, with its edits, `getexif()`: entries that the caller has deleted do
    not come back.
    """
    with decoding(), tiff.unmapped(image):
        return picture_of(image, options)


def picture_of(
    image: Image.Image, options: ReadOptions, bare: bool = False, frame: tuple[str, ...] | None = None
) -> Picture:
    """As `from_pillow`; its caller is within `decoding`.

    `bare` says that the image's file is known to hold pixels alone. `frame` are notes of the frame that the
    image is at, once that is chosen.
    """
    if image.format == "TIFF" and options.frame is None:
        with file_of(image) as file:
            tiff.refuse_previews(image, file)
    several = frame is None and options.frame is not None
    if frame is None and not several:  # pages of a TIFF may be of an unknown kind
        several = (count_of(image) if image.format == "TIFF" else getattr(image, "n_frames", 1)) != 1
    if several:
        with at_frame(image, options.frame) as notes:
            return picture_of(image, options, bare, notes)
    check_input(*image.size, options.max_pixels)
    if image.format == "TIFF":
        tiff.refuse_misread(image)
    bare = bare and not image.info
    content = b"" if bare else content_of(image)  # which is gone once the pixels are loaded
    if image.format == "PNG" and content:
        image = with_true_info(image, content)
    shallow, metadata, how, left = image, dict[Box, bytes](), list[str](), list[str]()
    tile = getattr(image, "tile", None) if image.format in TOLD_BY_RAW_MODE else None
    if not tile or image.mode not in MODES or depth.DEEP_RAW_MODE.search(str(tile)):
        shallow, how = of_8_bits(image, options.depth)
        shallow = tiff.with_right_palette(shallow)
    if image.format == "GIF":
        shallow = gif.as_shown(image, content)
    if image.format == "PNG":
        image.load()  # as there may be metadata behind the pixels
    if not bare:
        shallow, metadata, left = upright_with_metadata(image, shallow, content)
    if shallow.mode == "CMYK":
        shallow, inks = rgb_of_cmyk(shallow)
        metadata.pop(Box.ICC, None)
        left.append(inks)
    gray, alpha = shallow.mode in ("1", "L", "LA"), None
    if image.format in UNLIKE_THEIR_MODE:
        gray = is_gray(image, shallow, content, Box.ICC in metadata)
    if shallow.has_transparency_data or "transparency" in image.info:
        shallow, alpha = with_alpha(image, shallow)
    pixels = np.asarray(shallow if shallow.mode == "RGB" else shallow.convert("RGB"))
    return Picture(pixels, gray, alpha, metadata, (*(frame or ()), *how, *left))


def is_gray(image: Image.Image, shallow: Image.Image, content: bytes, has_profile: bool) -> bool:
    """Whether an image of a format of UNLIKE_THEIR_MODE, now `shallow`, is gray."""
    of_gray_mode = shallow.mode in ("1", "L", "LA")
    if image.format != "AVIF":
        return of_gray_mode and not has_profile  # all of which are of RGB
    if of_gray_mode or not avif.is_monochrome(io.BytesIO(content)):
        return of_gray_mode
    return is_achromatic(np.asarray(shallow.convert("RGB")))  # unless the caller has drawn on it


def upright_with_metadata(
    image: Image.Image, shallow: Image.Image, content: bytes
) -> tuple[Image.Image, dict[Box, bytes], list[str]]:
    """The image `shallow` as the EXIF of `image` turns it, its metadata, and notes of what is left out."""
    has_some = image.info or image.format is not None
    metadata, left, readable = read_metadata(image, content) if has_some else ({}, [], True)
    sideways = False
    with suppress(*MALFORMED):
        sideways = image.getexif().get(ExifTags.Base.Orientation) in exif.SIDEWAYS
    shallow.load()  # by itself: an error is one of pixels, and a second attempt might pass over it
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)  # also by XMP
        if orientation in exif.TURNED:
            shallow = turned_upright(image, shallow, orientation)
        if orientation in exif.TURNED or image.format == "TIFF":  # which Pillow turns as it loads it
            metadata = upright(metadata, sideways)
    except MALFORMED:
        readable = False
    if not readable:
        outcome = "kept as it is" if Box.EXIF in metadata else "left out"
        left.append(f"its EXIF cannot be read and is {outcome}")
    return shallow, metadata, left


def of_8_bits(image: Image.Image, wanted: int | None) -> tuple[Image.Image, list[str]]:
    """The image, converted to 8 bits if its samples are deeper, and notes; raises ImageError."""
    if image.mode not in (*MODES, *DEEP_MODES):
        raise ImageError(f"has mode {image.mode}, not 8-bit gray, RGB, CMYK or palette: convert it first")
    if (bits := depth.bits_of(image)) is None:
        return image, [UNKNOWN_DEPTH]
    if bits <= 8:
        return image, []
    if wanted is None:
        description = f"mode {image.mode}, not 8-bit gray, RGB, CMYK or palette"
        description = description if image.mode in DEEP_MODES else f"{bits} bits a sample"
        raise ImageError(f"has {description}: convert it to 8 bits with --depth 8 (depth=8 in Python)")
    converted, how = depth.to_8_bits(image, bits)
    return converted, [how]


def turned_upright(image: Image.Image, shallow: Image.Image, orientation: int) -> Image.Image:
    """The image `shallow`, turned by the orientation of `image`."""
    if image.format == "JXL" and not getattr(image, "jpeg", False):  # whose decoder has turned it
        return shallow
    if shallow is not image:
        shallow.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(shallow)


def with_alpha(image: Image.Image, shallow: Image.Image) -> tuple[Image.Image, Alpha | None]:
    """The image `shallow` in a mode with alpha, and that (H, W); as it is if nothing of it is transparent.

    Its transparent colour is that of `image`, read anew where Pillow has it wrong.
    """
    key = png.right_key(image) if "transparency" in image.info else None
    if key is not None:
        shallow = shallow.copy()
        shallow.info["transparency"] = key
    if not shallow.has_transparency_data:
        return shallow, None
    shallow = shallow.convert("RGBA")
    return shallow, np.asarray(shallow.getchannel("A"))
