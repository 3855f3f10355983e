"""Teaches Pillow the format: after `import codec.pillow`, `Image.open` reads .aec and `Image.save` writes it.

>>> import io
>>> from PIL import Image
>>> import codec.pillow
>>> file = io.BytesIO()
>>> Image.new("RGB", (64, 48), "teal").save(file, "AEC", quality=30)
>>> Image.open(file).size
(64, 48)

`save` takes the arguments of `codec.compress`, and `exif`, `icc_profile` and `xmp`, which are otherwise
those of the image. An image that was opened is decoded when its pixels are first needed.
"""

from __future__ import annotations

import io
from dataclasses import fields, replace
from typing import IO, Any

from PIL import Image, ImageFile

from codec.api import compress, decompress, mode_of, to_picture
from codec.attempt import Options
from codec.bitstream import MAGIC, Box, parse, read_file
from codec.errors import AecodecError
from codec.picture.metadata import METADATA
from codec.picture.reading import from_pillow

FORMAT, SUFFIX, MIME = "AEC", ".aec", "image/x-aec"
OPTIONS = tuple(field.name for field in fields(Options))


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
        self.info.update({METADATA[b]: data for b, data in container.boxes.items() if b in METADATA})
        self.tile = [self.tile_of_all()]

    def tile_of_all(self) -> Any:
        """All pixels, as they are."""
        return ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)

    def load_seek(self, position: int) -> None:
        """Nothing; that it is there keeps Pillow from mapping the file as if it held the pixels."""

    def load(self) -> Any:
        """Decodes the pixels, once."""
        if self.tile and self.data:
            try:
                pixels = decompress(self.data).tobytes()
            except AecodecError as error:
                raise OSError(str(error)) from error
            if self.fp and self._exclusive_fp:
                self.fp.close()
            self.fp, self.data, self.tile = io.BytesIO(pixels), b"", [self.tile_of_all()]
        return super().load()


def save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Writes an image as .aec; raises OSError for what cannot be coded."""
    given = getattr(image, "encoderinfo", {})
    options = {name: given[name] for name in OPTIONS if name in given}
    try:
        picture = to_picture(image)
        picture = replace(picture, metadata={**picture.metadata, **metadata_in(given)})
        file.write(compress(picture, **options))
    except AecodecError as error:
        raise OSError(str(error)) from error


def metadata_in(given: dict[str, Any]) -> dict[Box, bytes]:
    """The metadata among the arguments of a call of `save`, EXIF without orientation."""
    holder = Image.new("1", (1, 1))
    for key in METADATA.values():
        if value := given.get(key):
            holder.info[key] = value.tobytes() if isinstance(value, Image.Exif) else value
    return dict(from_pillow(holder).metadata)


def accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


Image.register_open(FORMAT, AecImageFile, accept)
Image.register_save(FORMAT, save)
Image.register_extension(FORMAT, SUFFIX)
Image.register_mime(FORMAT, MIME)
