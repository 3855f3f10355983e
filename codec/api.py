"""Pictures to files and files to pictures: the functions that the package exports."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aecodec import restoration
from aecodec.container import MAX_PIXELS, check_size, parse, read_file
from aecodec.contents import Info, contents_of
from aecodec.decoder.decoding import decode_picture, window_of
from aecodec.decoder.thumbnail import decode_thumbnail
from aecodec.encoder.encoded import Encoded
from aecodec.encoder.encoder import encode
from aecodec.encoder.options import CompressOptions
from aecodec.errors import AecodecError, ImageError, LimitError, RegionError, StageError, one_line
from aecodec.fields import rewind
from aecodec.options import ReadOptions, truth, whole_number, with_signature_of
from aecodec.picture import Picture
from aecodec.picture.pillow_errors import reason_of
from aecodec.picture.reading import DEFAULTS, from_array, from_pillow, read_picture
from aecodec.picture.stripping import kinds_of
from aecodec.picture.stripping import strip as without
from aecodec.picture.writing import colour_of, flattened, to_pillow
from aecodec.restoration.denoising import denoise_measured
from aecodec.restoration.enhancement import enhance_coded
from aecodec.restoration.upscaling import SCALES

ImageLike: TypeAlias = Image.Image | NDArray[Any] | Picture | str | os.PathLike[str] | IO[bytes]
FileLike: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]


@with_signature_of(CompressOptions)
def compress(image: ImageLike, quality: float | None = None, **options: Any) -> bytes:
    """Compress a picture into one file.

    `image` is a picture file, by name or open for reading bytes, a Pillow image, a Picture, or an array of
    bytes: gray (H, W) or (H, W, 1), gray and alpha (H, W, 2), RGB (H, W, 3) or RGBA (H, W, 4). `quality`, 0
    to 100, rises with size and PSNR; it is 50 if not given. Where lossless coding is seen to serve better,
    the file is lossless.
    What is converted or left out is a UserWarning; a Picture has it in its `notes`.

    `depth=8` has samples of more than 8 bits rounded to 8: those of files and images, and arrays of uint16,
    whose white is 65535, or of floats, whose white is 1. `frame`, from 0 on, chooses one of a file of
    several. `tolerant` reads what is there of a damaged file. All that is otherwise refused. `max_pixels`
    limits what is worked on.

    `effort`, 0 to 9, makes smaller files in more time. From 1 on the encoder moves its latents towards those
    that take few bits and whose decoded picture is near, in 2 steps, 3, 4, 8 and so on to 256, each of which
    takes several times as long as all that effort 0 does.

    One of these takes the place of the quality: `lossless`; `max_bytes`, which the file never exceeds;
    `bpp`, the same in bits per pixel; `psnr`, in dB, which it reaches.

    Stages, all off if not asked for: `denoise`, the noise's deviation of 255, or "auto" to measure it and to
    remove it where there is some; `enhance` to have the decoder remove artefacts where that raises the PSNR;
    `reduce`, the scale 2, 3 or 4 by which the coded picture is smaller, which the decoder makes up for, or
    "auto" where, at a low quality, that raises the PSNR at the same size, or is the only way to `max_bytes`.
    A `psnr` beside `denoise` is that to the picture without its noise.

    Pixels under an alpha of 0 get colours that cost little, and PSNR is weighted by alpha. `exact` keeps the
    colours of invisible pixels as it keeps others; `lossless` does so in any case. RGB of three equal
    channels is coded as gray and comes back as RGB, its channels equal.

    `tune` says what the file is to be best by: "visual", what the eye sees, or "psnr". It is "visual" unless
    `psnr`, `enhance` or `reduce="auto"` is given, which go by PSNR. `model` names any installed model in its
    place.

    `strip` names metadata to leave out, one kind or several: "exif", "gps" (coordinates in EXIF, XMP and
    texts), "icc", "xmp", "text" (texts, comments, IPTC, resolution), "thumbnail" (which files of 4 megapixels
    and more have where it takes 1 % of them at most), "all". Of a Pillow image all is kept
    otherwise that is in its `info`.

    `CompressOptions` is all of this as one object, for `encode_image`. Raises ImageError for what cannot be
    coded, MetadataError for a kind of metadata that there is not,
    QualityError for a quality, effort or tune that is not offered, StageError for what a stage does not
    offer, TargetError for a target out of reach and UnknownModelError for a model that is not installed.

    >>> from PIL import Image
    >>> import aecodec
    >>> data = aecodec.compress(Image.new("RGB", (64, 48), "teal"), quality=30)
    >>> aecodec.decompress(data).size
    (64, 48)
    """
    return encode_image(image, CompressOptions(quality=quality, **options)).data


def encode_image(image: ImageLike, options: CompressOptions = CompressOptions()) -> Encoded:  # noqa: B008
    """The same with options as one object, and with all that is known of the file. An array is copied.

    >>> from PIL import Image
    >>> import aecodec
    >>> options = aecodec.CompressOptions(quality=30)
    >>> encoded = aecodec.encode_image(Image.new("RGB", (64, 48), "teal"), options)
    >>> encoded.container.width, encoded.pixels.shape, encoded.data == aecodec.compress(encoded.source, 30)
    (64, (48, 64, 3), True)
    """
    if not isinstance(options, CompressOptions):
        raise AecodecError(f"{type(options).__name__} is no CompressOptions: make one of keyword arguments")
    image = image.copy() if isinstance(image, np.ndarray) else image
    return encode(to_picture(image, options, options.strip), options)


def to_picture(image: ImageLike, reading: ReadOptions = DEFAULTS, strip: str | Iterable[str] = ()) -> Picture:
    """The Picture of what `compress` takes, without metadata of some kinds.

    Warns of what is not kept, and of what is stripped; a Picture has its own `notes`. Raises ImageError,
    MetadataError.
    """
    picture = read_any(image, reading)
    if not isinstance(strip, tuple) or strip:  # of no kinds there is nothing to do
        picture = without(picture, strip)
    warn_of(picture, len(image.notes) if isinstance(image, Picture) else 0)
    return picture


def warn_of(picture: Picture, known: int) -> None:
    """Warns whoever has called the public function of the notes of a picture after the `known` ones."""
    for note in picture.notes[known:]:
        warnings.warn(note, stacklevel=4)


def image_of(result: Picture, picture: Picture) -> Image.Image:
    """The Pillow image of what a stage has made of a picture; warns of what the stage has noted."""
    warn_of(result, len(picture.notes))
    return to_pillow(result)


def read_any(image: ImageLike, reading: ReadOptions) -> Picture:
    """The Picture of what `compress` takes."""
    if isinstance(image, Picture):
        return image
    if isinstance(image, np.ndarray):
        return from_array(image, reading)
    if isinstance(image, Image.Image):
        return from_pillow(image, reading)
    if isinstance(image, (str, os.PathLike)):
        try:
            return read_picture(image, reading)
        except AecodecError as error:
            raise type(error)(f"{name_of(image)}: {error}") from error
    if hasattr(image, "read"):
        return read_picture(image, reading)
    expected = "give a Pillow image, an array, the name of a picture file, or one that is open"
    raise ImageError(f"{type(image).__name__} is no picture: {expected}")


def data_of(source: FileLike) -> bytes:
    """The bytes of an .aec file, given as they are, by its name, or open; raises AecodecError."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, io.TextIOBase):
        raise AecodecError(f"{name_of(source)} is open for reading text: open it in mode 'rb'")
    try:
        if isinstance(source, (str, os.PathLike)):
            with Path(os.fsdecode(source)).open("rb") as file:
                return read_file(file)
        rewind(source)
        return read_file(source)
    except (OSError, ValueError) as error:
        raise AecodecError(f"{name_of(source)}: cannot be read: {reason_of(error)}") from error
    except (AttributeError, TypeError) as error:
        expected = "give bytes, the name of a file, or a file that is open for reading bytes"
        raise AecodecError(f"{name_of(source)} is no file: {expected}") from error


def name_of(source: object) -> str:
    """What an error calls a file: its name in one line, or the type of what is none."""
    if isinstance(source, (str, os.PathLike)):
        return one_line(os.fsdecode(source)) or "''"
    return type(source).__name__


def decompress(
    data: FileLike,
    *,
    max_pixels: int = MAX_PIXELS,
    region: tuple[int, int, int, int] | None = None,
    enhance: bool = False,
    upscale: int = 1,
    thumbnail: int | None = None,
    strip: str | Iterable[str] = (),
    background: str | None = None,
) -> Image.Image:
    """The picture in a file: mode L, LA, RGB or RGBA, with its metadata in `info`, where Pillow has them.

    These are `icc_profile`, `exif` and `xmp`, bytes; texts by their keywords; `comment`, bytes; IPTC, bytes,
    in `photoshop[0x0404]`; `dpi`; and, for colours that are not sRGB, `cicp`, 4 bytes as in a PNG.
    `strip` leaves some out, as in `compress`. What is not understood is a UserWarning.

    `data` are the bytes of the file, its name, or the file open for reading bytes, which is read from its
    start. `region` (left, top, width, height), in pixels, asks for a part, whose pixels are those of the
    whole within one level. `enhance` removes artefacts of coding, `upscale` (2, 3 or 4) enlarges what comes
    of it; of a region they know no more than the region. `thumbnail` asks for a picture of at most so
    many pixels each way, near what a full decode would be, made small. Up to 256 it is read from the file of
    a large picture where that has it; others take a quarter of a full decode's time. `max_pixels` limits the
    whole picture, also where a part is asked for, and what is made of it. `background`, a colour as Pillow's
    ImageColor reads it (a name, #rgb, #rrggbb), takes the place of transparency: mode L or RGB.

    Raises a BitstreamError that says what is wrong with the data, UnknownModelError, RegionError, StageError,
    MetadataError, ImageError for a background that is no colour, LimitError for a picture over `max_pixels`,
    AecodecError for a file that cannot be read.
    """
    if background is not None:
        colour_of(background)
    picture = decompress_picture(
        data,
        max_pixels=max_pixels,
        region=region,
        enhance=enhance,
        upscale=upscale,
        thumbnail=thumbnail,
        strip=strip,
    )
    for note in picture.notes:
        warnings.warn(note, stacklevel=2)
    image = to_pillow(picture)
    return image if background is None else flattened(image, background)


def decompress_picture(
    data: FileLike,
    *,
    max_pixels: int = MAX_PIXELS,
    region: tuple[int, int, int, int] | None = None,
    enhance: bool = False,
    upscale: int = 1,
    thumbnail: int | None = None,
    strip: str | Iterable[str] = (),
) -> Picture:
    """The same as a Picture, which has in its `notes` what is not understood or stripped."""
    kinds = kinds_of(strip)
    scale = whole_number("upscale", upscale, StageError)
    if scale not in (1, *SCALES):
        raise StageError(f"scale {scale} is not offered: choose 1, 2, 3 or 4")
    enhance = truth("enhance", enhance, StageError)
    max_pixels = whole_number("max_pixels", max_pixels, LimitError)
    limit = thumbnail_limit(thumbnail, region is not None or enhance or scale > 1)
    container = parse(data_of(data), max_pixels)
    if limit:
        return without(decode_thumbnail(container, limit), kinds)
    width, height = container.width, container.height
    if region is not None:
        region = plain_region(region)
        window_of(region, (width, height))
        width, height = region[2:]
    check_size(scale * width, scale * height, max_pixels)
    picture = decode_picture(container, region)
    if enhance and container.learned and not container.stages.enhance:
        picture = enhance_coded(picture)
    return without(restoration.upscale(picture, scale) if scale > 1 else picture, kinds)


def thumbnail_limit(thumbnail: Any, with_more: bool) -> int:
    """The pixels each way of a thumbnail, 0 where none is asked for; raises StageError for what is none."""
    if thumbnail is None:
        return 0
    if with_more:
        raise StageError(
            "a thumbnail is of the whole picture as it is: leave out region, enhance and upscale"
        )
    if (limit := whole_number("thumbnail", thumbnail, StageError)) < 1:
        raise StageError(f"thumbnail {limit} leaves no picture: give the pixels each way, as 256")
    return limit


def plain_region(region: Any) -> tuple[int, int, int, int]:
    """Left, top, width and height as plain numbers; raises RegionError for what are none."""
    try:
        left, top, width, height = (whole_number("region", side, RegionError) for side in region)
    except (TypeError, ValueError) as error:
        if isinstance(error, RegionError):
            raise
        raise RegionError(f"region {region!r} is none: give left, top, width and height") from error
    return left, top, width, height


@with_signature_of(ReadOptions)
def denoise(
    image: ImageLike,
    sigma: float | None = None,
    method: str = "learned",
    *,
    strip: str | Iterable[str] = (),
    **reading: Any,
) -> Image.Image:
    """The picture without noise of deviation `sigma`, of 255, measured if not given.

    Where none is measured, as in text, in drawings or with less than 32 pixels each way, nothing is changed,
    and a UserWarning says so: `estimate_noise` says how much there is. `method` is learned, or nlm for
    non-local means. `image` and what follows `method` are as `compress` takes them, `strip` among them.

    Raises ImageError, or StageError for what is not offered.
    """
    picture = to_picture(image, ReadOptions(**reading), strip)
    return image_of(restoration.denoise(picture, sigma, method), picture)


def estimate_noise(image: ImageLike) -> float:
    """Deviation, of 255, of the white noise that `denoise` removes from a picture; 0 where it removes none.

    It is at most 60, which is the most that can be removed, and takes as long as that. Raises ImageError.
    """
    return denoise_measured(to_picture(image))[1]


@with_signature_of(ReadOptions)
def enhance(image: ImageLike, *, strip: str | Iterable[str] = (), **reading: Any) -> Image.Image:
    """The picture without artefacts of JPEG or of our own coding; raises ImageError.

    One that shows that it was never coded comes back as it is. All arguments are as `compress` takes them.
    """
    picture = to_picture(image, ReadOptions(**reading), strip)
    return image_of(restoration.enhance(picture), picture)


@with_signature_of(ReadOptions)
def upscale(
    image: ImageLike,
    scale: int,
    method: str = "learned",
    *,
    strip: str | Iterable[str] = (),
    **reading: Any,
) -> Image.Image:
    """The picture 2, 3 or 4 times as wide and as high; `method` is learned, srcnn or bicubic.

    `image` and what follows `method` are as `compress` takes them. Raises ImageError, or StageError for what
    is not offered.
    """
    picture = to_picture(image, ReadOptions(**reading), strip)
    return image_of(restoration.upscale(picture, scale, method), picture)


def info(data: FileLike, *, max_pixels: int = MAX_PIXELS) -> Info:
    """What a file holds, without decoding it; `data` is as `decompress` takes it.

    Raises a BitstreamError if it is not sound, AecodecError if it cannot be read.
    """
    data = data_of(data)
    return contents_of(parse(data, whole_number("max_pixels", max_pixels, LimitError)), len(data))
