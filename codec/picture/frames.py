"""Files of several pictures: animations, pages, bursts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from aecodec.errors import ImageError
from aecodec.picture import tiff
from aecodec.picture.pillow_errors import MALFORMED

WITH_A_PRIMARY = ("HEIF", "MPO")  # formats in which one picture stands for all


@contextmanager
def at_frame(image: Image.Image, frame: int | None) -> Iterator[tuple[str, ...]]:
    """A context in which an image is at a frame, counted from 0. Afterwards it is where it was.

    Gives notes of frames that are not kept. Without a number the only frame is taken, or the primary picture
    of formats that have one. Raises ImageError for other files of several frames, and for a missing frame.
    """
    count, position = count_of(image), image.tell()
    if frame is None:
        yield notes_of(image.format, count, position)
        return
    if not 0 <= frame < count:
        frames = "1 frame, which is 0" if count == 1 else f"{count} frames, 0 to {count - 1}"
        raise ImageError(f"has no frame {frame}: it holds {frames}")
    seek(image, frame)
    try:
        yield ()
    finally:
        seek(image, position)


def seek(image: Image.Image, frame: int) -> None:
    """Go to a frame, where `info` is that of the frame."""
    image.seek(frame)
    if image.format == "TIFF" and count_of(image) > 1:
        tiff.forget_other_pages(image)


def count_of(image: Image.Image) -> int:
    """How many frames an image has; raises ImageError where one of a TIFF is of a kind that is not known."""
    try:
        return getattr(image, "n_frames", 1)
    except MALFORMED as error:
        if image.format == "TIFF" and (clause := tiff.what_is_unknown(getattr(image, "tag_v2", {}), error)):
            raise ImageError(f"has a page that {clause}") from error
        raise


def notes_of(format: str | None, count: int, position: int) -> tuple[str, ...]:
    """Notes of the frames that are not kept; raises ImageError for a format without a primary picture."""
    if count == 1:
        return ()
    if format not in WITH_A_PRIMARY:
        raise ImageError(f"holds {count} frames: choose one with --frame 0 to {count - 1} (frame= in Python)")
    kept = "the first" if position == 0 else f"frame {position}"
    return (f"holds {count} frames, of which {kept} is kept",)
