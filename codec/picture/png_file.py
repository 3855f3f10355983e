"""PNG files as Pillow opens them, but for texts: none takes the place of what another chunk says.

Pillow puts texts into `info` under their keywords, beside what it reads of other chunks: a text `exif` takes
the place of EXIF, and a text `interlace` or `transparency` keeps pixels from being decoded. One text that is
too long has the picture refused, as a long ICC profile has. Here texts with such keywords are in `text` only,
too long ones nowhere, and long profiles are read.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageFile, PngImagePlugin

from aecodec.picture.text import KEYWORD_MOST, MOST_BYTES, PNG_KEYS

CLASHING = re.compile(b"[tzi][ET]Xt(?:%s)\0" % b"|".join(key.encode() for key in sorted(PNG_KEYS)))


class TextStream(PngImagePlugin.PngStream):
    """The chunks of a file."""

    def chunk_tEXt(self, pos: int, length: int) -> bytes:  # noqa: N802
        return self.read_text(super().chunk_tEXt, pos, length)

    def chunk_zTXt(self, pos: int, length: int) -> bytes:  # noqa: N802
        return self.read_text(super().chunk_zTXt, pos, length)

    def chunk_iTXt(self, pos: int, length: int) -> bytes:  # noqa: N802
        return self.read_text(super().chunk_iTXt, pos, length)

    def chunk_iCCP(self, pos: int, length: int) -> bytes:  # noqa: N802
        try:
            return super().chunk_iCCP(pos, length)
        except ValueError:  # of a profile that is longer than a text may be
            assert self.fp
            self.fp.seek(pos)
            content = ImageFile._safe_read(self.fp, length)
        inflater = zlib.decompressobj()
        profile = inflater.decompress(content.partition(b"\0")[2][1:], MOST_BYTES)
        self.im_info["icc_profile"] = profile if inflater.eof else None
        return content

    def read_text(self, read: Callable[[int, int], bytes], pos: int, length: int) -> bytes:
        """The content of a text, which `read` puts where it belongs if it is not too long."""
        assert self.fp
        keyword = self.fp.read(min(length, KEYWORD_MOST + 1)).split(b"\0")[0].decode("latin-1")
        self.fp.seek(pos)
        before = {keyword: self.im_info[keyword]} if keyword in self.im_info else {}
        try:
            if self.text_memory <= PngImagePlugin.MAX_TEXT_MEMORY:
                content = read(pos, length)
                if keyword in PNG_KEYS:
                    self.im_info.pop(keyword, None)
                    self.im_info.update(before)
                return content
        except (SyntaxError, ValueError):  # one that is too long, or compressed in an unknown way
            self.im_info.pop(keyword, None)
            self.im_info.update(before)
            self.im_text.pop(keyword, None)
            self.text_memory += PngImagePlugin.MAX_TEXT_CHUNK  # so that many do not take for ever
        self.fp.seek(pos)
        return ImageFile._safe_read(self.fp, length)


class PngFile(PngImagePlugin.PngImageFile):
    """A PNG file, read by a TextStream."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "png" and value is not None:  # Pillow leaves no choice of the stream that it reads
            value = TextStream(value.fp)
        super().__setattr__(name, value)


def with_true_info(image: Image.Image, content: bytes) -> Image.Image:
    """An image that Pillow has opened of a PNG; if texts replaced some of its `info`, one with the right one.

    Keys that the caller has deleted or changed stay so, and pixels do that were loaded.
    """
    if isinstance(image, PngFile) or not CLASHING.search(content):
        return image
    right, whole = PngFile(io.BytesIO(content)), PngFile(io.BytesIO(content))
    right.seek(image.tell())
    whole.load()  # as there may be texts behind the pixels; those of the other tell their depth until loaded
    texts = {key: (text, text.encode("latin-1", "replace")) for key, text in whole.text.items()}
    replaced = {key for key in PNG_KEYS & texts.keys() if image.info.get(key) in texts[key]}
    kept = {key: value for key, value in image.info.items() if key not in replaced}
    right.info = kept | {key: whole.info[key] for key in replaced if key in whole.info}
    if not getattr(image, "tile", None):
        right.load()
        right.im, right._mode, right._size, right.palette = image.im, image.mode, image.size, image.palette
    if not replaced & {"exif", "xmp"}:
        right._exif = image._exif
    return right
