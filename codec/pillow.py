"""Teaches Pillow the format: after `import aecodec.pillow`, `Image.open` and `Image.save` know .aec files.

>>> import io
>>> from PIL import Image
>>> import aecodec.pillow
>>> file = io.BytesIO()
>>> Image.new("RGB", (64, 48), "teal").save(file, "AEC", quality=30)
>>> Image.open(file).size
(64, 48)

`save` takes the arguments of `aecodec.compress`, and `exif`, `icc_profile`, `xmp`, `comment` and `dpi`. As
in other formats of Pillow, the colours of the image (`icc_profile` and code points, `cicp`) are written
unless an argument replaces them. EXIF, XMP, comment and resolution are written only if they are arguments;
texts and IPTC are not written. An argument that is empty or None leaves its metadata out. An EXIF argument
also says how the pixels lie, in the place of the image's own: they are written upright. An image that was
opened is decoded when pixels are first needed.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from numbers import Real
from typing import IO, Any

from PIL import Image, ImageFile

from aecodec.api import decompress
from aecodec.container import MAGIC, Box, parse, read_file
from aecodec.contents import mode_of
from aecodec.decoder.thumbnail import decode_reduced, factor_for, stored_thumbnail
from aecodec.encoder.encoder import encode
from aecodec.encoder.options import CompressOptions
from aecodec.errors import AecodecError, ImageError
from aecodec.picture import Picture
from aecodec.picture.exif import IN_PNG, with_bytes
from aecodec.picture.metadata import info_of, sound
from aecodec.picture.reading import from_pillow
from aecodec.picture.stripping import strip
from aecodec.picture.text import XMP_IN_PNG
from aecodec.picture.writing import to_pillow

FORMAT, SUFFIX, MIME = "AEC", ".aec", "image/x-aec"
OPTIONS = tuple(field.name for field in fields(CompressOptions))
ORIENTING = ("exif", IN_PNG, "xmp", XMP_IN_PNG)  # keys in `info` that may say how pixels lie
METADATA_ARGUMENTS = ("icc_profile", "exif", "xmp", "comment", "dpi")  # of `save`
COLOURS = {Box.ICC, Box.COLOUR}  # kept unless others are given, as PNG, TIFF and AVIF keep the profile


class AecImageFile(ImageFile.ImageFile):
    """An .aec file as Pillow opens it."""

    format = FORMAT
    format_description = "aecodec"

    def _open(self) -> None:
        assert self.fp
        self.data = read_file(self.fp)
        try:
            container = parse(self.data)
            self._size, self._mode = (container.width, container.height), mode_of(container)
        except AecodecError as error:
            raise OSError(str(error)) from error
        self.info.update(info_of(sound(container.boxes)[0]))
        self.container, self.factor = container, 1
        self.small: Image.Image | None = None  # the thumbnail that the file holds, once it is taken
        self.tile = [self.tile_of_all()]

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Has a large picture decoded at 1/16, 1/8 or 1/4 of its size, but no smaller than `size`.

        Or takes the thumbnail that the file holds, if it is no smaller. As of JPEG, where `thumbnail` asks
        for it. The mode stays. Returns that and the part that is picture.
        """
        if not (size and self.tile and self.data) or self.factor > 1 or self.small:
            return None
        if self.takes_stored(*size):
            return self.mode, (0, 0, *self.size)
        factor = 1 if self.container.stages.scale > 1 else factor_for(self.container, size)
        if factor == 1:
            return None
        width, height = self.size
        self.factor, self._size = factor, (-(-width // factor), -(-height // factor))
        self.tile = [self.tile_of_all()]
        return self.mode, (0, 0, width / factor, height / factor)

    def thumbnail(
        self,
        size: tuple[float, float],
        resample: Image.Resampling = Image.Resampling.BICUBIC,
        reducing_gap: float | None = 2.0,
    ) -> None:
        """As Pillow's, but from the thumbnail that the file holds if that is as large.

        It was made from all pixels, so it need not be `reducing_gap` times as large. None for that asks for
        all pixels themselves.
        """
        if reducing_gap is not None and self.tile and self.data and self.fp and self.factor == 1:
            same_size = Image.new("1", self.size)
            same_size.thumbnail(size)  # which knows Pillow's rule
            if same_size.size != self.size and self.takes_stored(*same_size.size):
                assert self.small
                self.small = self.small.resize(same_size.size, resample)
                self._size, self.tile = same_size.size, [self.tile_of_all()]
                return
        super().thumbnail(size, resample, reducing_gap)

    def takes_stored(self, width: int, height: int) -> bool:
        """Become the thumbnail that the file holds, if it is sound and no smaller than that."""
        small = None
        with suppress(AecodecError):
            small = stored_thumbnail(self.container)
        if not small or small.pixels.shape[1] < width or small.pixels.shape[0] < height:
            return False
        self.small = to_pillow(small)
        self._size, self.tile = self.small.size, [self.tile_of_all()]
        return True

    def tile_of_all(self) -> Any:
        """All pixels, as they are."""
        return ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)

    def load_seek(self, position: int) -> None:
        """Nothing; that it is there keeps Pillow from mapping the file as if it held the pixels."""

    def load(self) -> Any:
        """Decodes the pixels, once."""
        if self.tile and self.data:
            try:
                pixels = self.decoded().tobytes()
            except AecodecError as error:
                raise OSError(str(error)) from error
            if self.fp and self._exclusive_fp:
                self.fp.close()
            self.fp, self.data, self.tile = io.BytesIO(pixels), b"", [self.tile_of_all()]
        return super().load()

    def decoded(self) -> Image.Image:
        """The picture, of the size that `draft` has chosen."""
        if self.small:
            return self.small
        if self.factor == 1:
            return decompress(self.data)
        return to_pillow(decode_reduced(self.container, self.factor))


def save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Writes an image as .aec; raises OSError for what cannot be coded."""
    arguments = getattr(image, "encoderinfo", {})
    try:
        options = CompressOptions(**{name: arguments[name] for name in OPTIONS if name in arguments})
        replacements = metadata_among(arguments)
        with lying_as(image, replacements):
            picture = from_pillow(image, options)
        picture = strip(with_metadata(picture, replacements, "icc_profile" in arguments), options.strip)
        for note in picture.notes:
            warnings.warn(note, stacklevel=4)
        file.write(encode(picture, options).data)
    except AecodecError as error:
        raise OSError(str(error)) from error


def metadata_among(arguments: dict[str, Any]) -> dict[str, Any]:
    """The metadata that a call of `save` is given, as an image's `info` holds them; raises ImageError."""
    return {key: plain(key, value) for key in METADATA_ARGUMENTS if (value := arguments.get(key))}


def plain(key: str, value: Any) -> Any:
    """An argument as `info` holds it; raises ImageError for what is none."""
    value = with_bytes(value).tobytes() if isinstance(value, Image.Exif) else value
    if key == "dpi":
        if isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(x, Real) for x in value):
            return tuple(value)
        raise ImageError(f"dpi {value!r} is none: give two numbers")
    value = value.encode() if isinstance(value, str) and key in ("comment", "xmp") else value
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise ImageError(f"{key} is {type(value).__name__}: give bytes")
    return bytes(value)


@contextmanager
def lying_as(image: Image.Image, replacements: dict[str, Any]) -> Iterator[None]:
    """A context in which EXIF among the replacements says how the pixels of an image lie, if it is there."""
    info_before, exif_before = image.info, image._exif
    if "exif" in replacements:  # a copy would not know its file, which tells its depth and its colours
        image.info = {key: value for key, value in info_before.items() if key not in ORIENTING}
        image.info |= {key: replacements[key] for key in ORIENTING if key in replacements}
        image._exif = None  # so that it is read anew
    try:
        yield
    finally:
        image.info, image._exif = info_before, exif_before


def with_metadata(picture: Picture, replacements: dict[str, Any], other_profile: bool) -> Picture:
    """The picture with its colours, unless there is another profile, and replacements, set to upright."""
    holder = Image.new("1", (1, 1))
    holder.info.update(replacements)
    added = from_pillow(holder)
    kept = set() if other_profile else COLOURS
    colours = {box: data for box, data in picture.metadata.items() if box in kept}
    notes = tuple(note for note in picture.notes if "EXIF" not in note)  # which is not kept
    return replace(picture, metadata={**colours, **added.metadata}, notes=(*notes, *added.notes))


def accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


Image.register_open(FORMAT, AecImageFile, accept)
Image.register_save(FORMAT, save)
Image.register_extension(FORMAT, SUFFIX)
Image.register_mime(FORMAT, MIME)
