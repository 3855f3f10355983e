"""What Pillow misreads of TIFF files, reads in part, or finds no words for (TIFF 6.0, and DNG 1.7)."""

from __future__ import annotations

from PIL import Image

from aecodec.errors import ImageError
from aecodec.picture.opening import file_of

NEW_SUBFILE_TYPE, SUB_IFDS, DNG_VERSION = 254, 330, 50706  # tags
REDUCED = 1  # a bit of NewSubfileType: the picture is another one at a lower resolution
CANON_RAW = slice(8, 10), b"CR"  # where a CR2 says what it is
DEVELOP = "develop it first, or take the preview with --frame 0 (frame=0 in Python)"


def refuse_previews(image: Image.Image) -> None:
    """Raise ImageError for a camera's raw file, whose first picture is but a preview of that in its SubIFDs.

    The SubIFDs of other files are smaller ones of the first picture.
    """
    tags = getattr(image, "tag_v2", {})
    preview = tags.get(NEW_SUBFILE_TYPE, 0) & REDUCED or DNG_VERSION in tags
    if (SUB_IFDS in tags and preview) or is_canon_raw(image):
        raise ImageError(f"is a camera's raw file, of which only a preview can be read: {DEVELOP}")


def is_canon_raw(image: Image.Image) -> bool:
    with file_of(image) as file:
        place, mark = CANON_RAW
        return file is not None and file.read(place.stop)[place] == mark
