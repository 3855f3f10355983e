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
    position = image.tell()
    if frame is None:
        yield notes_of(image.format, count_of(image), position)
        return
    try:
        go_to(image, frame)
        yield ()
    finally:
        go_to(image, position)


def go_to(image: Image.Image, frame: int) -> None:
    """Let an image be at a frame. Later pages of a TIFF are not looked at: they may be of an unknown kind."""
    is_tiff = image.format == "TIFF"
    try:
        if frame < 0 or (not is_tiff and frame >= count_of(image)):
            raise EOFError
        with naming_pages(image):
            for number in range(0 if is_tiff else frame, frame + 1):  # as Pillow miscounts pages jumped over
                image.seek(number)
    except EOFError:
        count = count_of(image)
        frames = "1 frame, which is 0" if count == 1 else f"{count} frames, 0 to {count - 1}"
        raise ImageError(f"has no frame {frame}: it holds {frames}") from None
    if is_tiff and getattr(image, "is_animated", False):
        tiff.forget_other_pages(image)


def count_of(image: Image.Image) -> int:
    """How many frames an image has."""
    with naming_pages(image):
        return getattr(image, "n_frames", 1)


@contextmanager
def naming_pages(image: Image.Image) -> Iterator[None]:
    """Raises ImageError where a page of a TIFF is of a kind that is not known."""
    try:
        yield
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
