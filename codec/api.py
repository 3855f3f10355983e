"""Pictures to files and files to pictures: the functions that the package exports."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from codec import stages
from codec.attempt import DEFAULT_QUALITY, Options, compress_picture
from codec.bitstream import MAX_PIXELS, QUALITY_UNITS, Container, check_size, parse
from codec.decoding import decode_picture, has_alpha, window_of
from codec.descent import EFFORT
from codec.errors import ImageError, StageError
from codec.picture import Picture
from codec.picture.reading import from_pillow
from codec.picture.stripping import kinds_of
from codec.picture.stripping import strip as without
from codec.picture.writing import colour_of, flattened, to_pillow
from codec.stages.denoising import visible_noise
from codec.stages.enhancement import enhance_coded
from codec.stages.upscaling import SCALES

ImageLike: TypeAlias = Image.Image | NDArray[np.uint8] | Picture


@dataclass(frozen=True, slots=True)
class Info:
    """What a file holds, without decoding it."""

    width: int
    height: int
    mode: str  # L, LA, RGB or RGBA
    coding: str  # learned or lossless
    coded_gray: bool  # whether the picture is coded as gray, which mode RGB shows as three equal channels
    quality: float | None  # 0 to 100; None for lossless
    model: str | None  # fingerprint of the model, hexadecimal; None for lossless
    noise: float  # deviation, of 255, of the noise that was removed before coding; 0 for none
    enhanced: bool  # whether the decoder removes artefacts
    scale: int  # by which the decoder enlarges the coded picture; 1 for not at all
    size: int  # bytes of the file
    metadata: Mapping[str, int]  # bytes of each kind, boxes that this release does not know among them

    @property
    def bpp(self) -> float:
        """Bits of the whole file per pixel."""
        return 8 * self.size / (self.width * self.height)


def compress(
    image: ImageLike,
    quality: float = DEFAULT_QUALITY,
    *,
    model: str | None = None,
    effort: int = EFFORT,
    lossless: bool = False,
    max_bytes: int | None = None,
    bpp: float | None = None,
    psnr: float | None = None,
    denoise: float | str | None = None,
    enhance: bool = False,
    reduce: int | str = 1,
    tune: str = "psnr",
    strip: str | Iterable[str] = (),
    exact: bool = False,
) -> bytes:
    """Compress a picture into one file.

    `image` is a Pillow image, a Picture, or an array of bytes (H, W) or (H, W, 3). `quality`, 0 to 100,
    rises with size and PSNR. Where lossless coding is seen to serve better, the file is lossless. What is
    converted or left out of a Pillow image is a UserWarning; a Picture has it in its `notes`.

    `effort`, 0 to 9, makes smaller files in more time. From 1 on the encoder moves its latents towards those
    that take few bits and whose decoded picture is near, in 1 step, 2, 4 and so on to 256, each of which
    takes about as long as all that effort 0 does.

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

    `tune` says what the file is to be best by: "psnr", or "ssim", for the same structure to the eye (MS-SSIM)
    in fewer bytes, at a lower PSNR, without `enhance` and `reduce="auto"`, which go by PSNR. `model` names
    any installed model in its place.

    `strip` names metadata to leave out, one kind or several: "exif", "gps" (coordinates in EXIF, XMP and
    texts), "icc", "xmp", "text" (texts, comments, IPTC, resolution), "all". Of a Pillow image all is kept
    otherwise that is in its `info`.

    Raises ImageError for what cannot be coded, MetadataError for a kind of metadata that there is not,
    QualityError for a quality, effort or tune that is not offered, StageError for what a stage does not
    offer, TargetError for a target out of reach and UnknownModelError for a model that is not installed.

    >>> from PIL import Image
    >>> import codec
    >>> data = codec.compress(Image.new("RGB", (64, 48), "teal"), quality=30)
    >>> codec.decompress(data).size
    (64, 48)
    """
    options = Options(
        quality, model, effort, lossless, max_bytes, bpp, psnr, denoise, enhance, reduce, tune, exact
    )
    return compress_picture(to_picture(image, strip), options)[1]


def to_picture(image: ImageLike, strip: str | Iterable[str] = ()) -> Picture:
    """The Picture of what `compress` takes, without metadata of some kinds.

    Warns of what is not kept of a Pillow image, and of what is stripped; a Picture has its own `notes`.
    """
    if isinstance(image, (Picture, Image.Image)):
        picture = without(from_pillow(image) if isinstance(image, Image.Image) else image, strip)
        known = len(image.notes) if isinstance(image, Picture) else 0
        for note in picture.notes[known:]:
            warnings.warn(note, stacklevel=3)
        return picture
    if not isinstance(image, np.ndarray):
        raise ImageError(f"{type(image).__name__} is no picture: give a Pillow image or an array")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ImageError(f"array of {image.dtype} {image.shape}: expected bytes of shape (H, W) or (H, W, 3)")
    gray = image.ndim == 2
    return Picture(np.repeat(image[:, :, None], 3, axis=2) if gray else image, gray)


def decompress(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    region: tuple[int, int, int, int] | None = None,
    enhance: bool = False,
    upscale: int = 1,
    strip: str | Iterable[str] = (),
    background: str | None = None,
) -> Image.Image:
    """The picture in a file: mode L, LA, RGB or RGBA, with its metadata in `info`, where Pillow has them.

    These are `icc_profile`, `exif` and `xmp`, bytes; texts by their keywords; `comment`, bytes; IPTC, bytes,
    in `photoshop[0x0404]`; `dpi`; and, for colours that are not sRGB, `cicp`, 4 bytes as in a PNG.
    `strip` leaves some out, as in `compress`. What is not understood is a UserWarning.

    `region` (left, top, width, height), in pixels, asks for a part, whose pixels are those of the whole
    within one level. `enhance` removes artefacts of coding, `upscale` (2, 3 or 4) enlarges what comes of it;
    of a region they know no more than the region. `max_pixels` limits the result. `background`, a colour as
    Pillow's ImageColor reads it (a name, #rgb, #rrggbb), takes the place of transparency: mode L or RGB.

    Raises a BitstreamError that says what is wrong with the data, UnknownModelError, RegionError, StageError,
    MetadataError, and ImageError for a background that is no colour.
    """
    if background is not None:
        colour_of(background)
    picture = decompress_picture(
        data, max_pixels=max_pixels, region=region, enhance=enhance, upscale=upscale, strip=strip
    )
    for note in picture.notes:
        warnings.warn(note, stacklevel=2)
    image = to_pillow(picture)
    return image if background is None else flattened(image, background)


def decompress_picture(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    region: tuple[int, int, int, int] | None = None,
    enhance: bool = False,
    upscale: int = 1,
    strip: str | Iterable[str] = (),
) -> Picture:
    """The same as a Picture, which has in its `notes` what is not understood or stripped."""
    kinds = kinds_of(strip)
    if upscale not in (1, *SCALES):
        raise StageError(f"scale {upscale} is not offered: choose 1, 2, 3 or 4")
    container = parse(data, max_pixels)
    width, height = container.width, container.height
    if region:
        window_of(region, (width, height))
        width, height = region[2:]
    check_size(upscale * width, upscale * height, max_pixels)
    picture = decode_picture(container, region)
    if enhance and container.learned and not container.stages.enhance:
        picture = enhance_coded(picture)
    return without(stages.upscale(picture, upscale) if upscale > 1 else picture, kinds)


def denoise(image: ImageLike, sigma: float | None = None, method: str = "learned") -> Image.Image:
    """The picture without noise of deviation `sigma`, of 255, measured if not given.

    Where none is measured, as in text, in drawings or with less than 32 pixels each way, nothing is changed:
    `estimate_noise` says how much there is. `method` is learned, or nlm for non-local means.

    Raises ImageError, or StageError for what is not offered.
    """
    return to_pillow(stages.denoise(to_picture(image), sigma, method))


def estimate_noise(image: ImageLike) -> float:
    """Deviation, of 255, of the white noise in a picture; 0 where there is none or too little to tell.

    Raises ImageError.
    """
    return visible_noise(to_picture(image))


def enhance(image: ImageLike) -> Image.Image:
    """The picture without artefacts of JPEG or of our own coding.

    One that shows that it was never coded comes back as it is. Raises ImageError.
    """
    return to_pillow(stages.enhance(to_picture(image)))


def upscale(image: ImageLike, scale: int, method: str = "learned") -> Image.Image:
    """The picture 2, 3 or 4 times as wide and as high; `method` is learned, srcnn or bicubic.

    Raises ImageError, or StageError for what is not offered.
    """
    return to_pillow(stages.upscale(to_picture(image), scale, method))


def mode_of(container: Container) -> str:
    """L, LA, RGB or RGBA; raises BitstreamError where a lossless payload is none."""
    return ("L" if container.shown_gray else "RGB") + "A" * has_alpha(container)


def info(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Info:
    """What a file holds, without decoding it; raises a BitstreamError if it is not sound."""
    container = parse(data, max_pixels)
    learned, boxes = container.learned, {box.name.lower(): data for box, data in container.boxes.items()}
    boxes |= {f"unknown box {kind}": data for kind, data in container.unknown.items()}
    return Info(
        width=container.width,
        height=container.height,
        mode=mode_of(container),
        coding="learned" if learned else "lossless",
        coded_gray=container.gray,
        quality=learned.quality / QUALITY_UNITS if learned else None,
        model=learned.fingerprint.hex() if learned else None,
        noise=container.stages.noise / 4,
        enhanced=bool(container.stages.enhance),
        scale=container.stages.scale,
        size=len(data),
        metadata={name: len(content) for name, content in boxes.items()},
    )
