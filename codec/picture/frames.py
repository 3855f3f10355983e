"""Files of several pictures: animations, pages, bursts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from aecodec.errors import ImageError

WITH_A_PRIMARY = ("HEIF", "MPO")  # formats in which one picture stands for all


@contextmanager
def at_frame(image: Image.Image, frame: int | None) -> Iterator[tuple[str, ...]]:
    """A context in which an image is at a frame, counted from 0. Afterwards it is where it was.

    Gives notes of frames that are not kept. Without a number the only frame is taken, or the primary picture
    of formats that have one. Raises ImageError for other files of several frames, and for a missing frame.
    """
    count, position = getattr(image, "n_frames", 1), image.tell()
    if frame is None:
        yield notes_of(image.format, count, position)
        return
    if not 0 <= frame < count:
        frames = "1 frame, which is 0" if count == 1 else f"{count} frames, 0 to {count - 1}"
        raise ImageError(f"has no frame {frame}: it holds {frames}")
    image.seek(frame)
    try:
        yield ()
    finally:
        image.seek(position)


def notes_of(format: str | None, count: int, position: int) -> tuple[str, ...]:
    """Notes of the frames that are not kept; raises ImageError for a format without a primary picture."""
    if count == 1:
        return ()
    if format not in WITH_A_PRIMARY:
        raise ImageError(f"holds {count} frames: choose one with --frame 0 to {count - 1} (frame= in Python)")
    kept = "the first" if position == 0 else f"frame {position}"
    return (f"holds {count} frames, of which {kept} is kept",)
